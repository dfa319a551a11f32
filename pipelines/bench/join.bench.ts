/**
 * Features of three entities over four windows, five functions each, beside the same in DuckDB's window SQL and in
 * pandas: a whole backfill to Parquet, and a join of as many rows that only ask. The runs take turns, and all values
 * are compared. pandas is installed from PyPI; where it cannot be, it is left out. Prints JSON. `--quick` tries it on
 * few events, without pandas.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '../../configs/config.ts'
import { errorMessage } from '../../configs/user-error.ts'
import { readFrame } from '../../datasets/frame/frame.ts'
import { randomStream } from '../../datasets/random/random.ts'
import type { Dataset, DatasetSchema } from '../../datasets/table/dataset.ts'
import { openDatabase, sqlText } from '../../datasets/table/duckdb.ts'
import { fileDataset } from '../../datasets/table/file-dataset.ts'
import { openParquetWriter } from '../../datasets/table/parquet.ts'
import { DAY } from '../../datasets/table/transaction.ts'
import { backfill, parquetSink } from '../../features/backfill/backfill.ts'
import { joinFeatures } from '../../features/join/join.ts'
import { writeJoined } from '../../features/join/joined-rows.ts'
import type { AggregateFeature } from '../../features/view/aggregation.ts'
import { featureNames, type FeatureService } from '../../features/view/view.ts'
import { run } from '../services/install.ts'
import { installPython, pythonOf } from '../services/python-environment.ts'

const quick = process.argv.includes('--quick')
const EVENTS = quick ? 20_000 : 500_000
const RUNS = quick ? 1 : 3
const DAYS = [1, 7, 30, 90]
const SPAN_DAYS = 180
const KEYS = { card: EVENTS / 25, shop: EVENTS / 250, device: EVENTS / 10 }
const ENTITIES = Object.keys(KEYS) as (keyof typeof KEYS)[]
const PANDAS = ['pandas==3.1.1', 'numpy==2.4.6', 'python-dateutil==4.0.0', 'tzdata==2026.6']

const schema: DatasetSchema = {
  id: { column: 'id', type: 'integer' },
  time: { column: 'at', unit: 'ms' },
  amount: { column: 'amount', minorUnits: 2 },
  label: { column: 'fraud' },
  entities: ENTITIES.map((name) => ({ name, column: name, type: 'integer' })),
  numeric: [],
  categorical: [],
}

const service: FeatureService = {
  name: 'sixty',
  description: '',
  views: ENTITIES.map((entity) => ({
    kind: 'aggregate',
    name: entity,
    entity,
    includesCurrent: false,
    features: DAYS.flatMap((days): AggregateFeature[] => {
      const window = { length: days * DAY }
      return [
        { name: `${entity}_count_${days}`, function: 'count', window },
        { name: `${entity}_sum_${days}`, function: 'sum_amount', window },
        { name: `${entity}_mean_${days}`, function: 'mean_amount', window },
        { name: `${entity}_share_${days}`, function: 'fraud_share', window },
        { name: `${entity}_risk_${days}`, function: 'fraud_share', window, smoothing: { prior: 0.01, weight: 10 } },
      ]
    }),
  })),
}
const names = featureNames(service)

/** Events at times that differ, so that SQL, whose rows of one time see each other, computes the same. */
function makeColumns(seed: number, offset: number): Record<string, Float64Array> {
  const random = randomStream(seed)
  const step = (SPAN_DAYS * DAY) / EVENTS
  const column = (value: (row: number) => number): Float64Array =>
    Float64Array.from({ length: EVENTS }, (_, r) => value(r))
  return {
    id: column((row) => row),
    at: column((row) => Date.UTC(2024, 0, 1) + Math.floor(row * step) + offset),
    amount: column(() => random.integer(50_000)),
    fraud: column(() => Number(random.uniform() < 0.01)),
    ...Object.fromEntries(ENTITIES.map((entity) => [entity, column(() => random.integer(KEYS[entity]))])),
  }
}

async function writeTable(file: string, columns: Record<string, Float64Array>, kept: readonly string[]): Promise<void> {
  await using writer = await openParquetWriter(
    file,
    kept.map((name) => ({ name, type: name === 'amount' ? 'DOUBLE' : 'BIGINT' })),
  )
  writer.append(
    kept.map((name) => (name === 'amount' ? columns[name].map((cents) => cents / 100) : columns[name])),
    EVENTS,
  )
  await writer.close()
}

/** What some work took: by the clock, and of all processors, which a busy machine does not change. */
interface Cost {
  seconds: number
  cpuSeconds: number
}

async function timed(work: () => Promise<unknown>): Promise<Cost> {
  const [started, before] = [performance.now(), process.cpuUsage()]
  await work()
  const { user, system } = process.cpuUsage(before)
  return { seconds: (performance.now() - started) / 1000, cpuSeconds: (user + system) / 1e6 }
}

const middle = (values: number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]

function median(costs: readonly Cost[]): Cost {
  return {
    seconds: middle(costs.map(({ seconds }) => seconds)),
    cpuSeconds: middle(costs.map(({ cpuSeconds }) => cpuSeconds)),
  }
}

/** How many times as fast as another: by the clock, and by processor time. */
function ratio(other: Cost, own: Cost): Cost {
  return { seconds: other.seconds / own.seconds, cpuSeconds: other.cpuSeconds / own.cpuSeconds }
}

async function ourBackfill(dataset: Dataset, out: string): Promise<void> {
  await using sink = await parquetSink(out, service, schema)
  await backfill(dataset, service, [sink])
}

async function ourJoin(dataset: Dataset, asked: string, out: string): Promise<void> {
  const frame = await readFrame(asked, schema)
  await writeJoined(out, frame, service, schema, await joinFeatures(dataset, service, frame))
}

/** The windows of all features over rows of which some are events. */
function windowSql(rows: string, kept: string): string {
  const windows = ENTITIES.flatMap((entity) =>
    DAYS.map((days) => {
      const range = `RANGE BETWEEN ${days * DAY - 1} PRECEDING AND 1 PRECEDING`
      return `${entity}_${days} AS (PARTITION BY ${entity} ORDER BY "at" ${range})`
    }),
  )
  const features = ENTITIES.flatMap((entity) =>
    DAYS.flatMap((days) => {
      const over = `OVER ${entity}_${days}`
      const [events, sum, frauds] = [`count(cents) ${over}`, `coalesce(sum(cents) ${over}, 0)`, `sum(fraud) ${over}`]
      const some = `greatest(${events}, 1)`
      return [
        `${events} AS ${entity}_count_${days}`,
        `${sum}::DOUBLE / 100 AS ${entity}_sum_${days}`,
        `${sum}::DOUBLE / ${some} / 100 AS ${entity}_mean_${days}`,
        `coalesce(${frauds}, 0)::DOUBLE / ${some} AS ${entity}_share_${days}`,
        `CASE WHEN ${events} = 0 THEN 0.01::DOUBLE ELSE ` +
          `(coalesce(${frauds}, 0)::DOUBLE + 0.01::DOUBLE * 10) / (${events} + 10) END AS ${entity}_risk_${days}`,
      ]
    }),
  )
  return `SELECT id, ${features.join(', ')} FROM (${rows}) WINDOW ${windows.join(', ')} QUALIFY ${kept}`
}

async function copyTo(out: string, sql: string): Promise<void> {
  await using database = await openDatabase()
  await database.run(`COPY (${sql}) TO ${sqlText(out)} (FORMAT parquet, COMPRESSION zstd)`)
}

const CENTS = 'round(amount * 100)::INTEGER AS cents, fraud::INTEGER AS fraud'
const keys = ENTITIES.join(', ')
const eventRows = (file: string): string => `SELECT id, "at", ${keys}, ${CENTS} FROM ${sqlText(file)}`
const askedRows = (file: string): string =>
  `SELECT number, "at", ${keys}, NULL AS cents, NULL AS fraud FROM ${sqlText(file)}`

/** How many of the values of two files differ, row by row of their ids. */
async function differences(ours: string, idOfOurs: string, theirs: string): Promise<number> {
  await using database = await openDatabase()
  const differ = names.map((name) => `(o.${name} IS DISTINCT FROM t.${name}::DOUBLE)::INTEGER`).join(' + ')
  const [found] = await database.rows(
    `SELECT count(*)::DOUBLE AS rows, sum(${differ})::DOUBLE AS differ FROM ${sqlText(ours)} o ` +
      `JOIN ${sqlText(theirs)} t ON o.${idOfOurs} = t.id`,
  )
  if (found.rows !== EVENTS) throw new Error(`${String(found.rows)} of ${EVENTS} rows were compared`)
  return Number(found.differ)
}

interface Peer extends Cost {
  /** The largest difference of a value from ours, in proportion to it: pandas adds in floats, and up and down. */
  largestDifference: number
}

async function pandas(folder: string, columns: Record<string, Float64Array>, ours: string): Promise<Peer | string> {
  const python = join(loadConfig().cache, 'windows-pandas-3.1.1')
  try {
    await installPython(python, PANDAS, { exact: true })
  } catch (error) {
    return `left out: ${errorMessage(error)}`
  }
  const job = { folder, columns: ['at', 'amount', 'fraud', ...ENTITIES], entities: ENTITIES, days: DAYS }
  for (const name of job.columns) writeFileSync(join(folder, `${name}.f64`), columns[name])
  writeFileSync(join(folder, 'job.json'), JSON.stringify(job))
  const printed = await run(pythonOf(python), [join(import.meta.dirname, 'windows.py'), join(folder, 'job.json')])
  await using database = await openDatabase()
  let largestDifference = 0
  for (const [f, name] of names.entries()) {
    const bytes = readFileSync(join(folder, `found${f}.f64`))
    const found = new Float64Array(bytes.buffer, bytes.byteOffset, EVENTS)
    let row = 0
    for await (const chunk of database.stream(`SELECT ${name} FROM ${sqlText(ours)}`)) {
      for (const value of chunk.doubles(0)) {
        const away = Math.abs(value - found[row++]) / Math.max(1, Math.abs(value))
        if (!(away <= largestDifference)) largestDifference = away
      }
    }
  }
  const { seconds, cpuSeconds } = JSON.parse(printed) as Cost
  return { seconds, cpuSeconds, largestDifference }
}

const folder = await mkdtemp(join(tmpdir(), 'fd-join-'))
try {
  const file = (name: string): string => join(folder, name)
  const [events, asked] = [makeColumns(1, 0), makeColumns(2, 7)]
  await writeTable(file('events.parquet'), events, ['id', 'at', 'amount', 'fraud', ...ENTITIES])
  await writeTable(file('asked.parquet'), { ...asked, number: asked['id'] }, ['number', 'at', ...ENTITIES])
  const description = { name: 'sixty', description: '', schema, service: 'sixty' }
  const split = { kind: 'ordered', trainShare: 0.7 } as const
  const dataset = fileDataset({ ...description, split }, file('events.parquet'), { maxAhead: 0 })
  const costs: Record<'backfill' | 'join', { ours: Cost[]; duckdb: Cost[] }> = {
    backfill: { ours: [], duckdb: [] },
    join: { ours: [], duckdb: [] },
  }
  const rows = eventRows(file('events.parquet'))
  const union = `${rows} UNION ALL ${askedRows(file('asked.parquet'))}`
  for (let turn = 0; turn < RUNS; turn++) {
    costs.backfill.ours.push(await timed(() => ourBackfill(dataset, file('backfill.parquet'))))
    const whole = windowSql(rows, 'true')
    costs.backfill.duckdb.push(await timed(() => copyTo(file('backfill-duckdb.parquet'), whole)))
    costs.join.ours.push(await timed(() => ourJoin(dataset, file('asked.parquet'), file('joined.parquet'))))
    costs.join.duckdb.push(await timed(() => copyTo(file('joined-duckdb.parquet'), windowSql(union, 'cents IS NULL'))))
  }
  const peer = quick ? 'left out: --quick' : await pandas(folder, events, file('backfill.parquet'))
  const [ours, duckdb] = [median(costs.backfill.ours), median(costs.backfill.duckdb)]
  const [ourJoins, theirJoins] = [median(costs.join.ours), median(costs.join.duckdb)]
  const report = {
    benchmark: 'join',
    machine: `${cpus().length} × ${cpus()[0].model}, Node ${process.version}`,
    events: EVENTS,
    features: names.length,
    backfill: {
      ours,
      eventsPerSecond: Math.round(EVENTS / ours.seconds),
      duckdb,
      timesAsFastAsDuckdb: ratio(duckdb, ours),
      differences: await differences(file('backfill.parquet'), 'transaction_id', file('backfill-duckdb.parquet')),
      pandas: peer,
      ...(typeof peer === 'string' ? {} : { timesAsFastAsPandas: ratio(peer, ours) }),
    },
    join: {
      rows: EVENTS,
      ours: ourJoins,
      duckdb: theirJoins,
      timesAsFastAsDuckdb: ratio(theirJoins, ourJoins),
      differences: await differences(file('joined.parquet'), 'number', file('joined-duckdb.parquet')),
    },
  }
  console.log(JSON.stringify(report, null, 2))
} finally {
  await rm(folder, { recursive: true, force: true })
}
