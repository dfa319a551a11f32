import { UserError } from '../../configs/user-error.ts'
import type { SplitRule } from '../../datasets/table/dataset.ts'
import type { TrainingSet } from '../../features/backfill/training-set.ts'
import type { Candidate, Champion } from '../../registry/promotion/gate.ts'
import type { ModelParts } from '../console/parts.ts'
import { splitSchema } from './kinds.ts'
import { buildTrainingSet } from './training-set.ts'

/**
 * Average precision of the champion on the candidate's holdout.
 *
 * @throws UserError, which the gate counts as a refusal, when the holdout cannot be made again.
 */
export async function judgeAgain(parts: ModelParts, champion: Champion, candidate: Candidate): Promise<number> {
  const [{ judge }, { splitRows }] = await Promise.all([
    import('../../training/candidate.ts'),
    import('../../training/metrics/holdout.ts'),
  ])
  const { set, split } = await trainingSetAgain(parts, candidate)
  const { name, version } = champion.version
  const graph = await parts.registry.downloadModelArtifact(name, version, 'model.onnx')
  const metrics = await judge(graph, set, splitRows(set, split).test)
  return metrics['average_precision']
}

/**
 * Makes a candidate's training set again, from the file and the split that its run recorded.
 *
 * @throws UserError when the run does not say how, or when the file is gone or has changed.
 */
async function trainingSetAgain(
  { registry, config, openProgress }: ModelParts,
  candidate: Candidate,
): Promise<{ set: TrainingSet; split: SplitRule }> {
  const [{ openDataset }, { featureService }, { RUN_PARAMS }] = await Promise.all([
    import('../../datasets/catalog.ts'),
    import('../../features/catalog.ts'),
    import('../../training/run.ts'),
  ])
  const { name, version, runId } = candidate.version
  if (runId === undefined) {
    throw new UserError(`Version ${version} of "${name}" has no run, so its holdout cannot be made again.`)
  }
  const { params } = await registry.getRun(runId)
  const split = parseSplit(params[RUN_PARAMS.split], name, version)
  const dataset = await openDataset(candidate.card.dataset.name, config, { data: params[RUN_PARAMS.file] })
  if ((await dataset.digest()) !== candidate.card.dataset.digest) {
    throw new UserError(
      `${dataset.file} has changed since version ${version} of "${name}" was trained on it, ` +
        'so the champion cannot be judged on the same transactions. ' +
        `Train again: fd train --dataset ${dataset.name} --register ${name}`,
    )
  }
  const service = featureService(candidate.card.service.name, dataset.schema)
  const until = params[RUN_PARAMS.until] === undefined ? undefined : Number(params[RUN_PARAMS.until])
  const sort = params[RUN_PARAMS.sort] === 'true'
  return { set: await buildTrainingSet({ dataset, service, split, until, sort }, openProgress), split }
}

function parseSplit(text: string | undefined, name: string, version: number): SplitRule {
  const parsed = splitSchema.safeParse(text === undefined ? undefined : JSON.parse(text))
  if (parsed.success) return parsed.data
  throw new UserError(
    `The run of version ${version} of "${name}" does not say how its data were split. ` +
      `Train again: fd train --register ${name}`,
  )
}
