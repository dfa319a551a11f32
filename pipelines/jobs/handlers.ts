import type { Config } from '../../configs/config.ts'
import { jobHandler, type JobHandler } from '../../training/queue/job-process.ts'
import { backfillShardKind, trainCandidateKind } from './kinds.ts'

/** What a worker can do: each kind of job with the function that does it, loaded when the first such job comes. */
export function jobHandlers(config: Config): JobHandler[] {
  return [
    jobHandler(trainCandidateKind, async (data, report) =>
      (await import('./candidate-job.ts')).trainCandidateJob(config, data, report),
    ),
    jobHandler(backfillShardKind, async (data, report) =>
      (await import('./shards.ts')).backfillShardJob(config, data, report),
    ),
  ]
}
