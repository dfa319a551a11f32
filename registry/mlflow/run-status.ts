import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import type { EpochMs } from '../../datasets/table/transaction.ts'
import { isActive, type Run } from '../model.ts'
import { checkEnd, checkTags, checkTime, END_REASON, MAX_RUN_TAG_VALUE, RUN_NAME } from '../naming.ts'
import type { Registry } from '../registry.ts'
import { nothing, type MlflowClient } from './client.ts'
import { isMissing } from './fault.ts'
import { getRun, ofRun, setTag } from './runs.ts'
import { writeOnce } from './write-once.ts'

/** How a life of a run ends, as its param keeps it. */
const decision = z.object({
  status: z.enum(['FINISHED', 'FAILED', 'KILLED']),
  endTime: z.number(),
  reason: z.string().optional(),
  tags: z.record(z.string(), z.string()).default({}),
  /** Tells two apart who would end the run alike. */
  id: z.string(),
})

type Decision = z.output<typeof decision>

export function runStatusVerbs(client: MlflowClient, now: () => EpochMs): Pick<Registry, 'updateRun' | 'endRun'> {
  return {
    async updateRun(runId, { status, endTime = now(), runName }) {
      checkTime('endTime', endTime)
      if (runName !== undefined) checkTags({ [RUN_NAME]: runName }, MAX_RUN_TAG_VALUE)
      if (status !== undefined && isActive(status)) await beginNextLife(client, await getRun(client, runId))
      const ended = status !== undefined && !isActive(status)
      const body = { run_id: runId, status, run_name: runName, ...(ended ? { end_time: endTime } : {}) }
      await ofRun(runId, client.send('POST', 'runs/update', body, nothing))
    },

    async endRun(runId, status, end = {}) {
      checkEnd(end)
      const run = await getRun(client, runId)
      if (!isActive(run.status)) return false
      const { reason, tags = {} } = end
      const own: Decision = { status, endTime: now(), reason, tags, id: randomUUID() }
      const won = await writeOnce(client, runId, endOf(lifeOf(run)), JSON.stringify(own))
      if (won) await complete(client, runId, own)
      else await completeOther(client, runId, lifeOf(run))
      return won
    },
  }
}

/** The param that decides who ends a life of a run, and how: MLflow overwrites a status, but never a param. */
function endOf(life: number): string {
  return life === 1 ? 'fd.end' : `fd.end.${life}`
}

/** The param that says that a run has resumed after the end of this life. */
function resumedAfter(life: number): string {
  return `fd.resumed.${life}`
}

/** The life that a run is in, from 1. It has as many as it was resumed, and one more. */
function lifeOf({ params }: Run): number {
  let life = 1
  while (Object.hasOwn(params, resumedAfter(life))) life++
  return life
}

/** Lets a run that `endRun` has ended be ended anew. The reason of that end goes with it. */
async function beginNextLife(client: MlflowClient, run: Run): Promise<void> {
  const life = lifeOf(run)
  if (Object.hasOwn(run.params, endOf(life))) await writeOnce(client, run.runId, resumedAfter(life), 'yes')
  if (!Object.hasOwn(run.tags, END_REASON)) return
  const reason = { run_id: run.runId, key: END_REASON }
  await client.send('POST', 'runs/delete-tag', reason, nothing).catch((error: unknown) => {
    // Another who resumes the run was quicker, or the first of two attempts was.
    if (!isMissing(error)) throw error
  })
}

/** Completes the end of a life as another has decided it, unless the run has resumed since. */
async function completeOther(client: MlflowClient, runId: string, life: number): Promise<void> {
  const run = await getRun(client, runId)
  if (lifeOf(run) === life) await complete(client, runId, decision.parse(JSON.parse(run.params[endOf(life)])))
}

/** Lets tags and status follow the param. Everyone who does so writes the same. */
async function complete(client: MlflowClient, runId: string, decided: Decision): Promise<void> {
  const { status, endTime, reason, tags } = decided
  const all = { ...tags, ...(reason === undefined ? {} : { [END_REASON]: reason }) }
  for (const [key, value] of Object.entries(all)) await setTag(client, runId, key, value)
  const body = { run_id: runId, status, end_time: endTime }
  await ofRun(runId, client.send('POST', 'runs/update', body, nothing))
}
