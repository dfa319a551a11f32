import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { loadConfig } from '../../configs/config.ts'
import { REAL_DATA } from '../../configs/testing/real-data.ts'
import { openDataset } from '../../datasets/catalog.ts'
import { inLogOrder } from '../../datasets/order/log-order.ts'
import { simulateToParquet } from '../../datasets/simulator/simulator.ts'
import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import { openDatabase, sqlText } from '../../datasets/table/duckdb.ts'
import { DAY, emptyBatch, HOUR, type EventBatch } from '../../datasets/table/transaction.ts'
import { cardFraud } from '../definition/card-fraud.ts'
import { kaggleCc } from '../definition/kaggle-cc.ts'
import { decodeState } from '../fold/entity-state.ts'
import { ServiceFold } from '../fold/service-fold.ts'
import { featureNames } from '../view/view.ts'
import { backfill, parquetSink, statesOf } from './backfill.ts'
import { trainingSetSink } from './training-set.ts'

const data = REAL_DATA
const raw = join(data, 'handbook-raw.parquet')
const published = join(data, 'handbook-features-sample.parquet')
const start = Date.UTC(2018, 3, 1)

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fd-backfill-'))
  await simulateToParquet(
    { customers: 60, terminals: 100, days: 60, seed: 5, start },
    join(folder, 'simulated.parquet'),
    () => {},
  )
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const simulated = () => openDataset('simulated', loadConfig(undefined, {}), { data: join(folder, 'simulated.parquet') })

// The outside truth: features that the Handbook's authors published for a tenth of their transactions. The project may
// not ship them, so this test runs only where they are.
test.runIf(existsSync(raw) && existsSync(published))(
  'the Handbook, in full: counts, means and risks are the published ones',
  async () => {
    const dataset = await openDataset('handbook', loadConfig(undefined, {}), { data: raw })
    const out = join(folder, 'handbook.parquet')
    await using sink = await parquetSink(out, cardFraud, dataset.schema)
    const { report } = await backfill(dataset, cardFraud, [sink])
    expect(report).toMatchObject({ transactions: 1_754_155, frauds: 14_681, late: 0 })

    await using database = await openDatabase()
    const names = featureNames(cardFraud).filter((name) => name !== 'tx_amount')
    const counts = names.map(
      (name) => `count(*) FILTER (abs(ours."${name}" - theirs."${name.toUpperCase()}") > 1e-9)::DOUBLE AS "${name}"`,
    )
    const joined =
      `FROM ${sqlText(out)} AS ours JOIN ${sqlText(published)} AS theirs ` +
      'ON ours.transaction_id = theirs.TRANSACTION_ID'
    const [row] = await database.rows(`SELECT count(*)::DOUBLE AS compared, ${counts.join(', ')} ${joined}`)
    expect(row['compared']).toBe(175_078)
    for (const name of names) {
      // Of two transactions of one customer in the same second, ours lets the first not see the second. By that it
      // differs from the published features in 29 rows in all, of which the sample has a few.
      const ties = name.startsWith('customer_id') ? 29 : 0
      expect(row[name], name).toBeLessThanOrEqual(ties)
    }
    const exact = names
      .filter((name) => name.includes('risk'))
      .map((name) => `ours."${name}" <> theirs."${name.toUpperCase()}"`)
    const [risks] = await database.rows(`SELECT count(*)::DOUBLE AS different ${joined} WHERE ${exact.join(' OR ')}`)
    expect(risks['different']).toBe(0)
  },
)

test('Parquet and training set hold the same rows in log order, the training set cast to float32', async () => {
  const dataset = await simulated()
  const out = join(folder, 'features.parquet')
  await using sink = await parquetSink(out, cardFraud, dataset.schema)
  const memory = trainingSetSink(cardFraud, dataset.schema)
  const { report } = await backfill(dataset, cardFraud, [sink, memory])
  const set = memory.set()
  await using database = await openDatabase()
  const rows = await database.rows(`SELECT * FROM ${sqlText(out)}`)
  expect(rows.length).toBe(report.transactions)
  expect(set.rows).toBe(rows.length)
  expect(Object.keys(rows[0])).toEqual(['transaction_id', ...set.names, 'label'])
  rows.forEach((row, k) => {
    expect(Number(row['transaction_id'])).toBe(set.ids[k])
    expect(row['label']).toBe(set.y[k])
    expect(set.names.map((name) => Math.fround(Number(row[name])))).toEqual([
      ...set.x.subarray(k * set.names.length, (k + 1) * set.names.length),
    ])
  })
})

test('a training set of the past holds only what was known by then', async () => {
  const dataset = await simulated()
  const until = start + 40 * DAY
  const memory = trainingSetSink(cardFraud, dataset.schema, { knownBy: until })
  await backfill(dataset, cardFraud, [memory], { until })
  const set = memory.set()
  expect(set.rows).toBeGreaterThan(1000)
  expect(Math.max(...set.time)).toBeLessThanOrEqual(until - 7 * DAY)
})

test('a fold that goes on from published state equals one that never stopped', async () => {
  const dataset = await simulated()
  const cut = start + 45 * DAY
  const whole = trainingSetSink(cardFraud, dataset.schema)
  await backfill(dataset, cardFraud, [whole])

  const { fold, report } = await backfill(dataset, cardFraud, [], { until: cut })
  const resumed = new ServiceFold(cardFraud, dataset.schema)
  const views = new Map(resumed.views.map((view) => [view.view.name, view]))
  for (const { view, key, bytes } of statesOf(fold)) {
    const into = views.get(view)
    if (into) decodeState(into, into.addKey(key), bytes)
  }
  const rest = trainingSetSink(cardFraud, dataset.schema)
  for await (const batch of inLogOrder(dataset.batches(), dataset.schema, { from: cut }))
    rest.write(batch, resumed.fold(batch))
  const [expected, actual] = [whole.set(), rest.set()]
  expect(actual.rows).toBe(expected.rows - report.transactions)
  expect(actual.x).toEqual(expected.x.subarray(report.transactions * expected.names.length))
})

test('published state reaches back as far as an event needs that comes an hour late', async () => {
  const dataset = await simulated()
  const until = start + 45 * DAY
  const { fold } = await backfill(dataset, cardFraud, [], { until })
  const resumed = new ServiceFold(cardFraud, dataset.schema)
  const views = new Map(resumed.views.map((view) => [view.view.name, view]))
  for (const { view, key, bytes } of statesOf(fold)) {
    const into = views.get(view)
    if (into) decodeState(into, into.addKey(key), bytes)
  }
  const whole = new ServiceFold(cardFraud, dataset.schema)
  for await (const batch of inLogOrder(dataset.batches(), dataset.schema, { until })) whole.fold(batch)
  const late = lateEvents(whole, dataset.schema)
  const [wanted, found] = [whole, resumed].map((each) => {
    const { rows, values, late: flags } = each.fold(late)
    return { flags: flags.slice(0, rows), values: values.slice(0, rows * each.names.length) }
  })
  expect(found).toEqual(wanted)
})

/** A transaction of each customer, an hour before its newest, each at another terminal. */
function lateEvents(fold: ServiceFold, schema: DatasetSchema): EventBatch {
  const [customers, terminals] = ['customer', 'terminal'].map((entity) =>
    fold.views.find(({ view }) => view.entity === entity),
  )
  if (customers === undefined || terminals === undefined) throw new Error('cardFraud has no such view')
  const batch = emptyBatch({ id: 'integer', entities: schema.entities, numeric: 0, categorical: 0 }, customers.keys)
  for (let row = 0; row < customers.keys; row++) {
    batch.ids[row] = 1e9 + row
    batch.time[row] = customers.payments.clock.at(row) - HOUR
    batch.amount[row] = 100
    batch.entities[0][row] = customers.key(row)
    batch.entities[1][row] = terminals.key(row)
  }
  return batch
}

test('a service that the dataset cannot feed is refused by what is missing', async () => {
  await expect(backfill(await simulated(), kaggleCc, [])).rejects.toThrow(
    /service "kaggle-cc" does not fit dataset "simulated": it has no numeric column "V1"/,
  )
})
