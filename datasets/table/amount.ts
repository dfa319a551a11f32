/** Amounts are at most this many minor units, so that a million of them still sum exactly in a float64. */
const LARGEST = 2 ** 53 / 1_000_000

/**
 * How far from a whole minor unit an amount may lie. A float64 of this size is off by its last bits. A decimal too many
 * is off by a tenth at least, so the two cannot be confused.
 */
const TOLERANCE = 1e-4

/**
 * An amount in major units as whole minor units. Records and files make amounts here and nowhere else, so both accept
 * the same ones and give the same bits. Zero is never −0.
 *
 * @param decimals of the currency: 2 makes 149.62 into 14962.
 * @returns NaN for what is no amount; `amountFault` says why.
 */
export function toMinorUnits(major: number, decimals: number): number {
  const scaled = major * 10 ** decimals
  const minor = Math.round(scaled)
  // −1e-9 would round to 0: a negative amount is refused however small it is. Adding 0 makes −0 a plain 0.
  return major >= 0 && minor <= LARGEST && Math.abs(scaled - minor) <= TOLERANCE ? minor + 0 : Number.NaN
}

/** What is wrong with what `toMinorUnits` refused: not a number at all, beyond the bounds, or too precise. */
export function amountFault(major: number, decimals: number): 'no number' | 'out of bounds' | 'too many decimals' {
  if (!Number.isFinite(major)) return 'no number'
  return major >= 0 && Math.round(major * 10 ** decimals) <= LARGEST ? 'too many decimals' : 'out of bounds'
}

/** The bounds of an amount, for messages: `0 to 90071992.54740992`, in major units. */
export function amountBounds(decimals: number): string {
  return `0 to ${LARGEST / 10 ** decimals}`
}
