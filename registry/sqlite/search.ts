import { checkMaxResults, checkSearchKeys } from '../naming.ts'
import type { Registry, RunFilter, RunSearch } from '../registry.ts'
import type { Database } from './database.ts'
import { experimentRow } from './experiments.ts'
import { runsOf } from './runs.ts'

export function searchVerbs(database: Database, folder: string): Pick<Registry, 'searchRuns'> {
  return {
    async searchRuns(experimentId, search = {}) {
      const { sql, values } = searchQuery(experimentId, search)
      return database.read(() => {
        experimentRow(database, experimentId)
        return runsOf(database, folder, database.all(sql, ...values))
      })
    },
  }
}

/** A part of an SQL text, and what its question marks stand for. */
interface Sql {
  sql: string
  values: (string | number)[]
}

function searchQuery(experimentId: string, { filter = {}, orderBy, maxResults = 1000 }: RunSearch): Sql {
  checkMaxResults(maxResults)
  checkSearchKeys(filter, orderBy?.metric)
  const where = conditionsOf(experimentId, filter)
  const by = orderOf(orderBy)
  const order = `${by.terms} r.start_time DESC, r.run_id`
  return {
    sql: `SELECT r.* FROM runs r ${by.join} WHERE ${where.sql} ORDER BY ${order} LIMIT ?`,
    values: [...by.values, ...where.values, maxResults],
  }
}

function conditionsOf(experimentId: string, filter: RunFilter): Sql {
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
  return { sql: conditions.join(' AND '), values }
}

/** Numbers, then NaN, then runs without the metric, in both directions. */
function orderOf(orderBy: RunSearch['orderBy']): { join: string; terms: string; values: string[] } {
  if (orderBy === undefined) return { join: '', terms: '', values: [] }
  const direction = orderBy.direction === 'ascending' ? 'ASC' : 'DESC'
  return {
    join: 'LEFT JOIN latest_metrics m ON m.run_id = r.run_id AND m.key = ?',
    terms: `m.run_id IS NULL, m.is_nan, m.value ${direction},`,
    values: [orderBy.metric],
  }
}
