import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import type { EpochMs } from '../../datasets/table/transaction.ts'
import { isActive } from '../model.ts'
import { checkTags, END_REASON, MAX_RUN_TAG_VALUE } from '../naming.ts'
import type { Registry } from '../registry.ts'
import { nothing, type MlflowClient } from './client.ts'
import { getRun, ofRun, setTag } from './runs.ts'
import { paramOf, writeOnce } from './write-once.ts'

/** The param that decides who ends a run, and how: MLflow overwrites a status, but never a param. */
const END = 'fd.end'

const runEnd = z.object({
  status: z.enum(['FINISHED', 'FAILED', 'KILLED']),
  endTime: z.number(),
  reason: z.string().optional(),
  /** Tells two apart who would end the run alike. */
  id: z.string(),
})

export function runEndVerbs(client: MlflowClient, now: () => EpochMs): Pick<Registry, 'endRun'> {
  return {
    async endRun(runId, status, reason) {
      if (reason !== undefined) checkTags({ [END_REASON]: reason }, MAX_RUN_TAG_VALUE)
      if (!isActive((await getRun(client, runId)).status)) return false
      const own = JSON.stringify({ status, endTime: now(), reason, id: randomUUID() })
      const won = await writeOnce(client, runId, END, own)
      await complete(client, runId, won ? own : ((await paramOf(client, runId, END)) ?? own))
      return won
    },
  }
}

/** Lets status and reason follow the param. Everyone who does so writes the same. */
async function complete(client: MlflowClient, runId: string, decided: string): Promise<void> {
  const { status, endTime, reason } = runEnd.parse(JSON.parse(decided))
  if (reason !== undefined) await setTag(client, runId, END_REASON, reason)
  const body = { run_id: runId, status, end_time: endTime }
  await ofRun(runId, client.send('POST', 'runs/update', body, nothing))
}
