import { hostname } from 'node:os'
import { z } from 'zod'
import { UserError } from '../../configs/user-error.ts'
import type { Dataset } from '../../datasets/table/dataset.ts'
import type { FeatureService } from '../../features/view/view.ts'
import { jobHandler, type JobHandler } from '../../training/queue/job-process.ts'
import type { JobKind } from '../../training/queue/job-queue.ts'
import type { Context } from '../console/command.ts'
import type { Output } from '../console/output.ts'
import { splitSchema } from './judge.ts'

/** Which file, by name, place and content. */
const datasetReference = z.object({ name: z.string(), file: z.string(), digest: z.string() })
/** Which features, by name and definition. */
const serviceReference = z.object({ name: z.string(), digest: z.string() })

const candidate = z.object({
  parentRunId: z.string(),
  candidate: z.number(),
  experiment: z.string(),
  dataset: datasetReference,
  service: serviceReference,
  split: splitSchema,
  until: z.number().optional(),
  sort: z.boolean(),
  estimator: z.string(),
  params: z.record(z.string(), z.string()),
  seed: z.number(),
  alertsPerDay: z.number(),
  importance: z.number().optional(),
  calibration: z.object({ method: z.enum(['isotonic', 'platt']), share: z.number() }).optional(),
  codeVersion: z.string(),
  by: z.string(),
})
/** Trains one candidate as a run of the registry; the run is the result. */
export type TrainCandidate = z.infer<typeof candidate>
export const trainCandidateKind: JobKind<TrainCandidate, { runId: string }> = {
  name: 'train-candidate',
  data: candidate,
  result: z.object({ runId: z.string() }),
}

const shard = z.object({
  dataset: datasetReference,
  service: serviceReference,
  /** Of the parts, on a disk that worker and command share. */
  folder: z.string(),
  count: z.number(),
  shard: z.number(),
  features: z.boolean(),
  states: z.boolean(),
  until: z.number().optional(),
  sort: z.boolean(),
})
const shardResult = z.object({
  transactions: z.number(),
  frauds: z.number(),
  labels: z.number(),
  watermark: z.number().nullable(),
  keys: z.number(),
})
/** Folds a share of the keys of a history, and leaves the parts in a folder. */
export type BackfillShard = z.infer<typeof shard>
export type ShardResult = z.infer<typeof shardResult>
export const backfillShardKind: JobKind<BackfillShard, ShardResult> = {
  name: 'backfill-shard',
  data: shard,
  result: shardResult,
}

/** What a worker can do: the name of a job, and the function that does it. */
export function jobHandlers(context: Context): JobHandler[] {
  const quiet = { ...context, output: SILENCE }
  return [
    jobHandler(trainCandidateKind, async (data, report) =>
      (await import('./candidates.ts')).trainCandidateJob(quiet, data, report),
    ),
    jobHandler(backfillShardKind, async (data, report) =>
      (await import('./shards.ts')).backfillShardJob(quiet, data, report),
    ),
  ]
}

/** How a job speaks: by its progress and its result. Bars of several processes on one terminal would draw over each other. */
const SILENCE: Output = {
  json: true,
  result: () => {},
  note: () => {},
  progress: () => ({ update: () => {}, end: () => {} }),
}

export async function referenceTo(
  dataset: Dataset,
  service: FeatureService,
): Promise<{ dataset: z.infer<typeof datasetReference>; service: z.infer<typeof serviceReference> }> {
  const { serviceDigest } = await import('../../features/view/view.ts')
  return {
    dataset: { name: dataset.name, file: dataset.file, digest: await dataset.digest() },
    service: { name: service.name, digest: serviceDigest(service) },
  }
}

/** What a job's references stand for here. @throws UserError when this worker's file or version of fd is not that of the command. */
export async function resolveReferences(
  context: Context,
  wanted: Awaited<ReturnType<typeof referenceTo>>,
): Promise<{ dataset: Dataset; service: FeatureService }> {
  const [{ openDataset }, { featureService }, { serviceDigest }] = await Promise.all([
    import('../../datasets/catalog.ts'),
    import('../../features/catalog.ts'),
    import('../../features/view/view.ts'),
  ])
  const dataset = await openDataset(wanted.dataset.name, context.config, { data: wanted.dataset.file })
  if ((await dataset.digest()) !== wanted.dataset.digest) {
    throw new UserError(
      `${dataset.file} on the worker at ${hostname()} is not the file that the command read. Workers need the same files at the same place.`,
    )
  }
  const service = featureService(wanted.service.name, dataset.schema)
  if (serviceDigest(service) !== wanted.service.digest) {
    throw new UserError(
      `The worker at ${hostname()} defines the feature service "${service.name}" differently. Start it from the same version of fd: fd worker`,
    )
  }
  return { dataset, service }
}
