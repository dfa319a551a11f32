import type { EpochMs } from '../../datasets/table/transaction.ts'
import { paramChanged } from '../conflict.ts'
import type { Metric } from '../model.ts'
import { checkMetric, checkParam, checkTags, MAX_RUN_TAG_VALUE } from '../naming.ts'
import type { Registry } from '../registry.ts'
import { batchesOf, type Logged } from './batch.ts'
import { nothing, type MlflowClient } from './client.ts'
import { MlflowError } from './fault.ts'
import { metric } from './json.ts'
import { allPages } from './pages.ts'
import { getRun, ofRun, setTag } from './runs.ts'

/** What is logged to a run while it is in progress. */
type LogVerbs = Pick<Registry, 'logBatch' | 'setTag' | 'getMetricHistory'>

/** What the Python client asks for. Without it MLflow answers with an empty page that has no end (issue 23916). */
const HISTORY_PAGE = 25_000

export function logVerbs(client: MlflowClient, now: () => EpochMs): LogVerbs {
  return {
    async logBatch(runId, { metrics = [], params = {}, tags = {} }) {
      checkTags(tags, MAX_RUN_TAG_VALUE)
      for (const [key, value] of Object.entries(params)) checkParam(key, value)
      const complete = metrics.map((metric): Metric => ({ timestamp: now(), step: 0, ...metric }))
      for (const metric of complete) checkMetric(metric)
      await logBatches(client, runId, { metrics: complete, params, tags })
    },

    async setTag(runId, key, value) {
      checkTags({ [key]: value }, MAX_RUN_TAG_VALUE)
      await setTag(client, runId, key, value)
    },

    async getMetricHistory(runId, key) {
      const found = await allPages('metrics', metric, (schema, token) =>
        client.get(
          'metrics/get-history',
          { run_id: runId, metric_key: key, max_results: HISTORY_PAGE, page_token: token },
          schema,
        ),
      )
      // To MLflow a run that is missing has an empty history.
      if (found.length === 0) await getRun(client, runId)
      return found.sort((a, b) => a.step - b.step || a.timestamp - b.timestamp || compareValues(a.value, b.value))
    },
  }
}

async function logBatches(client: MlflowClient, runId: string, logged: Logged): Promise<void> {
  for (const batch of batchesOf(logged)) {
    const sent = client.send('POST', 'runs/log-batch', { run_id: runId, ...batch }, nothing)
    await ofRun(runId, sent).catch(async (error: unknown) => {
      throw error instanceof MlflowError ? await conflictOf(client, runId, logged.params, error) : error
    })
  }
}

/** The server's refusal names no param in a field of its own, so what is logged is compared with what was sent. */
async function conflictOf(
  client: MlflowClient,
  runId: string,
  params: Record<string, string>,
  refusal: MlflowError,
): Promise<Error> {
  const logged = (await getRun(client, runId)).params
  const changed = Object.entries(params).find(([key, value]) => Object.hasOwn(logged, key) && logged[key] !== value)
  if (changed === undefined) return refusal
  const [key, value] = changed
  return paramChanged(runId, key, logged[key], value)
}

/** NaN first: of a number and NaN at one instant the number is the latest. */
function compareValues(a: number, b: number): number {
  if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(b)) - Number(Number.isNaN(a))
  return a < b ? -1 : Number(a > b)
}
