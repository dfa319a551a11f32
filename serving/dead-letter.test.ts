import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { encodeEvent, LARGEST_RECORD } from '../datasets/log/event-json.ts'
import type { NewRecord, RecordBatch } from '../datasets/log/event-log.ts'
import { LARGEST_BATCH } from '../datasets/log/kafka/records.ts'
import { emptyBatch } from '../datasets/table/transaction.ts'
import { stageReader, stageRecords } from '../features/chain/stage-record.ts'
import { featureMatrix } from '../features/fold/fold-output.ts'
import { deadLetter, type DeadLetter } from './dead-letter.ts'
import { schema } from './testing/small-stream.ts'

const WIDTH = 7
const AT = Date.UTC(2018, 3, 1)
const KEPT = 4096

function batchOf({ key = '', value, timestamp }: NewRecord): RecordBatch {
  const [keyBytes, valueBytes] = [Buffer.from(key), Buffer.from(value)]
  return {
    topic: 'transactions',
    partition: 3,
    size: 1,
    offsets: Float64Array.of(41),
    timestamps: Float64Array.of(timestamp),
    bytes: Buffer.concat([keyBytes, valueBytes]),
    keyStart: Uint32Array.of(0),
    valueStart: Uint32Array.of(keyBytes.length),
    valueEnd: Uint32Array.of(keyBytes.length + valueBytes.length),
  }
}

/** The letter of a record that the first stage rejects. */
function letterOf(value: Buffer, key: string | Buffer = 'card 7'): { record: NewRecord; letter: DeadLetter } {
  const input = stageReader(schema, WIDTH, true, Infinity)(batchOf({ key, value, timestamp: AT }))
  expect(input.decoded.rejected).toHaveLength(1)
  const record = deadLetter(input, input.decoded.rejected[0])
  return { record, letter: JSON.parse(String(record.value)) as DeadLetter }
}

function sizeOf({ key = '', value }: NewRecord): number {
  return Buffer.from(key).length + Buffer.from(value).length
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')
const repeated = (bytes: number[], size: number): Buffer => Buffer.alloc(size, Buffer.from(bytes))
/** A value of 40,000 bytes in which `bytes` begin `before` bytes before the cut. */
function atCut(bytes: number[], before: number): Buffer {
  const value = repeated([0x61], 40_000)
  value.set(bytes, KEPT - before)
  return value
}

test.each<[string, Buffer, keptText: string]>([
  ['of control characters, which JSON writes as six', repeated([1], 1_600_000), '\u0001'.repeat(KEPT)],
  ['of quotes', repeated([0x22], 40_000), '"'.repeat(KEPT)],
  ['of bytes that are no text', repeated([0xff], 40_000), '\ufffd'.repeat(KEPT)],
  ['with a character of two bytes at the cut', atCut([0xc3, 0xa9], 1), `${'a'.repeat(KEPT - 1)}\ufffd`],
  ['with one of two bytes before the cut', atCut([0xc3, 0xa9], 2), `${'a'.repeat(KEPT - 2)}é`],
  ['with one of four bytes at the cut', atCut([0xf0, 0x9f, 0x92, 0xb3], 3), `${'a'.repeat(KEPT - 3)}\ufffd`],
  ['with half a surrogate pair at the cut', atCut([0xed, 0xa0, 0x80], 3), `${'a'.repeat(KEPT - 3)}\ufffd\ufffd\ufffd`],
])('a value %s is cut to its beginning, with its size and sum', (_, value, keptText) => {
  const { record, letter } = letterOf(value)
  expect(Buffer.from(letter.bytes, 'base64').equals(value.subarray(0, KEPT))).toBe(true)
  expect(letter.text).toBe(keptText)
  expect(letter.cut).toEqual({ size: value.length, sha256: sha256(value) })
  expect(letter.input).toEqual({ partition: 3, offset: 41 })
  expect([String(record.key), record.timestamp]).toEqual(['card 7', AT])
  expect(sizeOf(record)).toBeLessThan(LARGEST_BATCH)
})

test('a value up to 32 KiB is whole, whatever its bytes, and fits its topic', () => {
  for (const byte of [1, 0x22, 0x61, 0xff]) {
    const value = repeated([byte], 32 * 1024)
    const { record, letter } = letterOf(value)
    expect(letter.cut).toBeUndefined()
    expect(Buffer.from(letter.bytes, 'base64').equals(value)).toBe(true)
    expect(letter.text).toBe(value.toString())
    expect(sizeOf(record)).toBeLessThan(LARGEST_BATCH)
    expect(letterOf(repeated([byte], 32 * 1024 + 1)).letter.cut?.size).toBe(32 * 1024 + 1)
  }
})

test('a key is kept up to 1,024 bytes', () => {
  const value = Buffer.from('{}')
  expect(letterOf(value, 'é'.repeat(512)).record.key).toEqual(Buffer.from('é'.repeat(512)))
  for (const key of ['k'.repeat(1025), 'k'.repeat(2_000_000)]) {
    const { record, letter } = letterOf(value, key)
    expect('key' in record).toBe(false)
    expect(letter.text).toBe('{}')
    expect(sizeOf(record)).toBeLessThan(KEPT)
  }
})

/** A transaction whose record, key and value, has the largest size that is read. */
function largestRecord(): NewRecord {
  const batch = emptyBatch(
    { id: schema.id?.type ?? 'integer', entities: schema.entities, numeric: schema.numeric.length, categorical: 0 },
    1,
  )
  batch.time[0] = AT
  batch.entities.forEach((column) => (column[0] = Array.isArray(column) ? 'k' : 7))
  const { key = '', value } = encodeEvent(schema, batch, 0, AT)
  const spare = LARGEST_RECORD - Buffer.from(key).length - Buffer.from(value).length - ',"more":""'.length
  return { key, value: `${String(value).slice(0, -1)},"more":"${'x'.repeat(spare)}"}`, timestamp: AT }
}

test('the largest record passes two stages, though it grows, and its letter holds what the producer wrote', () => {
  const record = largestRecord()
  expect(sizeOf(record)).toBe(LARGEST_RECORD)
  const first = stageReader(schema, WIDTH, true, Infinity)(batchOf(record))
  expect(first.decoded.rejected).toEqual([])
  const target = { entity: 0, partitions: 1 }
  const passed = stageRecords(first, featureMatrix(1, WIDTH), WIDTH, target, 0)
  expect(passed).toHaveLength(1)
  const grown = sizeOf(passed[0])
  expect([grown > LARGEST_RECORD, grown < LARGEST_BATCH]).toEqual([true, true])
  const second = stageReader(schema, WIDTH, false)(batchOf(passed[0]))
  expect(second.decoded.rejected).toEqual([])
  const again = stageRecords(second, featureMatrix(1, WIDTH), WIDTH, target, 0)
  expect(sizeOf(again[0])).toBe(grown)
  const third = stageReader(schema, WIDTH, false)(batchOf(again[0]))
  expect([third.decoded.events.size, third.partitions[0], third.offsets[0]]).toEqual([1, 3, 41])
  const letter = deadLetter(third, { index: 0, kind: 'duplicate', reason: 'twice' })
  const value = Buffer.from(record.value)
  expect(sizeOf(letter)).toBeLessThan(LARGEST_BATCH)
  expect(JSON.parse(String(letter.value))).toEqual({
    reason: 'twice',
    input: { partition: 3, offset: 41 },
    bytes: value.subarray(0, KEPT).toString('base64'),
    text: value.subarray(0, KEPT).toString(),
    cut: { size: value.length, sha256: sha256(value) },
  })
})
