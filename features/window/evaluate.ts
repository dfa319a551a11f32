/** The aggregate functions as small integers, so that the hot loop switches on a number. */
export const COUNT = 0
export const MEAN_AMOUNT = 1
export const SUM_AMOUNT = 2
export const FRAUD_SHARE = 3
export const FRAUD_COUNT = 4
export const SECONDS_SINCE_PREVIOUS = 5
export const SECONDS_SINCE_FIRST = 6
/** An aggregator has the value (`aggregator.ts`). */
export const AGGREGATED = 7

/**
 * The value of a function from its window's totals. This is the only place where sums of amounts are divided: the same
 * totals give the same bits, whichever path led to them.
 *
 * @param prior of a smoothed share, and its weight in events. Both 0 for any other.
 * @param previous seconds since the previous event, −1 when there is none.
 * @param first seconds since the first event, −1 when there is none.
 * @param scale minor units in one major unit.
 */
export function evaluate(
  code: number,
  prior: number,
  weight: number,
  count: number,
  sum: number,
  frauds: number,
  previous: number,
  first: number,
  scale: number,
): number {
  switch (code) {
    case COUNT:
      return count
    case MEAN_AMOUNT:
      return count === 0 ? 0 : sum / count / scale
    case SUM_AMOUNT:
      return sum / scale
    case FRAUD_SHARE:
      // Over an empty window the prior itself: prior · weight / weight may round to a neighbour of it.
      return count === 0 ? prior : (frauds + prior * weight) / (count + weight)
    case FRAUD_COUNT:
      return frauds
    case SECONDS_SINCE_FIRST:
      return first
    default:
      return previous
  }
}
