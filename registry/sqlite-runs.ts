import { pathToFileURL } from 'node:url'
import { UserError } from '../configs/user-error.ts'
import type { EpochMs } from '../datasets/transaction.ts'
import type { ActiveStatus, EndedStatus, Experiment, Metric, Run, RunStatus, Tags } from './model.ts'
import { checkExperimentName, checkKey, checkLength, MAX_EXPERIMENT_TAG_VALUE, MAX_PARAM_VALUE, MAX_RUN_TAG_VALUE } from './naming.ts'
import { noSuchExperiment, noSuchRun } from './not-found.ts'
import type { Registry, RunSearch } from './registry.ts'
import { artifactRoot } from './sqlite-artifacts.ts'
import type { Database, Row } from './sqlite-database.ts'

type ExperimentVerbs = Pick<Registry, 'createExperiment' | 'getExperiment' | 'getExperimentByName' | 'searchExperiments'>
type RunVerbs = Pick<Registry, 'createRun' | 'getRun' | 'updateRun' | 'logBatch' | 'setTag' | 'getMetricHistory' | 'searchRuns'>

/** The tag in which MLflow repeats a run's name. */
const RUN_NAME = 'mlflow.runName'
const MAX_RESULTS = 50_000

export function experimentVerbs(database: Database, now: () => EpochMs): ExperimentVerbs {
  const experimentOf = (row: Row): Experiment => ({
    experimentId: String(row.experiment_id),
    name: String(row.name),
    tags: pairs(database.all('SELECT key, value FROM experiment_tags WHERE experiment_id = ?', row.experiment_id)),
    creationTime: Number(row.creation_time),
    lastUpdateTime: Number(row.last_update_time),
  })
  return {
    async createExperiment(name, { tags = {}, mayExist = false } = {}) {
      checkExperimentName(name)
      checkTags(tags, MAX_EXPERIMENT_TAG_VALUE)
      return database.write(() => {
        const existing = database.get('SELECT experiment_id FROM experiments WHERE name = ?', name)
        if (existing !== undefined && mayExist) return String(existing.experiment_id)
        if (existing !== undefined) throw new UserError(`Experiment "${name}" exists already, with id ${String(existing.experiment_id)}. Choose another name.`)
        const time = now()
        const row = database.get('INSERT INTO experiments VALUES (NULL, ?, ?, ?) RETURNING experiment_id', name, time, time)
        const id = String(row?.experiment_id)
        for (const [key, value] of Object.entries(tags)) database.run('INSERT INTO experiment_tags VALUES (?, ?, ?)', Number(id), key, value)
        return id
      })
    },

    async getExperiment(experimentId) {
      return database.read(() => experimentOf(experimentRow(database, experimentId)))
    },

    async getExperimentByName(name) {
      return database.read(() => {
        const row = database.get('SELECT * FROM experiments WHERE name = ?', name)
        return row === undefined ? undefined : experimentOf(row)
      })
    },

    async searchExperiments() {
      return database.read(() => database.all('SELECT * FROM experiments ORDER BY creation_time DESC, experiment_id DESC').map(experimentOf))
    },
  }
}

export function runVerbs(database: Database, folder: string, now: () => EpochMs, newId: () => string): RunVerbs {
  return {
    async createRun(experimentId, { runName, startTime = now(), tags = {} } = {}) {
      checkTime('startTime', startTime)
      const runId = newId()
      const name = runName ?? tags[RUN_NAME] ?? `run-${runId.slice(0, 8)}`
      const named = { ...tags, [RUN_NAME]: name }
      checkTags(named, MAX_RUN_TAG_VALUE)
      return database.write(() => {
        const experiment = experimentRow(database, experimentId).experiment_id
        database.run("INSERT INTO runs VALUES (?, ?, ?, 'RUNNING', ?, NULL)", runId, experiment, name, startTime)
        for (const [key, value] of Object.entries(named)) putTag(database, runId, key, value)
        return runsOf(database, folder, [runRow(database, runId)])[0]
      })
    },

    async getRun(runId) {
      return database.read(() => runsOf(database, folder, [runRow(database, runId)])[0])
    },

    async updateRun(runId, { status, endTime = now(), runName }) {
      checkTime('endTime', endTime)
      if (runName !== undefined) checkTags({ [RUN_NAME]: runName }, MAX_RUN_TAG_VALUE)
      database.write(() => {
        runRow(database, runId)
        const ended = status !== 'RUNNING' && status !== 'SCHEDULED'
        if (status !== undefined) database.run('UPDATE runs SET status = ?, end_time = ? WHERE run_id = ?', status, ended ? endTime : null, runId)
        if (runName !== undefined) putTag(database, runId, RUN_NAME, runName)
      })
    },

    async logBatch(runId, { metrics = [], params = {}, tags = {} }) {
      checkTags(tags, MAX_RUN_TAG_VALUE)
      for (const [key, value] of Object.entries(params)) {
        checkKey('param', key)
        checkLength(`Param "${key}"`, value, MAX_PARAM_VALUE)
      }
      const complete = metrics.map((metric): Metric => ({ timestamp: now(), step: 0, ...metric }))
      for (const metric of complete) checkMetric(metric)
      database.write(() => {
        runRow(database, runId)
        for (const [key, value] of Object.entries(params)) putParam(database, runId, key, value)
        for (const metric of complete) putMetric(database, runId, metric)
        for (const [key, value] of Object.entries(tags)) putTag(database, runId, key, value)
      })
    },

    async setTag(runId, key, value) {
      checkTags({ [key]: value }, MAX_RUN_TAG_VALUE)
      database.write(() => {
        runRow(database, runId)
        putTag(database, runId, key, value)
      })
    },

    async getMetricHistory(runId, key) {
      runRow(database, runId)
      const rows = database.all('SELECT * FROM metrics WHERE run_id = ? AND key = ? ORDER BY step, timestamp, is_nan DESC, value', runId, key)
      return rows.map((row) => ({ key, value: metricValue(row), timestamp: Number(row.timestamp), step: Number(row.step) }))
    },

    async searchRuns(experimentId, search = {}) {
      const { sql, values } = searchQuery(experimentId, search)
      return database.read(() => {
        experimentRow(database, experimentId)
        return runsOf(database, folder, database.all(sql, ...values))
      })
    },
  }
}

function searchQuery(experimentId: string, { filter = {}, orderBy, maxResults = 1000 }: RunSearch): { sql: string; values: (string | number)[] } {
  if (!Number.isInteger(maxResults) || maxResults < 1 || maxResults > MAX_RESULTS) {
    throw new UserError(`maxResults ${maxResults} must be a whole number from 1 to ${MAX_RESULTS}.`)
  }
  const conditions = ['r.experiment_id = ?']
  const values: (string | number)[] = [Number(experimentId)]
  if (filter.status !== undefined) {
    conditions.push('r.status = ?')
    values.push(filter.status)
  }
  for (const table of ['tags', 'params'] as const) {
    for (const [key, value] of Object.entries(filter[table] ?? {})) {
      conditions.push(`EXISTS (SELECT 1 FROM ${table} t WHERE t.run_id = r.run_id AND t.key = ? AND t.value = ?)`)
      values.push(key, value)
    }
  }
  const order = orderBy === undefined ? '' : `m.run_id IS NULL, m.is_nan, m.value ${orderBy.direction === 'ascending' ? 'ASC' : 'DESC'},`
  const join = orderBy === undefined ? '' : 'LEFT JOIN latest_metrics m ON m.run_id = r.run_id AND m.key = ?'
  const sql = `SELECT r.* FROM runs r ${join} WHERE ${conditions.join(' AND ')} ORDER BY ${order} r.start_time DESC, r.run_id LIMIT ?`
  return { sql, values: [...(orderBy === undefined ? [] : [orderBy.metric]), ...values, maxResults] }
}

/** Completes rows of `runs`, in their order, with three queries however many they are. */
function runsOf(database: Database, folder: string, rows: Row[]): Run[] {
  const ids = JSON.stringify(rows.map((row) => row.run_id))
  const collect = <T>(table: string, valueOf: (row: Row) => T): Map<string, Record<string, T>> => {
    const found = Map.groupBy(database.all(`SELECT * FROM ${table} WHERE run_id IN (SELECT value FROM json_each(?))`, ids), (row) => String(row.run_id))
    return new Map([...found].map(([id, entries]) => [id, Object.fromEntries(entries.map((row) => [String(row.key), valueOf(row)]))]))
  }
  const params = collect('params', (row) => String(row.value))
  const metrics = collect('latest_metrics', metricValue)
  const tags = collect('tags', (row) => String(row.value))
  return rows.map((row) => {
    const runId = String(row.run_id)
    const experimentId = String(row.experiment_id)
    const state = runState(row)
    return {
      runId,
      runName: String(row.run_name),
      experimentId,
      startTime: Number(row.start_time),
      artifactUri: pathToFileURL(artifactRoot(folder, experimentId, runId)).href,
      params: params.get(runId) ?? {},
      metrics: metrics.get(runId) ?? {},
      tags: tags.get(runId) ?? {},
      ...state,
    }
  })
}

/** The schema's CHECKs hold exactly these states. */
function runState(row: Row): { status: ActiveStatus } | { status: EndedStatus; endTime: EpochMs } {
  const status = row.status as RunStatus
  return status === 'RUNNING' || status === 'SCHEDULED' ? { status } : { status, endTime: Number(row.end_time) }
}

function experimentRow(database: Database, experimentId: string): Row {
  const row = /^\d{1,15}$/.test(experimentId) ? database.get('SELECT * FROM experiments WHERE experiment_id = ?', Number(experimentId)) : undefined
  if (row !== undefined) return row
  const existing = database.all('SELECT experiment_id, name FROM experiments ORDER BY experiment_id')
  throw noSuchExperiment(experimentId, existing.map((other) => `${String(other.experiment_id)} ("${String(other.name)}")`))
}

function runRow(database: Database, runId: string): Row {
  const row = database.get('SELECT * FROM runs WHERE run_id = ?', runId)
  if (row === undefined) throw noSuchRun(runId)
  return row
}

function putParam(database: Database, runId: string, key: string, value: string): void {
  if (database.run('INSERT INTO params VALUES (?, ?, ?) ON CONFLICT DO NOTHING', runId, key, value) === 1) return
  const logged = String(database.get('SELECT value FROM params WHERE run_id = ? AND key = ?', runId, key)?.value)
  if (logged === value) return
  throw new UserError(`Param "${key}" of run ${runId} is "${logged}" and cannot become "${value}": params are written once. Start a new run.`)
}

function putMetric(database: Database, runId: string, { key, value, timestamp, step }: Metric): void {
  const isNaN = Number.isNaN(value) ? 1 : 0
  const values = [runId, key, step, timestamp, isNaN, isNaN === 1 ? 0 : value] as const
  database.run('INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING', ...values)
  database.run(
    `INSERT INTO latest_metrics VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
     SET step = excluded.step, timestamp = excluded.timestamp, is_nan = excluded.is_nan, value = excluded.value
     WHERE (excluded.step, excluded.timestamp, -excluded.is_nan, excluded.value) > (step, timestamp, -is_nan, value)`,
    ...values,
  )
}

function putTag(database: Database, runId: string, key: string, value: string): void {
  database.run('INSERT INTO tags VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value', runId, key, value)
  if (key === RUN_NAME) database.run('UPDATE runs SET run_name = ? WHERE run_id = ?', value, runId)
}

function metricValue(row: Row): number {
  return row.is_nan === 1 ? Number.NaN : Number(row.value)
}

function checkMetric({ key, value, timestamp, step }: Metric): void {
  checkKey('metric', key)
  checkTime(`The timestamp of metric "${key}"`, timestamp)
  if (!Number.isSafeInteger(step)) throw new UserError(`The step of metric "${key}" is ${step}, it must be a whole number.`)
  if (typeof value !== 'number') throw new UserError(`Metric "${key}" is ${JSON.stringify(value)}, it must be a number.`)
}

function checkTime(what: string, time: EpochMs): void {
  if (!Number.isSafeInteger(time) || time < 0) throw new UserError(`${what} is ${time}, it must be whole milliseconds since 1970.`)
}

function checkTags(tags: Tags, longest: number): void {
  for (const [key, value] of Object.entries(tags)) {
    checkKey('tag', key)
    checkLength(`Tag "${key}"`, value, longest)
  }
}

/** Rows of (key, value) as an object; `__proto__` is a key like any other. */
export function pairs(rows: Row[]): Tags {
  return Object.fromEntries(rows.map((row) => [String(row.key), String(row.value)]))
}

