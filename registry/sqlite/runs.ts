import { pathToFileURL } from 'node:url'
import type { EpochMs } from '../../datasets/table/transaction.ts'
import type { ActiveStatus, EndedStatus, Run, RunStatus } from '../model.ts'
import { checkMaxResults, checkTags, checkTime, MAX_RUN_TAG_VALUE, RUN_NAME } from '../naming.ts'
import { noSuchRun } from '../not-found.ts'
import type { Registry, RunSearch } from '../registry.ts'
import { artifactRoot } from './artifacts.ts'
import type { Database, Row } from './database.ts'
import { experimentRow } from './experiments.ts'

type RunVerbs = Pick<Registry, 'createRun' | 'getRun' | 'updateRun' | 'searchRuns'>

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
        if (status !== undefined)
          database.run(
            'UPDATE runs SET status = ?, end_time = ? WHERE run_id = ?',
            status,
            ended ? endTime : null,
            runId,
          )
        if (runName !== undefined) putTag(database, runId, RUN_NAME, runName)
      })
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

function searchQuery(
  experimentId: string,
  { filter = {}, orderBy, maxResults = 1000 }: RunSearch,
): { sql: string; values: (string | number)[] } {
  checkMaxResults(maxResults)
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
  const order =
    orderBy === undefined
      ? ''
      : `m.run_id IS NULL, m.is_nan, m.value ${orderBy.direction === 'ascending' ? 'ASC' : 'DESC'},`
  const join = orderBy === undefined ? '' : 'LEFT JOIN latest_metrics m ON m.run_id = r.run_id AND m.key = ?'
  const sql = `SELECT r.* FROM runs r ${join} WHERE ${conditions.join(' AND ')} ORDER BY ${order} r.start_time DESC, r.run_id LIMIT ?`
  return { sql, values: [...(orderBy === undefined ? [] : [orderBy.metric]), ...values, maxResults] }
}

/** Completes rows of `runs`, in their order, with three queries however many they are. */
function runsOf(database: Database, folder: string, rows: Row[]): Run[] {
  const ids = JSON.stringify(rows.map((row) => row.run_id))
  const collect = <T>(table: string, valueOf: (row: Row) => T): Map<string, Record<string, T>> => {
    const found = Map.groupBy(
      database.all(`SELECT * FROM ${table} WHERE run_id IN (SELECT value FROM json_each(?))`, ids),
      (row) => String(row.run_id),
    )
    return new Map(
      [...found].map(([id, entries]) => [
        id,
        Object.fromEntries(entries.map((row) => [String(row.key), valueOf(row)])),
      ]),
    )
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

/** @throws NotFoundError. */
export function runRow(database: Database, runId: string): Row {
  const row = database.get('SELECT * FROM runs WHERE run_id = ?', runId)
  if (row === undefined) throw noSuchRun(runId)
  return row
}

/** Sets a tag and, where it is the run's name, the name. */
export function putTag(database: Database, runId: string, key: string, value: string): void {
  database.run('INSERT INTO tags VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value', runId, key, value)
  if (key === RUN_NAME) database.run('UPDATE runs SET run_name = ? WHERE run_id = ?', value, runId)
}

/** The number a row of a metrics table stands for. */
export function metricValue(row: Row): number {
  return row.is_nan === 1 ? Number.NaN : Number(row.value)
}
