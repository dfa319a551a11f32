import type { SplitRule } from '../datasets/table/dataset.ts'
import { subset, type TrainingSet } from '../features/backfill/training-set.ts'
import { ONNX_PARITY, ONNX_RELATIVE_PARITY, type Period, type Signature } from '../registry/model-card.ts'
import { calibrate, partCalibration, type CalibrationRequest } from './calibration/calibration.ts'
import { findEstimator } from './catalog.ts'
import type { Estimator, Params } from './fit/estimator.ts'
import { type FittedModel, modelScores, signatureOf, toOnnx } from './fit/fitted-model.ts'
import { largestDifference } from './fit/graph-parity.ts'
import { fraudsIn, labelled } from './fit/labels.ts'
import type { Report } from './fit/report.ts'
import { onnxScores } from './graph/scores.ts'
import { importanceOf, type FeatureImportance, type MeasuredModel } from './importance.ts'
import { holdoutDigest, metricsOf, reliabilityOf } from './judgement.ts'
import { daysOf } from './metrics/budgets.ts'
import { splitRows } from './metrics/holdout.ts'
import type { Shuffles } from './metrics/permutation.ts'
import { tellingFeatures, type TellingFeature } from './metrics/telling-features.ts'
import { alertThreshold } from './metrics/threshold.ts'

/** What to train, and how to judge it. */
export interface CandidateRequest {
  estimator: string
  /** Parameters that differ from the defaults. Text is read as a number. */
  params: Record<string, string | number>
  split: SplitRule
  seed: number
  /** Alert budget; the threshold follows from it. */
  alertsPerDay: number
  /** Absent: the scores are the estimator's own. */
  calibration?: CalibrationRequest
  /** How often each feature is shuffled to measure its importance. Absent: importance is not measured. */
  importance?: number
}

/** A fitted model, with everything one must know before it may serve. */
export interface Candidate {
  onnx: Uint8Array
  signature: Signature
  /** All parameters, defaults included. */
  params: Params
  /** Measured on the holdout, by the ONNX graph's own scores. What needs labels is absent where there are none. */
  metrics: Record<string, number>
  /** A score at or above it is an alert. It follows from the budget. */
  threshold: number
  /** Alert budget of the request. */
  alertsPerDay: number
  /** By feature that is a category: how many names the model knows. Any other counts as missing. */
  dictionaries: Record<string, number>
  /** All training rows. */
  training: Period
  holdout: Holdout
  /** Features that tell the label by themselves on the training rows. */
  telling: TellingFeature[]
  /** The most needed feature first. Absent when the request did not ask for it. */
  importance?: FeatureImportance[]
}

/** The rows of the set that were held out, with the graph's scores. */
export interface Holdout {
  rows: Int32Array
  scores: Float32Array
  period: Period
  /** Length of the period; 1 where the rows have no times. */
  days: number
  /** Present where the rows have no times: then the period counts rows. */
  untimed?: true
  /** sha256 of the ids, in order, and labels of the rows. Metrics are comparable when the digests are equal. */
  digest: string
}

/**
 * Splits, fits, exports and judges. It judges the ONNX graph, since that is what will serve.
 *
 * @param shuffled is called after every shuffle when the request asks for importance, which is after all rounds of the
 *   fit. Answering false prunes.
 * @throws UserError for a set, split or parameter that cannot be used.
 * @throws Pruned when `report` or `shuffled` answers false.
 */
export async function trainCandidate(
  set: TrainingSet,
  request: CandidateRequest,
  report: Report,
  shuffled?: Shuffles['report'],
): Promise<Candidate> {
  const estimator = findEstimator(request.estimator)
  const params = estimator.params(request.params)
  const split = splitRows(set, request.split, estimator.unsupervised ? 'rows' : 'labels')
  const test = subset(set, split.test)
  const watch = watchFit(report, params)
  const telling = tellingFeatures(set, split.train)
  // The training rows have no name here, so that they can be freed once the fit is done.
  const fitted = await fitCalibrated(estimator, subset(set, split.train), test, { ...request, params }, watch.report)
  const { model } = fitted
  const onnx = toOnnx(model)
  const scores = await onnxScores(onnx, test.x, test.names.length, test.categorical)
  const { alertsPerDay } = request
  const threshold = alertThreshold(scores, daysOf(test), alertsPerDay)
  const metrics = {
    ...metricsOf({ test, scores }, threshold),
    ...parityMetrics(modelScores(model, test.x, test.categorical), scores),
    ...fitted.metrics,
    ...watch.metrics(),
    test_rows: test.rows,
    test_frauds: fraudsIn(test),
  }
  return {
    onnx,
    ...inputsOf(model, set),
    params,
    metrics,
    threshold,
    alertsPerDay,
    training: periodOf(set, split.train),
    holdout: holdoutOf(set, split.test, test, scores),
    telling,
    ...(await measuredImportance({ onnx, gain: model.gain }, labelled(test), request, shuffled)),
  }
}

function holdoutOf(set: TrainingSet, rows: Int32Array, test: TrainingSet, scores: Float32Array): Holdout {
  const untimed = set.untimed === true ? { untimed: true as const } : {}
  return { rows, scores, period: periodOf(set, rows), days: daysOf(test), ...untimed, digest: holdoutDigest(test) }
}

/** What the model reads. */
function inputsOf(
  { names, categorical = [] }: FittedModel,
  set: TrainingSet,
): Pick<Candidate, 'signature' | 'dictionaries'> {
  const sizes = categorical.map((column) => [names[column.feature], column.names.length] as const)
  return { signature: signatureOf(set.names, set.categorical), dictionaries: Object.fromEntries(sizes) }
}

function parityMetrics(own: Float32Array, graphs: Float32Array): Record<string, number> {
  const { absolute, relative } = largestDifference(own, graphs)
  return { [ONNX_PARITY]: absolute, [ONNX_RELATIVE_PARITY]: relative }
}

/** The importance of each feature, if the request asks for it. */
async function measuredImportance(
  model: MeasuredModel,
  test: TrainingSet,
  { importance: repeats, seed }: CandidateRequest,
  shuffled: Shuffles['report'],
): Promise<Pick<Candidate, 'importance'>> {
  if (repeats === undefined) return {}
  const shuffles = { seed, repeats, ...(shuffled && { report: shuffled }) }
  return { importance: await importanceOf(model, test, shuffles) }
}

/**
 * Wraps `report` and keeps the values of the watched, or out-of-bag, rows. Its metric is the value of the model that
 * the fit returns: of the best round where the fit stops early, else of the last.
 */
function watchFit(
  report: Report,
  { early_stopping_rounds: patience = 0 }: Params,
): { report: Report; metrics(): Record<string, number> } {
  let kept = Number.NaN
  return {
    report: (round, value, rounds) => {
      kept = patience > 0 && kept > value ? kept : value
      return report(round, value, rounds)
    },
    metrics: (): Record<string, number> => (Number.isNaN(kept) ? {} : { watched_average_precision: kept }),
  }
}

/**
 * Fits a model on the training rows and, if the request says so, calibrates it on the latest of them, which the fit
 * then does without. The metrics count the rows of each part, and judge the scores of the holdout before calibration.
 */
async function fitCalibrated(
  estimator: Estimator,
  train: TrainingSet,
  test: TrainingSet,
  request: CandidateRequest & { params: Params },
  report: Report,
): Promise<{ model: FittedModel; metrics: Record<string, number> }> {
  const { calibration, params, seed } = request
  if (calibration === undefined) {
    return { model: await estimator.fit(train, params, seed, report), metrics: countsOf('train', train) }
  }
  const { fitted, slice } = partCalibration(train, calibration)
  const model = await estimator.fit(fitted, params, seed, report)
  const before = Object.entries(reliabilityOf({ test, scores: modelScores(model, test.x, test.categorical) }))
  const metrics = {
    ...countsOf('train', fitted),
    ...countsOf('calibration', slice),
    ...Object.fromEntries(before.map(([name, value]) => [`uncalibrated_${name}`, value])),
  }
  return { model: calibrate(model, calibration.method, slice), metrics }
}

function countsOf(part: 'train' | 'calibration', set: TrainingSet): Record<string, number> {
  return { [`${part}_rows`]: set.rows, [`${part}_frauds`]: fraudsIn(set) }
}

function periodOf({ time }: TrainingSet, rows: Int32Array): Period {
  return { from: time[rows[0]], to: time[rows[rows.length - 1]] }
}
