import { mkdirSync, readdirSync, readFileSync, truncateSync, statSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { loadConfig } from '../../configs/config.ts'
import { openDataset } from '../../datasets/catalog.ts'
import { simulateToParquet } from '../../datasets/simulator/simulator.ts'
import type { Dataset } from '../../datasets/table/dataset.ts'
import { DAY, type EventBatch } from '../../datasets/table/transaction.ts'
import { count, distinct, isNew, view } from '../definition/builders.ts'
import { cardFraud } from '../definition/card-fraud.ts'
import type { FeatureMatrix } from '../fold/fold-output.ts'
import type { EntityState } from '../store/online-store.ts'
import { featureNames, type FeatureService } from '../view/view.ts'
import { backfill, parquetSink, statesOf, type FeatureSink } from './backfill.ts'
import { joinShards, joinStates } from './shard-join.ts'
import type { ShardFolder } from './shard-part.ts'
import { backfillShard, shardOf, type ShardReport } from './shard.ts'

/**
 * What is derived from shards' columns is computed where they are joined. A function of another entity and a condition
 * read more of an event than its key.
 */
const service: FeatureService = {
  ...cardFraud,
  views: [
    ...cardFraud.views,
    view(
      'customer_places',
      { entity: 'customer' },
      {
        terminals_7d: distinct('terminal', '7d'),
        new_terminal: isNew('terminal', '30d'),
        large_7d: count('7d', { where: 'amount > 50.0' }),
      },
    ),
    view('terminal_visitors', { entity: 'terminal' }, { visitors_7d: distinct('customer', '7d') }),
    {
      kind: 'derived',
      name: 'derived',
      features: [{ name: 'times_usual', expression: 'tx_amount / customer_id_avg_amount_7day_window' }],
    },
  ],
}
const width = featureNames(service).length

const start = Date.UTC(2018, 3, 1)
let folder: string
let dataset: Dataset
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fd-shards-'))
  await simulateToParquet(
    { customers: 60, terminals: 100, days: 60, seed: 5, start },
    join(folder, 'simulated.parquet'),
    () => {},
  )
  dataset = await openDataset('simulated', loadConfig(undefined, {}), { data: join(folder, 'simulated.parquet') })
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** Every bit of every feature, in order. */
function bitSink(): FeatureSink & { bits(): Buffer } {
  const kept: Buffer[] = []
  return {
    write: (_batch: EventBatch, { rows, values }: FeatureMatrix) =>
      void kept.push(Buffer.from(Float64Array.from(values.subarray(0, rows * width)).buffer)),
    close: async () => {},
    bits: () => Buffer.concat(kept),
  }
}

/** States by view and key, sorted: nothing promises the order in which they come. */
function sorted(states: Iterable<EntityState>): string[] {
  return Array.from(
    states,
    ({ view, key, bytes }) => `${view} ${typeof key} ${key} ${Buffer.from(bytes).toString('hex')}`,
  ).sort()
}

let folders = 0
async function fold(
  count: number,
  options: { until?: number } = {},
  of = dataset,
): Promise<{ parts: ShardFolder; reports: ShardReport[] }> {
  const parts = { folder: join(folder, `parts-${folders++}`), count }
  mkdirSync(parts.folder)
  const reports: ShardReport[] = []
  for (let shard = 0; shard < count; shard++)
    reports.push(
      await backfillShard(
        of,
        service,
        { ...parts, shard },
        { ...options, features: true, states: true, attempt: 'only' },
      ),
    )
  return { parts, reports }
}

test.each<[number, { until?: number }]>([
  [1, {}],
  [3, {}],
  [7, { until: start + 40 * DAY }],
])('%i shards joined are the unsharded fold, bit for bit: features, states and report', async (count, options) => {
  const whole = bitSink()
  const { report, fold: unsharded } = await backfill(dataset, service, [whole], options)
  const { parts, reports } = await fold(count, options)
  const joined = bitSink()
  await joinShards(dataset, service, [joined], parts, options)
  expect(whole.bits().length).toBe(report.transactions * width * 8)
  expect(Buffer.compare(joined.bits(), whole.bits())).toBe(0)
  expect(sorted(joinStates(parts))).toEqual(sorted(statesOf(unsharded)))
  const { transactions, frauds, labels, watermark } = report
  for (const each of reports) expect(each).toMatchObject({ transactions, frauds, labels, watermark })
  expect(reports.reduce((sum, { keys }) => sum + keys, 0)).toBe(
    unsharded.views.reduce((sum, view) => sum + view.keys, 0),
  )
})

test('rows without a terminal have missing features in some shard and leave no state; refunds have one', async () => {
  const blank: Dataset = {
    ...dataset,
    schema: {
      ...dataset.schema,
      refunds: true,
      entities: dataset.schema.entities.map((each, e) => ({ ...each, optional: e > 0 })),
    },
    batches: async function* (options) {
      for await (const batch of dataset.batches(options)) {
        for (let row = 0; row < batch.size; row += 3) batch.entities[1][row] = Number.NaN
        for (let row = 0; row < batch.size; row += 5) batch.amount[row] = -batch.amount[row]
        yield batch
      }
    },
  }
  const whole = bitSink()
  const { report, fold: unsharded } = await backfill(blank, service, [whole])
  const { parts } = await fold(3, {}, blank)
  const joined = bitSink()
  await joinShards(blank, service, [joined], parts)
  expect(Buffer.compare(joined.bits(), whole.bits())).toBe(0)
  expect(sorted(joinStates(parts))).toEqual(sorted(statesOf(unsharded)))
  const values = new Float64Array(Uint8Array.from(whole.bits()).buffer)
  const missing = Array.from({ length: report.transactions }, (_, k) => values.subarray(k * width + 9, k * width + 15))
  expect(missing.filter((row) => row.every(Number.isNaN)).length).toBeGreaterThan(report.transactions / 3 - 1)
  expect(missing.filter((row) => row.some(Number.isNaN) && !row.every(Number.isNaN))).toEqual([])
  expect(sorted(statesOf(unsharded)).filter((state) => /NaN/.test(state))).toEqual([])
})

test('the Parquet file is the same to the byte', async () => {
  const [one, two] = [join(folder, 'one.parquet'), join(folder, 'two.parquet')]
  await using whole = await parquetSink(one, service, dataset.schema)
  await backfill(dataset, service, [whole])
  await using joined = await parquetSink(two, service, dataset.schema)
  await joinShards(dataset, service, [joined], (await fold(4)).parts)
  expect(readFileSync(two).equals(readFileSync(one))).toBe(true)
})

test('a shard that is folded twice, even at one time, leaves one part, the same', async () => {
  const { parts } = await fold(2)
  const before = readdirSync(parts.folder).map((file) => [file, readFileSync(join(parts.folder, file)).toString('hex')])
  await Promise.all(
    ['a', 'b'].map((attempt) =>
      backfillShard(dataset, service, { ...parts, shard: 1 }, { features: true, states: true, attempt }),
    ),
  )
  expect(
    readdirSync(parts.folder).map((file) => [file, readFileSync(join(parts.folder, file)).toString('hex')]),
  ).toEqual(before)
})

test('a part that is missing or cut short is named', async () => {
  const { parts } = await fold(2)
  const file = readdirSync(parts.folder).find((name) => name.endsWith('.features')) ?? 'none'
  truncateSync(join(parts.folder, file), statSync(join(parts.folder, file)).size - 8)
  await expect(joinShards(dataset, service, [], parts)).rejects.toThrow(/\.features is cut short/)
  await expect(joinShards(dataset, service, [], { ...parts, count: 3 })).rejects.toThrow(
    /-2\.features is not here.*same FD_HOME/,
  )
  truncateSync(join(parts.folder, '1.states'), 1000)
  expect(() => [...joinStates(parts)]).toThrow(/1\.states is cut short/)
})

test('keys are divided evenly, whole numbers and text', () => {
  for (const keyOf of [
    (n: number) => n,
    (n: number) => n * 2 ** 33,
    (n: number) => n * 8,
    String,
    (n: number) => `customer-${n}`,
  ]) {
    const counts = new Array<number>(8).fill(0)
    for (let n = 0; n < 16_000; n++) counts[shardOf(keyOf(n), 8)]++
    for (const count of counts) expect(Math.abs(count - 2000)).toBeLessThan(300)
  }
})
