import { createHash } from 'node:crypto'
import type { SplitRule } from '../datasets/table/dataset.ts'
import { subset, type TrainingSet } from '../features/backfill/training-set.ts'
import { AVERAGE_PRECISION, ONNX_PARITY, type Signature } from '../registry/model-card.ts'
import { calibrate, partCalibration, type CalibrationRequest } from './calibration/calibration.ts'
import { findEstimator } from './catalog.ts'
import type { Estimator, Params } from './fit/estimator.ts'
import { type FittedModel, modelScores, signatureOf, toOnnx } from './fit/fitted-model.ts'
import { largestDifference } from './fit/graph-parity.ts'
import type { Report } from './fit/report.ts'
import { onnxScores } from './graph/scores.ts'
import { importanceOf, type FeatureImportance, type MeasuredModel } from './importance.ts'
import { splitRows } from './metrics/holdout.ts'
import { averagePrecision, cardPrecisionAtK, decisionsAt, recallAtFpr, rocAuc } from './metrics/metrics.ts'
import type { Shuffles } from './metrics/permutation.ts'
import { brierScore, expectedCalibrationError, logLoss } from './metrics/reliability.ts'
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
  /** Measured on the holdout, by the ONNX graph's own scores. */
  metrics: Record<string, number>
  /** A score at or above it is an alert. */
  threshold: number
  holdout: Holdout
  /** The most needed feature first. Absent when the request did not ask for it. */
  importance?: FeatureImportance[]
}

/** The rows of the set that were held out, with the graph's scores. */
export interface Holdout {
  rows: Int32Array
  scores: Float32Array
  /** sha256 of the ids, in order, and labels of the rows. Metrics are comparable when the digests are equal. */
  digest: string
}

/** False positive rates at which recall is reported. */
const FALSE_POSITIVE_RATES = [0.001, 0.01]
/** Cards that can be checked a day, in the Handbook's measure. */
const CARDS_A_DAY = 100

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
  const split = splitRows(set, request.split)
  const test = subset(set, split.test)
  const watch = watchFit(report, params)
  // The training rows have no name here, so that they can be freed once the fit is done.
  const fitted = await fitCalibrated(estimator, subset(set, split.train), test, { ...request, params }, watch.report)
  const { model } = fitted
  const onnx = toOnnx(model)
  const scores = await onnxScores(onnx, test.x, test.names.length)
  const threshold = alertThreshold(scores, test.time, request.alertsPerDay)
  const metrics = {
    ...holdoutMetrics(test, scores),
    ...decisionsAt(scores, test.y, threshold),
    [ONNX_PARITY]: largestDifference(modelScores(model, test.x), scores),
    ...fitted.metrics,
    ...watch.metrics(),
    test_rows: test.rows,
    test_frauds: fraudsIn(test),
  }
  return {
    onnx,
    signature: signatureOf(set.names),
    params,
    metrics,
    threshold,
    holdout: { rows: split.test, scores, digest: holdoutDigest(test) },
    ...(await measuredImportance({ onnx, gain: model.gain }, test, request, shuffled)),
  }
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
  const before = Object.entries(reliability(modelScores(model, test.x), test.y))
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

/**
 * Judges any scoring graph on the given rows, for example the champion on a candidate's holdout. The metrics have the
 * names that `trainCandidate` uses; those that need a threshold are left out.
 *
 * @throws UserError when the graph cannot score such rows, or when they lack a class.
 */
export async function judge(onnx: Uint8Array, set: TrainingSet, rows: Int32Array): Promise<Record<string, number>> {
  const test = subset(set, rows)
  return holdoutMetrics(test, await onnxScores(onnx, test.x, test.names.length))
}

function holdoutMetrics(test: TrainingSet, scores: Float32Array): Record<string, number> {
  const { y, time, cards } = test
  return {
    [AVERAGE_PRECISION]: averagePrecision(scores, y),
    roc_auc: rocAuc(scores, y),
    ...reliability(scores, y),
    ...Object.fromEntries(FALSE_POSITIVE_RATES.map((rate) => [`recall_at_fpr_${rate}`, recallAtFpr(scores, y, rate)])),
    ...(cards === undefined
      ? {}
      : { [`card_precision_at_${CARDS_A_DAY}`]: cardPrecisionAtK({ scores, y, time, cards }, CARDS_A_DAY) }),
  }
}

function reliability(scores: Float32Array, y: Uint8Array): Record<string, number> {
  return {
    brier_score: brierScore(scores, y),
    log_loss: logLoss(scores, y),
    expected_calibration_error: expectedCalibrationError(scores, y),
  }
}

/** sha256, hex, of the ids, in order, and labels of a set. It tells which transactions a metric was measured on. */
export function holdoutDigest(test: TrainingSet): string {
  const hash = createHash('sha256')
  for (let row = 0; row < test.rows; row++) hash.update(`${JSON.stringify(test.ids[row])},${test.y[row]}\n`)
  return hash.digest('hex')
}

function fraudsIn(set: TrainingSet): number {
  return set.y.reduce((sum, label) => sum + label, 0)
}
