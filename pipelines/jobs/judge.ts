import { UserError } from '../../configs/user-error.ts'
import type { SplitRule } from '../../datasets/table/dataset.ts'
import type { Candidate, Champion } from '../../registry/promotion/gate.ts'
import type { ModelParts } from '../console/parts.ts'
import { splitSchema } from './kinds.ts'
import { buildTrainingSet } from './training-set.ts'

/**
 * Average precision of the champion on the candidate's holdout. The holdout is made again from the file and the split
 * that the candidate's run recorded.
 *
 * @throws UserError, which the gate counts as a refusal, when the file is gone or has changed.
 */
export async function judgeAgain(
  { registry, config, openProgress }: ModelParts,
  champion: Champion,
  candidate: Candidate,
): Promise<number> {
  const [{ openDataset }, { featureService }, { judge }, { RUN_PARAMS }, { splitRows }] = await Promise.all([
    import('../../datasets/catalog.ts'),
    import('../../features/catalog.ts'),
    import('../../training/candidate.ts'),
    import('../../training/run.ts'),
    import('../../training/metrics/holdout.ts'),
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
  const until = params[RUN_PARAMS.until]
  const set = await buildTrainingSet(
    {
      dataset,
      service: featureService(candidate.card.service.name, dataset.schema),
      split,
      until: until === undefined ? undefined : Number(until),
      sort: params[RUN_PARAMS.sort] === 'true',
    },
    openProgress,
  )
  const graph = await registry.downloadModelArtifact(champion.version.name, champion.version.version, 'model.onnx')
  const metrics = await judge(graph, set, splitRows(set, split).test)
  return metrics['average_precision']
}

function parseSplit(text: string | undefined, name: string, version: number): SplitRule {
  const parsed = splitSchema.safeParse(text === undefined ? undefined : JSON.parse(text))
  if (parsed.success) return parsed.data
  throw new UserError(
    `The run of version ${version} of "${name}" does not say how its data were split. ` +
      `Train again: fd train --register ${name}`,
  )
}
