import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import type { NewRecord } from '../../datasets/log/event-log.ts'
import { openEventLog } from '../../datasets/open.ts'
import { DEAD_LETTERS, PREDICTIONS, TRANSACTIONS } from '../../serving/topics.ts'
import { checkOutcome, type Outcome } from './check.ts'
import { flatness } from './flatness.ts'
import { FIRST_TIMESTAMP, soakStream } from './soak-stream.ts'

const EVENTS = 3000
const stream = soakStream({ seed: 3, events: EVENTS, start: Date.UTC(2018, 0, 1) })
const numbers = Array.from({ length: EVENTS }, (_, n) => n)
const home = mkdtempSync(join(tmpdir(), 'fd-soak-check-'))
afterAll(() => rmSync(home, { recursive: true, force: true }))

/** What a scorer would answer to a record at an offset. */
function answer(n: number, offset: number): { topic: string; value: string } | undefined {
  const { kind, value } = stream.record(n)
  const input = { partition: 0, offset }
  if (kind === 'label') return undefined
  if (kind === 'transaction')
    return { topic: PREDICTIONS, value: JSON.stringify({ transaction_id: stream.id(n), input }) }
  const reason = kind === 'repeat' ? 'was here before' : 'not JSON'
  return { topic: DEAD_LETTERS, value: JSON.stringify({ reason, input, bytes: Buffer.from(value).toString('base64') }) }
}

let logs = 0

/** The outcome of a log with these records of the stream, and of answers that `change` has been at. */
async function outcomeOf(
  sent: number[],
  change: (answers: { topic: string; value: string }[]) => void = () => {},
): Promise<Outcome> {
  await using log = await openEventLog(`lmdb:${join(home, String(logs++))}`)
  for (const topic of [TRANSACTIONS, PREDICTIONS, DEAD_LETTERS]) await log.createTopic(topic)
  const records = sent.map((n): NewRecord => ({ ...stream.record(n), timestamp: FIRST_TIMESTAMP + n, partition: 0 }))
  await log.append(TRANSACTIONS, records)
  const answers = sent.flatMap((n, offset) => answer(n, offset) ?? [])
  change(answers)
  for (const topic of [PREDICTIONS, DEAD_LETTERS]) {
    const own = answers.filter((each) => each.topic === topic)
    await log.append(
      topic,
      own.map(({ value }) => ({ value, timestamp: 0, partition: 0 })),
    )
  }
  return await checkOutcome(log, stream)
}

const faults = ({ lost, unanswered, surplus, wrong }: Outcome): number[] => [lost, unanswered, surplus, wrong]

test('the check finds what is lost, unanswered, one too many or of another record, and nothing else', async () => {
  const well = await outcomeOf(numbers)
  expect(faults(well)).toEqual([0, 0, 0, 0])
  const kinds = Object.groupBy(numbers, (n) => stream.kind(n))
  expect(well).toMatchObject({
    records: EVENTS,
    transactions: kinds.transaction?.length,
    labels: kinds.label?.length,
    bad: kinds.bad?.length,
    repeats: kinds.repeat?.length,
  })
  expect(faults(await outcomeOf(numbers, (answers) => answers.splice(100, 1)))).toEqual([0, 1, 0, 0])
  expect(faults(await outcomeOf(numbers, (answers) => answers.splice(100, 0, answers[100])))).toEqual([0, 0, 1, 0])
  expect(faults(await outcomeOf(numbers, (answers) => answers.push(answers[0])))).toEqual([0, 0, 1, 0])
  const other = (answers: { value: string }[]): void => {
    answers[0].value = answers[0].value.replace(/"transaction_id":\d+/, '"transaction_id":7')
  }
  expect(faults(await outcomeOf(numbers, other))).toEqual([0, 0, 0, 1])
  expect(faults(await outcomeOf(numbers.toSpliced(2000, 3)))).toEqual([3, 0, 0, 0])
})

test('a record that was sent again is due another dead letter, and no second prediction', async () => {
  const again = numbers.slice(0, 20)
  const sent = [...again, ...numbers]
  expect(again.every((n) => stream.kind(n) === 'transaction')).toBe(true)
  expect(faults(await outcomeOf(sent))).toEqual([0, 20, 0, 20])
})

test('the stream is the same from any record on, and its labels and repeats are of transactions before them', () => {
  const same = soakStream({ seed: 3, events: EVENTS, start: Date.UTC(2018, 0, 1) })
  for (const n of numbers.toReversed()) expect(same.record(n)).toEqual(stream.record(n))
  for (const n of numbers.filter((each) => stream.kind(each) === 'repeat')) {
    const first = stream.id(n) - stream.id(0)
    expect(first).toBeLessThan(n)
    expect(stream.record(first)).toMatchObject({ kind: 'transaction', value: stream.record(n).value })
  }
})

test('memory that grows by a half is not flat, noise is', () => {
  const at = (n: number, megabytes: number): { at: number; memory: number; descriptors: number } => ({
    at: n,
    memory: megabytes * 2 ** 20,
    descriptors: 40,
  })
  const noisy = numbers.map((n) => at(n, 300 + (n % 7) * 10))
  expect(flatness(noisy, 0, EVENTS)).toMatchObject({ memoryMegabytes: { flat: true }, descriptors: { flat: true } })
  const leaking = numbers.map((n) => at(n, 300 + n / 10))
  expect(flatness(leaking, 0, EVENTS)).toMatchObject({ memoryMegabytes: { flat: false } })
  const open = numbers.map((n) => ({ ...at(n, 300), descriptors: 40 + n }))
  expect(flatness(open, 0, EVENTS)).toMatchObject({ descriptors: { flat: false } })
  expect(flatness(noisy.slice(0, 5), 0, EVENTS)).toBeUndefined()
})
