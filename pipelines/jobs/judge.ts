import { UserError } from '../../configs/user-error.ts'
import type { Dataset, SplitRule } from '../../datasets/table/dataset.ts'
import type { TrainingSet } from '../../features/backfill/training-set.ts'
import type { FeatureService } from '../../features/view/view.ts'
import type { ModelCard } from '../../registry/model-card.ts'
import type { ModelVersion } from '../../registry/model.ts'
import type { Candidate, Champion, Comparison } from '../../registry/promotion/gate.ts'
import type { ModelParts } from '../console/parts.ts'
import { splitSchema } from './kinds.ts'
import { comparableCommand } from './train-again.ts'
import { buildTrainingSet, type TrainingSetRequest } from './training-set.ts'

/**
 * Compares a candidate with the champion on rows of the candidate's holdout that came after the champion's training
 * too. Where both were measured on the same holdout, these are all of its rows.
 *
 * @throws UserError, which the gate counts as a refusal, when there are no such rows, or when they cannot be made
 * again. It ends with the command that leads on.
 */
export async function compareOnUnseen(
  parts: ModelParts,
  candidate: Candidate,
  champion: Champion,
): Promise<Comparison> {
  const [{ duel }, { fraudsIn, hasBothClasses }] = await Promise.all([
    import('../../training/judgement.ts'),
    import('../../training/fit/labels.ts'),
  ])
  const since = await unseenSince(parts, candidate, champion)
  const holdout = await holdoutAgain(parts, candidate)
  const own = await rowsSince(holdout, since)
  if (!hasBothClasses(own)) {
    const after = since === undefined ? '' : ` that came after the training of version ${champion.version.version}`
    throw await notComparable(parts, candidate, champion, `its test rows${after} do not hold both frauds and others`)
  }
  const others = await readAs(parts, holdout, candidate, champion, since)
  const graphs = await Promise.all([candidate, champion].map(({ version }) => graphOf(parts, version)))
  const { one, other, interval } = await duel([graphs[0], graphs[1]], [own, others ?? own])
  const unit = own.cards === undefined ? 'transaction' : holdout.cardEntity
  const [low, high] = interval
  return { candidate: one, champion: other, low, high, rows: own.rows, frauds: fraudsIn(own), unit }
}

function graphOf({ registry }: ModelParts, { name, version }: ModelVersion): Promise<Uint8Array> {
  return registry.downloadModelArtifact(name, version, 'model.onnx')
}

/**
 * The instant after which no row had a part in the champion; undefined when it saw none of the candidate's holdout.
 */
async function unseenSince(parts: ModelParts, candidate: Candidate, champion: Champion): Promise<number | undefined> {
  const { card } = champion
  const refused = (why: string): Promise<UserError> => notComparable(parts, candidate, champion, why)
  if (card === undefined) throw await refused(`version ${champion.version.version} was not registered by fd`)
  if (card.holdout.digest === candidate.card.holdout.digest) return undefined
  if (card.dataset.schema.time === 'none' && card.dataset.digest !== candidate.card.dataset.digest) {
    throw await refused('its dataset has no times, so nobody knows which of the rows of another file came later')
  }
  if (card.training === undefined) {
    throw await refused(`version ${champion.version.version} does not say which period it was trained on`)
  }
  const { period } = candidate.card.holdout
  if (period !== undefined && period.to <= card.training.to) {
    throw await refused(
      `version ${champion.version.version} was trained on rows up to ${momentOf(card.training.to, card)}, ` +
        `and the test rows of version ${candidate.version.version} end at ${momentOf(period.to, card)}`,
    )
  }
  return card.training.to
}

/** An event time, or without times a row, counted from 1. */
function momentOf(time: number, { dataset }: ModelCard): string {
  return dataset.schema.time === 'none' ? `row ${time + 1}` : new Date(time).toISOString()
}

async function notComparable(
  parts: ModelParts,
  candidate: Candidate,
  champion: Champion,
  why: string,
): Promise<UserError> {
  const { name, version } = candidate.version
  const command = await comparableCommand(parts.registry, candidate.version, champion.version)
  const train = command === undefined ? '' : `train it where it is: ${command}; or `
  return new UserError(
    `not comparable: ${why}; ${train}say why it may pass: fd models promote ${name} ${version} --force --reason TEXT`,
  )
}

/** The test rows of a version, made again. */
export interface HoldoutAgain {
  set: TrainingSet
  rows: Int32Array
  /** Whose keys `set.cards` are. */
  cardEntity: string
  request: TrainingSetRequest
}

/**
 * Makes the training set of a version again, from the file and the split that its run recorded.
 *
 * @throws UserError when the run does not say how, or when the file is gone or has changed.
 */
export async function holdoutAgain(
  parts: ModelParts,
  { version, card }: { version: ModelVersion; card: ModelCard },
): Promise<HoldoutAgain> {
  const [{ referencedService }, { splitRows }, { findEstimator }] = await Promise.all([
    import('../../features/catalog.ts'),
    import('../../training/metrics/holdout.ts'),
    import('../../training/catalog.ts'),
  ])
  const { dataset, split, params } = await subjectAgain(parts, version, card)
  const service = referencedService(card.service, dataset.schema, 'What the model carries')
  const until = params['until'] === undefined ? undefined : Number(params['until'])
  const { unsupervised } = findEstimator(params['estimator'] ?? 'boosting')
  const request = { dataset, service, split, until, sort: params['sort'] === 'true', unlabelled: unsupervised }
  const set = await buildTrainingSet(request, parts.openProgress)
  const rows = splitRows(set, split, unsupervised ? 'rows' : 'labels').test
  const cardEntity = split.kind === 'delayed' ? split.cardEntity : (dataset.schema.entities[0]?.name ?? '')
  return { set, rows, cardEntity, request }
}

async function subjectAgain(
  { registry, config }: ModelParts,
  { name, version, runId }: ModelVersion,
  card: ModelCard,
): Promise<{ dataset: Dataset; split: SplitRule; params: Record<string, string | undefined> }> {
  const [{ openDataset }, { RUN_PARAMS }] = await Promise.all([
    import('../../datasets/catalog.ts'),
    import('../../training/run.ts'),
  ])
  if (runId === undefined) {
    throw new UserError(`Version ${version} of "${name}" has no run, so its test rows cannot be made again.`)
  }
  const { params } = await registry.getRun(runId)
  const split = parseSplit(params[RUN_PARAMS.split], name, version)
  const dataset = await openDataset(card.dataset.name, config, { data: params[RUN_PARAMS.file] })
  if ((await dataset.digest()) !== card.dataset.digest) {
    throw new UserError(
      `${dataset.file} has changed since version ${version} of "${name}" was trained on it, ` +
        'so its test rows cannot be made again. ' +
        `Train again: fd train --dataset ${dataset.name} --register ${name}`,
    )
  }
  return { dataset, split, params }
}

function parseSplit(text: string | undefined, name: string, version: number): SplitRule {
  const parsed = splitSchema.safeParse(text === undefined ? undefined : JSON.parse(text))
  if (parsed.success) return parsed.data
  throw new UserError(
    `The run of version ${version} of "${name}" does not say how its data were split. ` +
      `Train again: fd train --register ${name}`,
  )
}

/** The labelled test rows after an instant; all labelled ones when there is none. */
async function rowsSince({ set, rows }: Pick<HoldoutAgain, 'set' | 'rows'>, since: number | undefined) {
  const [{ labelled }, { rowsAfter }] = await Promise.all([
    import('../../training/fit/labels.ts'),
    import('../../training/judgement.ts'),
  ])
  return labelled(rowsAfter(set, rows, since ?? -Infinity))
}

/**
 * The same rows as the champion reads them, when it was trained for another service; undefined when it reads what the
 * candidate does.
 *
 * @throws UserError when this fd does not compute the champion's features.
 */
async function readAs(
  parts: ModelParts,
  { set, rows, request }: HoldoutAgain,
  candidate: Candidate,
  champion: Champion,
  since: number | undefined,
): Promise<TrainingSet | undefined> {
  if (champion.card === undefined || champion.card.service.digest === candidate.card.service.digest) return undefined
  const service = await serviceOf(parts, candidate, champion, champion.card, request.dataset)
  const other = await buildTrainingSet({ ...request, service }, parts.openProgress)
  if (other.rows !== set.rows) throw new Error(`${set.rows} rows for one service, ${other.rows} for another`)
  return rowsSince({ set: other, rows }, since)
}

async function serviceOf(
  parts: ModelParts,
  candidate: Candidate,
  champion: Champion,
  card: ModelCard,
  dataset: Dataset,
): Promise<FeatureService> {
  const [{ referencedService }, { serviceDigest }] = await Promise.all([
    import('../../features/catalog.ts'),
    import('../../features/view/view.ts'),
  ])
  const service = referencedService(card.service, dataset.schema, 'What the model carries')
  if (serviceDigest(service) === card.service.digest) return service
  throw await notComparable(
    parts,
    candidate,
    champion,
    `version ${champion.version.version} reads features of "${card.service.name}" that this fd does not compute`,
  )
}
