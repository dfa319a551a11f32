import { afterAll, expect, test } from 'vitest'
import { loadConfig } from '../../configs/config.ts'
import { openDataset } from '../../datasets/catalog.ts'
import { randomStream } from '../../datasets/random/random.ts'
import { requireTimes } from '../../datasets/table/dataset.ts'
import { cardFraud } from '../../features/view/card-fraud.ts'
import { userAnomaly } from '../../features/view/user-anomaly.ts'
import { checkService } from '../../features/view/view.ts'
import { ownData } from './own-data.ts'

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
const ROWS = 4000

/** Rows whose features somebody else computed. The frauds among the last quarter differ from those before. */
function rows(count: number): string {
  const random = randomStream(11)
  const lines = Array.from({ length: count }, (_, row) => {
    const fraud = random.uniform() < 0.05 ? 1 : 0
    const [v1, v2] = [random.normal(2 * fraud, 1), random.normal(row < (3 * count) / 4 ? fraud : 0, 1)]
    return `c${random.integer(50)},${v1},${v2},${(100 * random.uniform()).toFixed(2)},${fraud}`
  })
  return ['card,V1,V2,Amount,Class', ...lines].join('\n')
}

const own = ownData({ 'scored.yaml': SCORED, 'scored.csv': rows(ROWS) })
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
  expect(await own.fd('models', 'threshold', 'scored', '1')).toMatch(/frauds a day +\d/)

  // Another file has other rows of the same numbers: nobody knows which of them came later.
  const other = own.write('other.csv', rows(ROWS - 500))
  await own.fd('train', '--dataset', 'scored', '--data', other, '--param', 'rounds=20', '--register', 'scored')
  const gate = await own.try('models', 'promote', 'scored', '2')
  expect(gate.code).toBe(1)
  expect(gate.stdout + gate.stderr).toMatch(/not comparable: its dataset has no times/)
}, 300_000)

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
}, 300_000)
