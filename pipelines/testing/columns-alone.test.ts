import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { loadConfig } from '../../configs/config.ts'
import { openDataset } from '../../datasets/catalog.ts'
import { writeKaggleCcSynthetic } from '../../datasets/published/kaggle-cc-synthetic.ts'
import { randomStream } from '../../datasets/random/random.ts'
import { requireTimes } from '../../datasets/table/dataset.ts'
import { cardFraud } from '../../features/definition/card-fraud.ts'
import { userAnomaly } from '../../features/definition/user-anomaly.ts'
import { checkService } from '../../features/view/service-check.ts'
import type { DeadLetter } from '../../serving/dead-letter.ts'
import { whileAlive } from '../console/fd-process.ts'
import { ownData } from './own-data.ts'

// Each test starts many processes, one after the other.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 })

const SCORED = `
service: attributes
path: scored.csv
schema:
  time: none
  amount: { column: Amount, minorUnits: 2 }
  label: { column: Class }
  entities: [{ name: customer, column: card, type: string }]
  numeric: [V1, V2]
`
/** The same with a column that says which transaction a row is. */
const IDENTIFIED = SCORED.replace('time: none', 'time: none\n  id: { column: payment, type: string }')
const ROWS = 4000

/** Rows whose features somebody else computed. The frauds among the last quarter differ from those before. */
function rows(count: number): string {
  const random = randomStream(11)
  const lines = Array.from({ length: count }, (_, row) => {
    const fraud = random.uniform() < 0.05 ? 1 : 0
    const [v1, v2] = [random.normal(2 * fraud, 1), random.normal(row < (3 * count) / 4 ? fraud : 0, 1)]
    return `p${row},c${random.integer(50)},${v1},${v2},${(100 * random.uniform()).toFixed(2)},${fraud}`
  })
  return ['payment,card,V1,V2,Amount,Class', ...lines].join('\n')
}

const own = ownData({ 'scored.yaml': SCORED, 'identified.yaml': IDENTIFIED, 'scored.csv': rows(ROWS) })
afterAll(() => own[Symbol.asyncDispose]())

async function refusal(...args: string[]): Promise<string> {
  const { code, stderr } = await own.try(...args)
  expect(code).toBe(2)
  return stderr
}

test('features computed elsewhere: order splits, arrival stamps, and all the rest is as ever', async () => {
  expect(await own.fd('datasets', 'describe', 'scored')).toMatch(/event time +none: .*no windows\n[^]*by order trains/)
  const trained = own.start('train', '--dataset', 'scored', '--param', 'rounds=20', '--register', 'scored')
  const { stderr, stdout } = await trained.ended
  expect(stderr).toMatch(/has no times, so the first rows of the file trained/)
  // The test rows count as one day, so a budget of 100 alerts a day is one of 100 rows of them.
  expect(Number(/alerts +(\d+)/.exec(stdout)?.[1])).toBeGreaterThan(50)
  expect(Number(/alerts +(\d+)/.exec(stdout)?.[1])).toBeLessThanOrEqual(100)
  const described = await own.fd('models', 'describe', 'scored')
  expect(described).toMatch(/trained on +rows 1 to 2,800 of the file, split by their order/)
  expect(described).toMatch(/judged on +rows 2,801 to 4,000 of the file/)
  await own.fd('models', 'promote', 'scored', '1')

  await own.fd('produce', '--dataset', 'scored', '--limit', '500')
  const sent = (await own.fd('topics', 'read', 'transactions')).trim().split('\n')
  const records = sent.map((line) => JSON.parse(line) as { offset: number; timestamp: number })
  const arrivals = new Map(records.map(({ offset, timestamp }) => [offset, timestamp]))
  await own.fd('score', '--until-idle')
  const predictions = await own.predictions()
  expect(predictions.map(({ transaction_id: id }) => id)).toEqual(Array.from({ length: 500 }, (_, n) => n))
  expect(predictions.map(({ event_time }) => event_time)).toEqual(
    predictions.map(({ input }) => arrivals.get(input.offset)),
  )
  expect(await own.fd('features', 'verify')).toMatch(/compared +500\n[^]*differences +0\n/)
  // Another file has other transactions of the same numbers, so a number is no sign that one comes again.
  await own.fd('produce', '--dataset', 'scored', '--limit', '20')
  await own.fd('score', '--until-idle')
  expect((await own.predictions()).length).toBe(520)
  expect(await own.fd('models', 'threshold', 'scored', '1')).toMatch(/frauds a day +\d/)

  // Another file has other rows of the same numbers: nobody knows which of them came later.
  const other = own.write('other.csv', rows(ROWS - 500))
  await own.fd('train', '--dataset', 'scored', '--data', other, '--param', 'rounds=20', '--register', 'scored')
  const gate = await own.try('models', 'promote', 'scored', '2')
  expect(gate.code).toBe(1)
  expect(gate.stdout + gate.stderr).toMatch(/not comparable: its dataset has no times/)
})

test('what needs times says that there are none', async () => {
  const needs = /has none \(`time: none`\)\. Leave it out/
  expect(await refusal('train', '--dataset', 'scored', '--split', 'delayed')).toMatch(needs)
  expect(await refusal('produce', '--dataset', 'scored', '--from', '2020-01-01')).toMatch(needs)
  expect(await refusal('features', 'backfill', '--dataset', 'scored', '--online')).toMatch(needs)
  const config = loadConfig(undefined, { FD_DATASET_FOLDER: own.folder })
  const dataset = await openDataset('scored', config)
  for (const option of [{ until: 1 }, { sort: true }, { 'train-from': 1 }])
    expect(() => requireTimes(dataset, option)).toThrow(needs)
  expect(() => requireTimes(dataset, { until: undefined, sort: false })).not.toThrow()
  await expect(dataset.batches({ sort: true })[Symbol.asyncIterator]().next()).rejects.toThrow(
    /no times to be sorted by/,
  )
  for (const service of [cardFraud, userAnomaly])
    expect(() => checkService(service, dataset.schema, 'scored')).toThrow(
      /does not fit dataset "scored": it has no times \(it says `time: none`\), which windows/,
    )
})

const COLUMNS_ALONE = ['--dataset', 'kaggle-cc-synthetic', '--data', join(own.folder, 'columns.parquet')]
/** So many transactions are sent, and then sent again. */
const SENT = 1200

/** The commands of a log and a store of their own, with some settings of the scorer. */
function streamOf(name: string, scorer: Record<string, number | string>) {
  const places = { eventLog: `lmdb:${own.home}/${name}-log`, onlineStore: `lmdb:${own.home}/${name}-store` }
  const config = ['--config', own.write(`${name}-${randomUUID()}.json`, JSON.stringify({ ...places, scorer }))]
  const values = async <T>(topic: string): Promise<T[]> => {
    const { code, stdout } = await own.try('topics', 'read', topic, ...config)
    const lines = code === 0 ? stdout.split('\n').filter((line) => line !== '') : []
    return lines.map((line) => (JSON.parse(line) as { value: T }).value)
  }
  return {
    fd: (...args: string[]) => own.fd(...args, ...config),
    start: (...args: string[]) => own.start(...args, ...config),
    values,
    letters: () => values<DeadLetter>('transactions.dlq'),
  }
}

interface Place {
  partition: number
  offset: number
}

describe('ids that are remembered', () => {
  beforeAll(async () => {
    await writeKaggleCcSynthetic(join(own.folder, 'columns.parquet'), { transactions: 4000, frauds: 200 })
    for (const [model, ...data] of [
      ['columns', ...COLUMNS_ALONE],
      ['identified', '--dataset', 'identified'],
    ]) {
      await own.fd('train', ...data, '--param', 'rounds=10', '--register', model)
      await own.fd('models', 'promote', model, '1')
    }
  })

  test('what comes again is a dead letter that names its first, also after the scorer was killed', async () => {
    const { fd, start, values, letters } = streamOf('columns', { partitions: 2, checkpointEveryMs: 1 })
    const produce = ['produce', ...COLUMNS_ALONE, '--limit', String(SENT)]
    const score = ['score', '--model', 'columns']
    await fd(...produce)
    // The ids outlive a scorer that ends …
    await fd(...score, '--until-idle')
    const scorer = start(...score)
    await scorer.says('Scoring with')
    await fd(...produce)
    // … and one that is killed among those that come again.
    const found = vi.waitUntil(async () => (await letters()).length > 0, { timeout: 120_000 })
    await whileAlive(found, scorer)
    scorer.child.kill('SIGKILL')
    await scorer.ended
    await fd(...score, '--until-idle')
    await fd(...produce)
    await fd(...score, '--until-idle')

    type Decided = { transaction_id: number; input: Place }
    const predictions = await values<Decided>('predictions')
    expect(predictions.length).toBe(SENT)
    const firsts = new Map(predictions.map(({ transaction_id: id, input }) => [id, input]))
    expect(firsts.size).toBe(SENT)
    const again = await letters()
    expect(again.length).toBe(2 * SENT)
    const places = [...firsts.values()].map(({ partition, offset }) => `${partition} ${offset}`)
    for (const { first, reason } of again) {
      expect(places).toContain(`${first?.partition} ${first?.offset}`)
      expect(reason).toMatch(/was here before, at offset \d+ of partition [01]$/)
    }
    const verified = await fd('features', 'verify', '--model', 'columns', '--json')
    const counts = { transactions: SENT, repeats: 2 * SENT, differences: 0, duplicates: 0, missing: 0 }
    expect(JSON.parse(verified)).toMatchObject(counts)
  })

  test('without times a transaction is known by its id, however much later it comes within the span', async () => {
    const { fd, values, letters } = streamOf('identified', {})
    const produce = ['produce', '--dataset', 'identified', '--limit', '300']
    const score = ['score', '--model', 'identified', '--until-idle']
    for (const _ of [1, 2]) {
      await fd(...produce)
      await fd(...score)
    }
    expect((await values('predictions')).length).toBe(300)
    const again = await letters()
    expect(again.length).toBe(300)
    for (const { first } of again) expect(first).toMatchObject({ partition: 0 })
    const verified = await fd('features', 'verify', '--model', 'identified', '--json')
    expect(JSON.parse(verified)).toMatchObject({ transactions: 300, repeats: 300, differences: 0, missing: 0 })
    // The same log, where nothing is remembered.
    const forgetful = streamOf('identified', { rememberIds: 0 })
    await forgetful.fd(...score, '--group', 'forgetful')
    expect((await values<{ group: string }>('predictions')).filter(({ group }) => group === 'forgetful').length).toBe(
      600,
    )
  })
})
