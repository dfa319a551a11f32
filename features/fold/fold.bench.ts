/**
 * Times the fold alone, and the whole backfill to Parquet beside the same features in DuckDB window SQL, in one run.
 * Prints JSON. Runs on the Handbook's transactions if they are on this machine, else on a simulation of the same size.
 */
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '../../configs/config.ts'
import { REAL_DATA } from '../../configs/testing/real-data.ts'
import { openDataset } from '../../datasets/catalog.ts'
import { inLogOrder } from '../../datasets/order/log-order.ts'
import { simulateToParquet } from '../../datasets/simulator/simulator.ts'
import type { Dataset } from '../../datasets/table/dataset.ts'
import { openDatabase, sqlText } from '../../datasets/table/duckdb.ts'
import type { EventBatch } from '../../datasets/table/transaction.ts'
import { backfill, parquetSink } from '../backfill/backfill.ts'
import { cardFraud } from '../definition/card-fraud.ts'
import { ServiceFold } from './service-fold.ts'

const RUNS = 3

async function data(folder: string): Promise<Dataset> {
  const handbook = join(REAL_DATA, 'handbook-raw.parquet')
  if (existsSync(handbook)) return openDataset('handbook', loadConfig(undefined, {}), { data: handbook })
  const file = join(folder, 'simulated.parquet')
  await simulateToParquet(
    { customers: 5000, terminals: 10_000, days: 183, seed: 0, start: Date.UTC(2018, 3, 1) },
    file,
    () => {},
  )
  return openDataset('simulated', loadConfig(undefined, {}), { data: file })
}

/** The file's events in memory, so that the fold can be timed alone. */
async function inMemory(dataset: Dataset): Promise<EventBatch[]> {
  const batches: EventBatch[] = []
  for await (const batch of inLogOrder(dataset.batches(), dataset.schema)) batches.push(structuredClone(batch))
  return batches
}

function foldAll(dataset: Dataset, batches: EventBatch[]): { seconds: number; events: number } {
  const fold = new ServiceFold(cardFraud, dataset.schema)
  const started = performance.now()
  let events = 0
  for (const batch of batches) events += fold.fold(batch).rows
  return { seconds: (performance.now() - started) / 1000, events }
}

async function backfillToParquet(dataset: Dataset, out: string): Promise<number> {
  const started = performance.now()
  await using sink = await parquetSink(out, cardFraud, dataset.schema)
  await backfill(dataset, cardFraud, [sink])
  return (performance.now() - started) / 1000
}

/** The same 15 features as windows of SQL. There rows of one second see each other, which log order does not allow. */
async function duckdbToParquet(dataset: Dataset, out: string): Promise<number> {
  const days = [1, 7, 30]
  const range = (start: number, end: number): string => {
    const until = end === 0 ? 'CURRENT ROW' : `INTERVAL ${end} DAYS PRECEDING`
    return `RANGE BETWEEN INTERVAL ${start * 86_400 - 1} SECONDS PRECEDING AND ${until}`
  }
  const windows = days.flatMap((d) => [
    `c${d} AS (PARTITION BY CUSTOMER_ID ORDER BY TX_DATETIME ${range(d, 0)})`,
    `t${d} AS (PARTITION BY TERMINAL_ID ORDER BY TX_DATETIME ${range(d + 7, 7)})`,
  ])
  const features = days.flatMap((d) => [
    `count(*) OVER c${d} AS customer_nb_${d}`,
    `avg(TX_AMOUNT) OVER c${d} AS customer_avg_${d}`,
    `count(*) OVER t${d} AS terminal_nb_${d}`,
    `coalesce(avg(TX_FRAUD) OVER t${d}, 0) AS terminal_risk_${d}`,
  ])
  const sql = `
    SELECT TRANSACTION_ID, TX_AMOUNT, dayofweek(TX_DATETIME) IN (0, 6) AS weekend, hour(TX_DATETIME) <= 6 AS night,
      ${features.join(', ')}, TX_FRAUD
    FROM ${sqlText(dataset.file)} WINDOW ${windows.join(', ')}`
  await using database = await openDatabase()
  const started = performance.now()
  await database.run(`COPY (${sql}) TO ${sqlText(out)} (FORMAT parquet, COMPRESSION zstd)`)
  return (performance.now() - started) / 1000
}

const median = (values: number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]

const folder = await mkdtemp(join(tmpdir(), 'fd-bench-'))
try {
  const dataset = await data(folder)
  // Backfills run first, so that the memory figure is theirs, and in turn with DuckDB, so that noise hits both alike.
  const ours: number[] = []
  const theirs: number[] = []
  let peak = 0
  for (let run = 0; run < RUNS; run++) {
    ours.push(await backfillToParquet(dataset, join(folder, 'ours.parquet')))
    if (run === 0) peak = process.resourceUsage().maxRSS
    theirs.push(await duckdbToParquet(dataset, join(folder, 'theirs.parquet')))
  }
  const batches = await inMemory(dataset)
  const folds = Array.from({ length: RUNS }, () => foldAll(dataset, batches))
  const seconds = median(folds.map((fold) => fold.seconds))
  console.log(
    JSON.stringify(
      {
        benchmark: 'fold',
        machine: `${cpus().length} × ${cpus()[0].model}, Node ${process.version}`,
        dataset: dataset.name,
        transactions: folds[0].events,
        fold: { seconds, eventsPerSecond: Math.round(folds[0].events / seconds) },
        backfill: { seconds: median(ours), peakMegabytes: Math.round(peak / 1024) },
        duckdbWindows: { seconds: median(theirs) },
        ratio: median(ours) / median(theirs),
      },
      null,
      2,
    ),
  )
} finally {
  await rm(folder, { recursive: true, force: true })
}
