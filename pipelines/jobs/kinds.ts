import { hostname } from 'node:os'
import { z } from 'zod'
import { codeVersion, type CodeVersion } from '../../configs/code-version.ts'
import type { Config } from '../../configs/config.ts'
import { UserError } from '../../configs/user-error.ts'
import type { Dataset, SplitRule } from '../../datasets/table/dataset.ts'
import {
  serviceReference as namedService,
  type FeatureService,
  type ServiceReference,
} from '../../features/view/view.ts'
import { JobRefused, type JobKind } from '../../training/queue/job-queue.ts'

/** Names a dataset's file by name, place and content. */
const datasetReference = z.object({ name: z.string(), file: z.string(), digest: z.string() })
/** A feature service by its digest and its definition. Jobs from before they carried it name one of fd's own. */
const serviceReference: z.ZodType<ServiceReference> = z.object({
  name: z.string(),
  digest: z.string(),
  maxEvents: z.number().optional(),
  definition: z.looseObject({}).optional(),
})

/** The code of whoever submitted a job. Jobs from before they named their code have none. */
const codeSchema = z.object({ version: z.string(), digest: z.string(), commit: z.string().optional() }).optional()

/** What a job reads, without the data themselves: these stay in files that every worker has. */
export interface References {
  dataset: z.infer<typeof datasetReference>
  service: ServiceReference
}

/** A split as a run or a job stores it. */
export const splitSchema: z.ZodType<SplitRule> = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('ordered'), trainShare: z.number() }),
  z.object({
    kind: z.literal('delayed'),
    trainFrom: z.number(),
    trainDays: z.number(),
    delayDays: z.number(),
    testDays: z.number(),
    cardEntity: z.string(),
  }),
])

const candidate = z.object({
  parentRunId: z.string(),
  /** Whether it is trained for the choice among several, or to be used. */
  purpose: z.enum(['selection', 'use']).default('use'),
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
  code: codeSchema,
  by: z.string(),
})
/** The job that trains one candidate as a run of the registry. Its result is the id of the run. */
export type TrainCandidate = z.infer<typeof candidate>
export const trainCandidateKind: JobKind<TrainCandidate, { runId: string }> = {
  name: 'train-candidate',
  data: candidate,
  result: z.object({ runId: z.string() }),
}

const shard = z.object({
  code: codeSchema,
  dataset: datasetReference,
  service: serviceReference,
  /** Folder of the parts, on a disk that worker and command share. */
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
/** The job that folds a share of a history's keys and leaves the parts in a folder. */
export type BackfillShard = z.infer<typeof shard>
export type ShardResult = z.infer<typeof shardResult>
export const backfillShardKind: JobKind<BackfillShard, ShardResult> = {
  name: 'backfill-shard',
  data: shard,
  result: shardResult,
}

/** The references that a job carries to whoever does it. */
export async function referenceTo(dataset: Dataset, service: FeatureService): Promise<References> {
  return {
    dataset: { name: dataset.name, file: dataset.file, digest: await dataset.digest() },
    service: namedService(service),
  }
}

/**
 * The code of a job, which must be that of this process. Sources are compared, so that an image without git does the
 * jobs of a checkout. A refusal is no attempt: the job goes back to the queue, where a worker of the right code takes
 * it.
 *
 * @throws JobRefused when the job was submitted by other code.
 */
export function sameCode(wanted: CodeVersion | undefined): CodeVersion {
  const own = codeVersion()
  if (wanted?.digest === own.digest) return wanted
  throw new JobRefused(
    `The worker at ${hostname()} has the code ${own.version}, and the job was submitted by ` +
      `${wanted?.version ?? 'an older fd that does not name its code'}. Results of different code must not be mixed. ` +
      'Start one from the code of the command: fd worker',
  )
}

/**
 * What a job's references stand for on this machine.
 *
 * @throws UserError when this worker's file differs from that of the command, or its version of fd does.
 */
export async function resolveReferences(
  config: Config,
  wanted: References,
): Promise<{ dataset: Dataset; service: FeatureService }> {
  const [{ openDataset }, { referencedService }, { serviceDigest }] = await Promise.all([
    import('../../datasets/catalog.ts'),
    import('../../features/catalog.ts'),
    import('../../features/view/view.ts'),
  ])
  const dataset = await openDataset(wanted.dataset.name, config, { data: wanted.dataset.file })
  if ((await dataset.digest()) !== wanted.dataset.digest) {
    throw new UserError(
      `${dataset.file} on the worker at ${hostname()} is not the file that the command read. ` +
        'Workers need the same files at the same place.',
    )
  }
  const service = referencedService(wanted.service, dataset.schema, 'What the job carries')
  if (serviceDigest(service) !== wanted.service.digest) {
    throw new UserError(
      `The worker at ${hostname()} defines the feature service "${service.name}" differently. ` +
        'Start it from the same version of fd: fd worker',
    )
  }
  return { dataset, service }
}
