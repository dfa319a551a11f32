import { z } from 'zod'
import type { CodeVersion } from '../configs/code-version.ts'
import { UserError } from '../configs/user-error.ts'
import type { Dataset, SplitRule } from '../datasets/table/dataset.ts'
import type { EpochMs } from '../datasets/table/transaction.ts'
import { serviceReference, type FeatureService } from '../features/view/view.ts'
import { logOnnxModel, modelSource } from '../registry/ml-model.ts'
import { modelCardTags, readModelCard, type ModelCard } from '../registry/model-card.ts'
import type { EndedStatus, Run, Tags } from '../registry/model.ts'
import { END_REASON } from '../registry/naming.ts'
import { register } from '../registry/promotion/promotion.ts'
import type { Registry } from '../registry/registry.ts'
import type { CalibrationRequest } from './calibration/calibration.ts'
import type { Candidate } from './candidate.ts'
import { Pruned } from './fit/report.ts'
import { decodeImportance, encodeImportance, type FeatureImportance } from './importance.ts'
import type { RunOwnership } from './ownership/heartbeat.ts'

/** What a run is about, before anything is trained. */
export interface RunSubject {
  experiment: string
  dataset: Dataset
  service: FeatureService
  split: SplitRule
  calibration: CalibrationRequest | undefined
  until: EpochMs | undefined
  sort: boolean
  code: CodeVersion
  by: string
}

/** A training job, and what the registry keeps of it. */
export interface RunRequest extends RunSubject {
  /** Of the process that trains. */
  ownership: RunOwnership
  estimator: string
  seed: number
  /** Its place under a parent run, when the command trains several candidates. */
  parent?: CandidatePlace
  now: () => EpochMs
  /** Trains. `closed` is aborted when somebody else has ended the run; the fit should then end. */
  train: (closed: AbortSignal) => Promise<Candidate>
}

/** Which candidate of a parent run. All attempts at one candidate have the same place. */
export interface CandidatePlace {
  parentRunId: string
  /** From 0. */
  candidate: number
}

/** A run that finished. `source` is where its model stands. */
export interface TrainedRun {
  candidate: Candidate
  runId: string
  source: string
  card: ModelCard
}

/**
 * Artifact of a finished run: the model card, as the tags that a version of its model would have. A run's own tags are
 * too short for wide models.
 */
const CARD_FILE = 'card.json'

/** Tag of a run that has something to tell: a line each. */
const NOTES = 'fd.notes'

/** Artifact of a run that measured the importance of its features. */
const IMPORTANCE_FILE = 'importance.json'

/** Params that record how the training set of a run was made, so that it can be made again. */
export const RUN_PARAMS = { file: 'dataset.file', split: 'split', until: 'until', sort: 'sort' } as const

/**
 * Trains within a run of the registry. Logs params before the training; metrics, card and ONNX folder after it.
 * Registers a version of `model` when one is named. A run that fails stays as FAILED, and one whose report answered
 * false as KILLED.
 */
export async function logRun(
  registry: Registry,
  request: RunRequest & { model: string | undefined },
): Promise<{ candidate: Candidate; runId: string; version?: number }> {
  const { candidate, runId, source, card } = await trainRun(registry, request)
  if (request.model === undefined) return { candidate, runId }
  const { version } = await register(registry, {
    name: request.model,
    source,
    card,
    by: request.by,
    now: request.now(),
  })
  return { candidate, runId, version }
}

/** `logRun` without registering. `registerRun` can do that later, from any process. */
export async function trainRun(registry: Registry, request: RunRequest): Promise<TrainedRun> {
  const experimentId = await registry.createExperiment(request.experiment, { mayExist: true })
  const place = request.parent === undefined ? {} : placeTags(request.parent)
  const tags = { ...authorTags(request), ...place, ...request.ownership.tags }
  const { runId } = await registry.createRun(experimentId, { tags })
  await using alive = request.ownership.begin(runId)
  try {
    const digest = await request.dataset.digest()
    await registry.logBatch(runId, {
      params: { ...subjectParams(request, digest), estimator: request.estimator, seed: String(request.seed) },
    })
    const candidate = await request.train(alive.closed)
    const card = modelCard(request, candidate, digest)
    await registry.logBatch(runId, {
      params: Object.fromEntries(Object.entries(candidate.params).map(([key, value]) => [key, String(value)])),
      metrics: Object.entries(candidate.metrics).map(([key, value]) => ({ key, value })),
    })
    const notes = notesOf(candidate)
    if (notes.length > 0) await registry.setTag(runId, NOTES, notes.join('\n'))
    await registry.logArtifact(runId, CARD_FILE, Buffer.from(JSON.stringify(modelCardTags(card), null, 2)))
    if (candidate.importance !== undefined) {
      await registry.logArtifact(runId, IMPORTANCE_FILE, encodeImportance(candidate.importance))
    }
    const source = await logOnnxModel(registry, runId, {
      onnx: candidate.onnx,
      signature: candidate.signature,
      now: request.now(),
    })
    await finishRun(registry, runId)
    return { candidate, runId, source, card }
  } catch (error) {
    const own = await endFailed(registry, runId, error instanceof Pruned ? 'KILLED' : 'FAILED')
    throw !own && error instanceof Pruned ? await closedByAnother(registry, runId) : error
  }
}

/**
 * Ends a run of this process as FINISHED, with these tags. A process that was stopped for long may find that others
 * took it for dead.
 *
 * @throws UserError when somebody else has ended the run.
 */
export async function finishRun(registry: Registry, runId: string, tags?: Tags): Promise<void> {
  if (!(await registry.endRun(runId, 'FINISHED', { tags }))) throw await closedByAnother(registry, runId)
}

/**
 * Ends a run whose work has failed. A fault of that must not hide why the work failed: the run then stays RUNNING until
 * its process has ended, and whoever comes next closes it.
 *
 * @returns false when somebody else has ended the run.
 */
export async function endFailed(
  registry: Registry,
  runId: string,
  status: Exclude<EndedStatus, 'FINISHED'>,
): Promise<boolean> {
  return registry.endRun(runId, status).catch(() => true)
}

/** The error of a process whose run was ended by somebody else. */
export async function closedByAnother(registry: Registry, runId: string): Promise<UserError> {
  const { status, tags } = await registry.getRun(runId)
  const reason = tags[END_REASON] === undefined ? '' : ` ${tags[END_REASON]}`
  return new UserError(
    `Run ${runId} was closed as ${status} while this process worked on it.${reason} ` +
      'Nothing of it is registered. Run the command again.',
  )
}

/**
 * The importance of each feature in a finished run, the most needed first.
 *
 * @throws NotFoundError when the run did not measure it.
 */
export async function readImportance(registry: Registry, runId: string): Promise<FeatureImportance[]> {
  return decodeImportance(await registry.downloadArtifact(runId, IMPORTANCE_FILE))
}

/** What the user should know of a candidate before trusting it. */
export function notesOf({ telling, metrics, alertsPerDay, holdout }: Candidate): string[] {
  const suspicious = telling.map(
    ({ feature, averagePrecision }) =>
      `${feature} alone ranks the training rows with an average precision of ${averagePrecision.toFixed(3)}. ` +
      'Is it known before the decision, or only with the label?',
  )
  const { days } = holdout
  const [alerts, frauds] = [alertsPerDay * days, metrics['test_frauds']]
  const idle = metrics['average_precision'] !== undefined && alerts > frauds
  return [
    ...suspicious,
    ...(holdout.untimed === true ? [UNTIMED] : []),
    ...(idle ? [beyondFrauds(alertsPerDay, frauds / days)] : []),
  ]
}

const UNTIMED =
  'The dataset has no times, so the first rows of the file trained and the last ones judged: whoever wrote the file ' +
  'must have kept the order of time. The test rows count as one day.'

/** Says that a budget is more than there is to find. */
export function beyondFrauds(alertsPerDay: number, fraudsPerDay: number): string {
  return (
    `${alertsPerDay} alerts a day are more than the ${Number(fraudsPerDay.toPrecision(3))} frauds a day of the test ` +
    'rows, so most alerts must be false.'
  )
}

/** The notes of a finished run. */
export function readNotes({ tags }: Pick<Run, 'tags'>): string[] {
  return tags[NOTES] === undefined ? [] : tags[NOTES].split('\n')
}

/**
 * Registers the model of a finished run as a new version of `name`.
 *
 * @throws UserError when the run has not finished.
 */
export async function registerRun(
  registry: Registry,
  runId: string,
  registration: { name: string; by: string; now: EpochMs },
): Promise<{ version: number; card: ModelCard }> {
  const { status } = await registry.getRun(runId)
  if (status !== 'FINISHED') throw new UserError(`Run ${runId} is ${status}, so its model is not registered.`)
  const tags = z
    .record(z.string(), z.string())
    .parse(JSON.parse(Buffer.from(await registry.downloadArtifact(runId, CARD_FILE)).toString('utf8')))
  const card = readModelCard({ name: registration.name, version: 0, tags })
  const { version } = await register(registry, { ...registration, source: modelSource(runId), card })
  return { version, card }
}

/** Tags that say who ran what code. */
export function authorTags({ by, code }: Pick<RunSubject, 'by' | 'code'>): Record<string, string> {
  return {
    'mlflow.user': by,
    'mlflow.source.name': code.version,
    ...(code.commit === undefined ? {} : { 'mlflow.source.git.commit': code.commit }),
  }
}

/** Tags of a candidate's run: MLflow shows it under its parent. */
export function placeTags({ parentRunId, candidate }: CandidatePlace): Record<string, string> {
  return { 'mlflow.parentRunId': parentRunId, 'fd.candidate': String(candidate) }
}

/** Params from which the training set of a run can be made again. */
export function subjectParams(subject: RunSubject, digest: string): Record<string, string> {
  return {
    service: subject.service.name,
    'dataset.name': subject.dataset.name,
    'dataset.digest': digest,
    [RUN_PARAMS.file]: subject.dataset.file,
    [RUN_PARAMS.split]: JSON.stringify(subject.split),
    [RUN_PARAMS.sort]: String(subject.sort),
    ...(subject.until === undefined ? {} : { [RUN_PARAMS.until]: String(subject.until) }),
    ...(subject.calibration === undefined
      ? {}
      : { calibration: subject.calibration.method, 'calibration.share': String(subject.calibration.share) }),
  }
}

function modelCard({ service, dataset, code }: RunSubject, candidate: Candidate, digest: string): ModelCard {
  return {
    service: serviceReference(service),
    dataset: { name: dataset.name, digest, schema: dataset.schema },
    training: candidate.training,
    holdout: {
      digest: candidate.holdout.digest,
      rows: candidate.holdout.rows.length,
      period: candidate.holdout.period,
    },
    signature: candidate.signature,
    ...(Object.keys(candidate.dictionaries).length === 0 ? {} : { dictionaries: candidate.dictionaries }),
    threshold: candidate.threshold,
    alertsPerDay: candidate.alertsPerDay,
    metrics: candidate.metrics,
    codeVersion: code.version,
  }
}
