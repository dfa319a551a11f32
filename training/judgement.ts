import { createHash } from 'node:crypto'
import { subset, type TrainingSet } from '../features/backfill/training-set.ts'
import { AVERAGE_PRECISION } from '../registry/model-card.ts'
import { hasBothClasses, labelled } from './fit/labels.ts'
import { onnxScores } from './graph/scores.ts'
import { averagePrecision, cardPrecisionAtK, decisionsAt, recallAtFpr, rocAuc } from './metrics/metrics.ts'
import { differenceInterval } from './metrics/paired-bootstrap.ts'
import { brierScore, expectedCalibrationError, logLoss } from './metrics/reliability.ts'

/** False positive rates at which recall is reported. */
const FALSE_POSITIVE_RATES = [0.001, 0.01]
/** Cards that can be checked a day, in the Handbook's measure. */
const CARDS_A_DAY = 100

/** Rows that a model is judged on, with its scores of them. */
export interface Scored {
  test: TrainingSet
  scores: Float32Array
}

/**
 * Metrics of scores. Rows without a label count as alerts only. Whatever needs labels of both kinds is absent where
 * there are none.
 */
export function metricsOf(scored: Scored, threshold: number): Record<string, number> {
  const { alerts } = decisionsAt(scored.scores, scored.test.y, threshold)
  const known = withLabels(scored)
  if (known === undefined) return { alerts }
  return { ...ranking(known), ...decisionsAt(known.scores, known.test.y, threshold), alerts }
}

/** How far the scores are probabilities; empty where labels of both kinds are missing. */
export function reliabilityOf(scored: Scored): Record<string, number> {
  const known = withLabels(scored)
  return known === undefined ? {} : reliability(known)
}

/** The rows whose label is known; undefined when they lack a class. */
function withLabels({ test, scores }: Scored): Scored | undefined {
  const known = labelled(test)
  if (!hasBothClasses(known)) return undefined
  if (known === test) return { test, scores }
  return { test: known, scores: scores.filter((_, row) => test.y[row] <= 1) }
}

function ranking({ test: { y, time, cards }, scores }: Scored): Record<string, number> {
  return {
    [AVERAGE_PRECISION]: averagePrecision(scores, y),
    roc_auc: rocAuc(scores, y),
    ...reliability({ test: { y }, scores }),
    ...Object.fromEntries(FALSE_POSITIVE_RATES.map((rate) => [`recall_at_fpr_${rate}`, recallAtFpr(scores, y, rate)])),
    ...(cards === undefined
      ? {}
      : { [`card_precision_at_${CARDS_A_DAY}`]: cardPrecisionAtK({ scores, y, time, cards }, CARDS_A_DAY) }),
  }
}

function reliability({ test: { y }, scores }: { test: Pick<TrainingSet, 'y'>; scores: Float32Array }) {
  return {
    brier_score: brierScore(scores, y),
    log_loss: logLoss(scores, y),
    expected_calibration_error: expectedCalibrationError(scores, y),
  }
}

/** Two models on the same rows. */
export interface Duel {
  /** Average precision of each. */
  one: number
  other: number
  /** The interval of the difference, one minus other (`differenceInterval`). */
  interval: [low: number, high: number]
}

/** Seed of the resamples. It is fixed, so that a promotion that is asked for twice is answered the same. */
const RESAMPLES_SEED = 1

/**
 * Compares two scoring graphs on rows that neither has seen. Resamples draw cards where the rows have them, else rows.
 *
 * @param sets the same rows, as each of the two reads them.
 * @throws UserError when a graph cannot score such rows, or when they lack a class.
 */
export async function duel(graphs: [Uint8Array, Uint8Array], sets: [TrainingSet, TrainingSet]): Promise<Duel> {
  const [a, b] = await Promise.all(
    graphs.map((graph, i) => onnxScores(graph, sets[i].x, sets[i].names.length, sets[i].categorical)),
  )
  const { y, cards } = sets[0]
  return {
    one: averagePrecision(a, y),
    other: averagePrecision(b, y),
    interval: differenceInterval(a, b, y, RESAMPLES_SEED, cards),
  }
}

/** sha256, hex, of the ids, in order, and labels of a set. It tells which transactions a metric was measured on. */
export function holdoutDigest(test: TrainingSet): string {
  const hash = createHash('sha256')
  for (let row = 0; row < test.rows; row++) hash.update(`${JSON.stringify(test.ids[row])},${test.y[row]}\n`)
  return hash.digest('hex')
}

/** The rows of `set`, by number, that come after an instant. */
export function rowsAfter(set: TrainingSet, rows: Int32Array, instant: number): TrainingSet {
  return subset(
    set,
    rows.filter((row) => set.time[row] > instant),
  )
}
