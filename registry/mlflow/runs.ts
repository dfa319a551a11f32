import { z } from 'zod'
import type { EpochMs } from '../../datasets/table/transaction.ts'
import type { Run, Tags } from '../model.ts'
import { checkTags, checkTime, MAX_RUN_TAG_VALUE, RUN_NAME } from '../naming.ts'
import { noSuchRun } from '../not-found.ts'
import type { Registry } from '../registry.ts'
import { nothing, type MlflowClient } from './client.ts'
import { getExperiment } from './experiments.ts'
import { isMissing } from './fault.ts'
import { pairsOf, run } from './json.ts'

type RunVerbs = Pick<Registry, 'createRun' | 'getRun'>

const one = z.object({ run })

export function runVerbs(client: MlflowClient, now: () => EpochMs): RunVerbs {
  return {
    async createRun(experimentId, options = {}) {
      return createRun(client, experimentId, { startTime: now(), ...options })
    },

    getRun: (runId) => getRun(client, runId),
  }
}

interface NewRun {
  runName?: string
  startTime: EpochMs
  tags?: Tags
}

/** @throws NotFoundError when there is no such experiment. */
export async function createRun(
  client: MlflowClient,
  experimentId: string,
  { runName, startTime, tags = {} }: NewRun,
): Promise<Run> {
  checkTime('startTime', startTime)
  const named = runName === undefined ? tags : { ...tags, [RUN_NAME]: runName }
  checkTags(named, MAX_RUN_TAG_VALUE)
  await getExperiment(client, experimentId)
  const body = { experiment_id: experimentId, start_time: startTime, tags: pairsOf(named) }
  return (await client.sendOnce('POST', 'runs/create', body, one)).run
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
