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
import { importanceOf, type FeatureImportance } from './importance.ts'
import { splitRows } from './metrics/holdout.ts'
import { averagePrecision, cardPrecisionAtK, decisionsAt, recallAtFpr, rocAuc } from './metrics/metrics.ts'
import type { Shuffles } from './metrics/permutation.ts'
import { brierScore, expectedCalibrationError, logLoss } from './metrics/reliability.ts'
import { alertThreshold } from './metrics/threshold.ts'

/** What to train, and how to judge it. */
export interface CandidateRequest {
  estimator: string
  /** Parameters that differ from the defaults; text is read as a number. */
  params: Record<string, string | number>
  split: SplitRule
  seed: number
  /** Alert budget from which the threshold follows. */
  alertsPerDay: number
  /** Absent: scores are the estimator's own. */
  calibration?: CalibrationRequest
  /** Shuffles of each feature that tell what the model needs it for; absent: it is not asked. */
  importance?: number
}

/** A fitted model with all that is to be known of it before it may serve. */
export interface Candidate {
  onnx: Uint8Array
  signature: Signature
  /** All parameters, defaults included. */
  params: Params
  /** Measured on the holdout, by the ONNX graph's own scores. */
  metrics: Record<string, number>
  /** A score at or above is an alert. */
  threshold: number
  holdout: Holdout
  /** The most needed feature first; absent when not asked for. */
  importance?: FeatureImportance[]
}

/** Rows of the set that were held out, and the graph's scores of them. */
export interface Holdout {
  rows: Int32Array
  scores: Float32Array
  /** sha256 of the rows' ids, in order, and labels: equal digests, comparable metrics. */
  digest: string
}

/** False positive rates at which recall is reported. */
const FALSE_POSITIVE_RATES = [0.001, 0.01]
/** Cards that can be checked a day, in the Handbook's measure. */
const CARDS_A_DAY = 100

/**
 * Splits, fits, exports and judges. What is judged is the ONNX graph, since that is what will serve.
 *
 * @param shuffled is told of every shuffle, when the request asks for importance; the rounds of the fit are over by then. False prunes.
 * @throws UserError for a set, split or parameter that does not do; `Pruned` when `report` answers false.
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
  const { model, metrics: fitMetrics } = await fitCalibrated(
    estimator,
    subset(set, split.train),
    test,
    { ...request, params },
    watch.report,
  )
  const onnx = toOnnx(model)
  const scores = await onnxScores(onnx, test.x, test.names.length)
  const threshold = alertThreshold(scores, test.time, request.alertsPerDay)
  const metrics = {
    ...holdoutMetrics(test, scores),
    ...decisionsAt(scores, test.y, threshold),
    [ONNX_PARITY]: largestDifference(modelScores(model, test.x), scores),
    ...fitMetrics,
    ...watch.metrics(),
    test_rows: test.rows,
    test_frauds: fraudsIn(test),
  }
  const { importance: repeats, seed } = request
  return {
    onnx,
    signature: signatureOf(set.names),
    params,
    metrics,
    threshold,
    holdout: { rows: split.test, scores, digest: holdoutDigest(test) },
    ...(repeats === undefined
      ? {}
      : {
          importance: await importanceOf({ onnx, gain: model.gain }, test, {
            seed,
            repeats,
            ...(shuffled && { report: shuffled }),
          }),
        }),
  }
}

/** Hears what a fit reports of its watched, or out-of-bag, rows. What is kept is the best round where the fit stops early, else the last. */
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

/** A model fitted on the training rows, or on those before the ones that calibrate it; how many, and how the holdout's scores were before. */
async function fitCalibrated(
  estimator: Estimator,
  train: TrainingSet,
  test: TrainingSet,
  request: CandidateRequest & { params: Params },
  report: Report,
): Promise<{ model: FittedModel; metrics: Record<string, number> }> {
  const { calibration, params, seed } = request
  const counts = (part: string, rows: TrainingSet): Record<string, number> => ({
    [`${part}_rows`]: rows.rows,
    [`${part}_frauds`]: fraudsIn(rows),
  })
  if (calibration === undefined)
    return { model: await estimator.fit(train, params, seed, report), metrics: counts('train', train) }
  const { fitted, slice } = partCalibration(train, calibration)
  const model = await estimator.fit(fitted, params, seed, report)
  const before = Object.entries(reliability(modelScores(model, test.x), test.y)).map(([name, value]) => [
    `uncalibrated_${name}`,
    value,
  ])
  const metrics = { ...counts('train', fitted), ...counts('calibration', slice), ...Object.fromEntries(before) }
  return { model: calibrate(model, calibration.method, slice), metrics }
}

/**
 * Metrics of any scoring graph on the given rows, by the names that `trainCandidate` uses, without those that need a threshold:
 * to judge a champion on the candidate's holdout.
 *
 * @throws UserError when the graph cannot score such rows, or they lack a class.
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

/** sha256, hex, of the ids, in order, and labels of a set: which transactions a figure was measured on. */
export function holdoutDigest(test: TrainingSet): string {
  const hash = createHash('sha256')
  for (let row = 0; row < test.rows; row++) hash.update(`${JSON.stringify(test.ids[row])},${test.y[row]}\n`)
  return hash.digest('hex')
}

function fraudsIn(set: TrainingSet): number {
  return set.y.reduce((sum, label) => sum + label, 0)
}
