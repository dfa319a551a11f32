/**
 * The lowest threshold at which `score >= threshold` raises at most `alertsPerDay` alerts a day, averaged over the
 * period of the rows. The lowest threshold has the highest recall. It follows from scores and times
 * alone: labels are not looked at, so nothing is fitted to the rows that judge the model.
 *
 * The budget of the period is `alertsPerDay × days`, rounded, but at least one alert. `days` is a real number: a
 * holdout of six hours has a quarter of a day's budget. Rows that tie are alerted together or not at all. When even the
 * highest tie exceeds the budget, the threshold is the next float32 above it, and nothing is alerted.
 *
 * @param scores float32, one a row, not empty. The threshold is one of them, or just above the largest.
 * @param days length of the period.
 */
export function alertThreshold(scores: Float32Array, days: number, alertsPerDay: number): number {
  if (scores.length === 0) throw new Error('No scores to choose a threshold from')
  const budget = Math.max(1, Math.round(alertsPerDay * days))
  const sorted = scores.slice().sort().reverse()
  if (budget >= sorted.length) return sorted[sorted.length - 1]
  // The first row beyond the budget must not be alerted, so neither may any row that ties with it.
  const refused = sorted[budget]
  const lowest = sorted.subarray(0, budget).findLast((score) => score > refused)
  return lowest ?? nextUp(refused)
}

/** The least float32 above a finite one. */
function nextUp(value: number): number {
  const bits = new Int32Array(1)
  const float = new Float32Array(bits.buffer)
  float[0] = value + 0
  bits[0] += float[0] >= 0 ? 1 : -1
  return float[0]
}
