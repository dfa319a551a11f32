/*
 * How far scores in [0, 1] are the probabilities they look like. Everything here takes scores and labels (0 or 1) row
 * by row, in any order, at least one row. All three figures are best at 0.
 */

/**
 * Least probability of the log loss, half the float32 step below 1. With it, a wrong certainty costs much, but not
 * infinitely much.
 */
const CERTAINTY = 2 ** -25
/** Bins of equal width of the calibration error. */
const BINS = 15

/** Mean squared difference of score and label (Brier 1950). */
export function brierScore(scores: Float32Array, y: Uint8Array): number {
  return mean(scores, (score, row) => (score - y[row]) ** 2)
}

/**
 * Mean of −log of the probability that the score gave to the actual label. Probabilities below 2⁻²⁵ count as
 * 2⁻²⁵.
 */
export function logLoss(scores: Float32Array, y: Uint8Array): number {
  return mean(scores, (score, row) => -Math.log(Math.max(y[row] === 1 ? score : 1 - score, CERTAINTY)))
}

/**
 * Expected calibration error (Naeini and others 2015; Guo and others 2017): the absolute difference between mean score
 * and share of frauds in each of 15 bins of equal width, averaged over the bins with their rows as weights.
 */
export function expectedCalibrationError(scores: Float32Array, y: Uint8Array): number {
  const excess = new Float64Array(BINS)
  for (let row = 0; row < scores.length; row++) {
    excess[Math.min(BINS - 1, Math.floor(scores[row] * BINS))] += scores[row] - y[row]
  }
  return excess.reduce((sum, own) => sum + Math.abs(own), 0) / scores.length
}

function mean(scores: Float32Array, of: (score: number, row: number) => number): number {
  let sum = 0
  for (let row = 0; row < scores.length; row++) sum += of(scores[row], row)
  return sum / scores.length
}
