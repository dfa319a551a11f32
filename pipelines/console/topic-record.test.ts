import { expect, test } from 'vitest'
import type { NewRecord } from '../../datasets/log/event-log.ts'
import { decodeBlock, encodeBlocks, stampOffset } from '../../datasets/log/lmdb/block.ts'
import { cellWidth } from './text-width.ts'
import { recordHeading, recordLine, recordRow, topicRecords, type RecordFilter } from './topic-record.ts'

const records: NewRecord[] = [
  { key: '7', value: JSON.stringify({ transaction_id: 4711, score: 0.5 }), timestamp: 1000 },
  { key: '7', value: JSON.stringify({ PAYMENT: '4711' }), timestamp: 3000 },
  { key: '8', value: JSON.stringify({ reason: 'late', text: JSON.stringify({ PAYMENT: 4711 }) }), timestamp: 2000 },
  { value: 'no JSON 4711', timestamp: 0 },
  { key: Uint8Array.of(255, 0), value: JSON.stringify({ amount: 4711, text: '{' }), timestamp: 4000 },
]

function shown(filter: RecordFilter): number[] {
  const [block] = encodeBlocks(records)
  stampOffset(block, 0)
  const batch = decodeBlock(block.bytes, 't', 0, records.length - 1)
  if ('damage' in batch) throw new Error(batch.damage)
  return [...topicRecords(batch, filter, (name) => ['transaction_id', 'PAYMENT'].includes(name))].map(
    ({ offset }) => offset,
  )
}

test('a filter passes what fits all of its parts', () => {
  expect(shown({})).toEqual([0, 1, 2, 3, 4])
  expect(shown({ key: '7' })).toEqual([0, 1])
  expect(shown({ key: '' })).toEqual([3])
  expect(shown({ since: 2000 })).toEqual([1, 2, 4])
  // In fields that hold the id of a transaction only, as number or text, and in what a dead letter carries.
  expect(shown({ transaction: '4711' })).toEqual([0, 1, 2])
  expect(shown({ transaction: '4711', key: '7', since: 2000 })).toEqual([1])
  expect(shown({ transaction: '471' })).toEqual([])
})

const HOSTILE = '\u001b[2J\u0007\u009b31m\u007f\u202e\ttab\nline\u0000'
const hostile = { partition: 0, offset: 7, key: HOSTILE, timestamp: 1e300, value: { [HOSTILE]: HOSTILE } }
// oxlint-disable-next-line no-control-regex -- none of them may come out
const CONTROL = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/

test('no control character reaches the output, and the JSON stays what it was', () => {
  const line = recordLine(hostile)
  expect(line.trimEnd()).not.toMatch(CONTROL)
  expect(JSON.parse(line)).toEqual(hostile)
  for (const value of [HOSTILE, hostile.value]) expect(recordRow({ ...hostile, value }, 80)).not.toMatch(CONTROL)
})

test('a row is one line that fits the terminal, below its heading', () => {
  const values = ['x'.repeat(500), '顧客'.repeat(300), { a: 'two\nlines' }, null, 7]
  for (const width of [20, 60, 80, 100, 200]) {
    for (const value of values) {
      const row = recordRow({ ...hostile, value }, width)
      expect(row.split('\n')).toHaveLength(2)
      expect(cellWidth(row.trimEnd())).toBeLessThanOrEqual(width)
    }
    for (const line of recordHeading(width).trimEnd().split('\n')) expect(cellWidth(line)).toBeLessThanOrEqual(width)
  }
  const value = { a: 1, b: 'text', c: null, d: [{ e: 2 }] }
  expect(recordRow({ ...hostile, key: null, timestamp: Date.UTC(2018, 3, 1), value }, 110)).toBe(
    `        0         7  2018-04-01 00:00:00  ${' '.repeat(22)}  a 1  b text  c null  d [{"e":2}]\n`,
  )
})
