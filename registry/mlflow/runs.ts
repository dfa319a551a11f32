import { z } from 'zod'
import type { EpochMs } from '../../datasets/table/transaction.ts'
import { paramChanged } from '../conflict.ts'
import type { Metric, Run } from '../model.ts'
import { checkMetric, checkParam, checkTags, checkTime, MAX_RUN_TAG_VALUE, RUN_NAME } from '../naming.ts'
import { noSuchRun } from '../not-found.ts'
import type { Registry } from '../registry.ts'
import { batchesOf } from './batch.ts'
import { isMissing, MlflowError, nothing, type MlflowClient } from './client.ts'
import { getExperiment } from './experiments.ts'
import { metric, pairsOf, run } from './json.ts'
import { allPages } from './pages.ts'

type RunVerbs = Pick<Registry, 'createRun' | 'getRun' | 'updateRun' | 'logBatch' | 'setTag' | 'getMetricHistory'>

const one = z.object({ run })
/** What the Python client asks for; without it MLflow answers with an empty page that has no end (issue 23916). */
const HISTORY_PAGE = 25_000

export function runVerbs(client: MlflowClient, now: () => EpochMs): RunVerbs {
  return {
    async createRun(experimentId, { runName, startTime = now(), tags = {} } = {}) {
      checkTime('startTime', startTime)
      const named = runName === undefined ? tags : { ...tags, [RUN_NAME]: runName }
      checkTags(named, MAX_RUN_TAG_VALUE)
      await getExperiment(client, experimentId)
      return (
        await client.sendOnce(
          'POST',
          'runs/create',
          { experiment_id: experimentId, start_time: startTime, tags: pairsOf(named) },
          one,
        )
      ).run
    },

    getRun: (runId) => getRun(client, runId),

    async updateRun(runId, { status, endTime = now(), runName }) {
      checkTime('endTime', endTime)
      if (runName !== undefined) checkTags({ [RUN_NAME]: runName }, MAX_RUN_TAG_VALUE)
      const ended = status !== undefined && status !== 'RUNNING' && status !== 'SCHEDULED'
      await ofRun(
        runId,
        client.send(
          'POST',
          'runs/update',
          { run_id: runId, status, run_name: runName, ...(ended ? { end_time: endTime } : {}) },
          nothing,
        ),
      )
    },

    async logBatch(runId, { metrics = [], params = {}, tags = {} }) {
      checkTags(tags, MAX_RUN_TAG_VALUE)
      for (const [key, value] of Object.entries(params)) checkParam(key, value)
      const complete = metrics.map((metric): Metric => ({ timestamp: now(), step: 0, ...metric }))
      for (const metric of complete) checkMetric(metric)
      for (const batch of batchesOf({ metrics: complete, params, tags })) {
        const sent = client.send('POST', 'runs/log-batch', { run_id: runId, ...batch }, nothing)
        await ofRun(runId, sent).catch(async (error: unknown) => {
          throw error instanceof MlflowError ? await conflictOf(client, runId, params, error) : error
        })
      }
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
      if (found.length === 0) await getRun(client, runId) // To MLflow a run that is missing has an empty history.
      return found.sort((a, b) => a.step - b.step || a.timestamp - b.timestamp || compareValues(a.value, b.value))
    },
  }
}

/** @throws NotFoundError. */
export async function getRun(client: MlflowClient, runId: string): Promise<Run> {
  return (await ofRun(runId, client.get('runs/get', { run_id: runId }, one))).run
}

/** Sets a tag, unchecked. @throws NotFoundError. */
export async function setTag(client: MlflowClient, runId: string, key: string, value: string): Promise<void> {
  await ofRun(runId, client.send('POST', 'runs/set-tag', { run_id: runId, key, value }, nothing))
}

/** The answer of a call about a run. @throws NotFoundError when there is no such run. */
export async function ofRun<T>(runId: string, call: Promise<T>): Promise<T> {
  return call.catch((error: unknown) => {
    throw isMissing(error) ? noSuchRun(runId) : error
  })
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
  return changed === undefined ? refusal : paramChanged(runId, changed[0], logged[changed[0]], changed[1])
}

/** NaN first: of a number and NaN at one instant the number is the latest. */
function compareValues(a: number, b: number): number {
  if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(b)) - Number(Number.isNaN(a))
  return a < b ? -1 : Number(a > b)
}
