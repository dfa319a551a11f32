import type { EpochMs } from '../../datasets/table/transaction.ts'
import { paramChanged } from '../conflict.ts'
import type { Metric } from '../model.ts'
import { checkMetric, checkParam, checkTags, MAX_RUN_TAG_VALUE } from '../naming.ts'
import type { Registry } from '../registry.ts'
import type { Database } from './database.ts'
import { metricValue, putTag, runRow } from './runs.ts'

/** What is logged to a run while it is in progress. */
type LogVerbs = Pick<Registry, 'logBatch' | 'setTag' | 'getMetricHistory'>

export function logVerbs(database: Database, now: () => EpochMs): LogVerbs {
  return {
    async logBatch(runId, { metrics = [], params = {}, tags = {} }) {
      checkTags(tags, MAX_RUN_TAG_VALUE)
      for (const [key, value] of Object.entries(params)) checkParam(key, value)
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
      const sql = 'SELECT * FROM metrics WHERE run_id = ? AND key = ? ORDER BY step, timestamp, is_nan DESC, value'
      return database.all(sql, runId, key).map((row) => ({
        key,
        value: metricValue(row),
        timestamp: Number(row.timestamp),
        step: Number(row.step),
      }))
    },
  }
}

function putParam(database: Database, runId: string, key: string, value: string): void {
  if (database.run('INSERT INTO params VALUES (?, ?, ?) ON CONFLICT DO NOTHING', runId, key, value) === 1) return
  const logged = String(database.get('SELECT value FROM params WHERE run_id = ? AND key = ?', runId, key)?.value)
  if (logged !== value) throw paramChanged(runId, key, logged, value)
}

/** `latest_metrics` takes the metric only when it is later than the one it has; NaN comes before every number. */
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
