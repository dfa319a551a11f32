/**
 * Amounts are at most this many minor units, 687 million in a currency of cents, and refunds as many below 0. Balances
 * of mobile money come to half of that. A float64 sums them exactly up to 2^53, which is 90 trillion in such a
 * currency, or 131,072 of the largest amount.
 */
const LARGEST = 2 ** 36

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
 * @param refunds whether an amount below 0 is a refund. Without it, it is no amount.
 * @returns NaN for what is no amount; `amountFault` says why.
 */
export function toMinorUnits(major: number, decimals: number, refunds = false): number {
  const scaled = major * 10 ** decimals
  const minor = Math.round(scaled)
  const sound = isWithin(major, minor, refunds) && Math.abs(scaled - minor) <= TOLERANCE
  // Adding 0 makes −0 a plain 0.
  return sound ? minor + 0 : Number.NaN
}

/** What is wrong with what `toMinorUnits` refused: not a number at all, beyond the bounds, or too precise. */
export function amountFault(
  major: number,
  decimals: number,
  refunds = false,
): 'no number' | 'out of bounds' | 'too many decimals' {
  if (!Number.isFinite(major)) return 'no number'
  return isWithin(major, Math.round(major * 10 ** decimals), refunds) ? 'too many decimals' : 'out of bounds'
}

/**
 * A number of a column with so many decimals, as the float that is nearest to its decimal text. Times 10^decimals and
 * rounded, it is a whole number again. Files and records are read by this alone.
 *
 * @returns NaN for what has more decimals or lies beyond the bounds of a refund; `amountFault` says which.
 */
export function toDecimal(number: number, decimals: number): number {
  return toMinorUnits(number, decimals, true) / 10 ** decimals
}

/** Without refunds, −1e-9 is refused too, though it would round to 0. */
function isWithin(major: number, minor: number, refunds: boolean): boolean {
  return (refunds || major >= 0) && Math.abs(minor) <= LARGEST
}

/** The bounds of an amount, for messages: `0 to 687194767.36`, in major units. */
export function amountBounds(decimals: number, refunds = false): string {
  const largest = LARGEST / 10 ** decimals
  return `${refunds ? `−${largest}` : '0'} to ${largest}`
}
