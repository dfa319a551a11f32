import { pathToFileURL } from 'node:url'
import type { EpochMs } from '../../datasets/table/transaction.ts'
import { isActive, type ActiveStatus, type EndedStatus, type Run, type RunEnd, type RunStatus } from '../model.ts'
import { checkEnd, checkTags, checkTime, END_REASON, MAX_RUN_TAG_VALUE, RUN_NAME } from '../naming.ts'
import { noSuchRun } from '../not-found.ts'
import type { Registry } from '../registry.ts'
import { artifactRoot } from './artifacts.ts'
import type { Database, Row } from './database.ts'
import { experimentRow } from './experiments.ts'

type RunVerbs = Pick<Registry, 'createRun' | 'getRun' | 'updateRun' | 'endRun'>

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
        if (status !== undefined) putStatus(database, runId, status, endTime)
        if (status !== undefined && isActive(status)) forgetReason(database, runId)
        if (runName !== undefined) putTag(database, runId, RUN_NAME, runName)
      })
    },

    async endRun(runId, status, end = {}) {
      checkEnd(end)
      return database.write(() => endRun(database, runId, { ...end, status, endTime: now() }))
    },
  }
}

/** Completes rows of `runs`, in their order, with three queries however many they are. */
export function runsOf(database: Database, folder: string, rows: Row[]): Run[] {
  const ids = JSON.stringify(rows.map((row) => row.run_id))
  const params = entriesOf(database, 'params', ids, (row) => String(row.value))
  const metrics = entriesOf(database, 'latest_metrics', ids, metricValue)
  const tags = entriesOf(database, 'tags', ids, (row) => String(row.value))
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

/**
 * What a table of keys and values has on runs.
 *
 * @param ids JSON array of run ids.
 * @returns run id → key → value.
 */
function entriesOf<T>(
  database: Database,
  table: 'params' | 'latest_metrics' | 'tags',
  ids: string,
  valueOf: (row: Row) => T,
): Map<string, Record<string, T>> {
  const rows = database.all(`SELECT * FROM ${table} WHERE run_id IN (SELECT value FROM json_each(?))`, ids)
  const ofRun = Map.groupBy(rows, (row) => String(row.run_id))
  const entries = (own: Row[]): Record<string, T> =>
    Object.fromEntries(own.map((row) => [String(row.key), valueOf(row)]))
  return new Map([...ofRun].map(([runId, own]) => [runId, entries(own)]))
}

/** The schema's CHECKs allow exactly these states. */
function runState(row: Row): { status: ActiveStatus } | { status: EndedStatus; endTime: EpochMs } {
  const status = row.status as RunStatus
  return isActive(status) ? { status } : { status, endTime: Number(row.end_time) }
}

/** @throws NotFoundError. */
export function runRow(database: Database, runId: string): Row {
  const row = database.get('SELECT * FROM runs WHERE run_id = ?', runId)
  if (row === undefined) throw noSuchRun(runId)
  return row
}

/** @returns false when the run has ended. */
function endRun(
  database: Database,
  runId: string,
  { status, endTime, reason, tags = {} }: RunEnd & { status: EndedStatus; endTime: EpochMs },
): boolean {
  if (!isActive(runRow(database, runId).status as RunStatus)) return false
  putStatus(database, runId, status, endTime)
  for (const [key, value] of Object.entries(tags)) putTag(database, runId, key, value)
  if (reason !== undefined) putTag(database, runId, END_REASON, reason)
  return true
}

function forgetReason(database: Database, runId: string): void {
  database.run('DELETE FROM tags WHERE run_id = ? AND key = ?', runId, END_REASON)
}

function putStatus(database: Database, runId: string, status: RunStatus, endTime: EpochMs): void {
  const end = isActive(status) ? null : endTime
  database.run('UPDATE runs SET status = ?, end_time = ? WHERE run_id = ?', status, end, runId)
}

/** Sets a tag. The tag of the run's name sets the name too. */
export function putTag(database: Database, runId: string, key: string, value: string): void {
  database.run('INSERT INTO tags VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value', runId, key, value)
  if (key === RUN_NAME) database.run('UPDATE runs SET run_name = ? WHERE run_id = ?', value, runId)
}

/** The value in a row of `metrics` or `latest_metrics`. */
export function metricValue(row: Row): number {
  return row.is_nan === 1 ? Number.NaN : Number(row.value)
}
