/** Above this many distinct values no further ones are told apart, so that a profile stays small. */
const MOST_VALUES = 1_000_000

/** A value and in how many rows it stands. */
export interface Frequency {
  value: string
  rows: number
}

/** Counts the values of a column. */
export class Tally {
  readonly #rows = new Map<number | string, number>()
  /** Whether there were more distinct values than are told apart. */
  overflowed = false

  add(value: number | string): void {
    const known = this.#rows.get(value)
    if (known !== undefined) this.#rows.set(value, known + 1)
    else if (this.#rows.size < MOST_VALUES) this.#rows.set(value, 1)
    else this.overflowed = true
  }

  /** How many distinct values; at least so many where `overflowed`. */
  get distinct(): number {
    return this.#rows.size
  }

  values(): Iterable<number | string> {
    return this.#rows.keys()
  }

  /** The most frequent values, the most frequent first; equal ones as they came. */
  most(count: number): Frequency[] {
    const top: [number | string, number][] = []
    for (const entry of this.#rows) {
      if (top.length === count && entry[1] <= top[count - 1][1]) continue
      const place = top.findIndex(([, rows]) => rows < entry[1])
      top.splice(place < 0 ? top.length : place, 0, entry)
      if (top.length > count) top.pop()
    }
    return top.map(([value, rows]) => ({ value: String(value), rows }))
  }
}

/** Whether this is the number of a payment card: 13 to 19 digits whose last one is right (Luhn). */
export function isCardNumber(text: string): boolean {
  const digits = text.replaceAll(/[ -]/g, '')
  if (!/^[1-9]\d{12,18}$/.test(digits)) return false
  let sum = 0
  for (let place = 0; place < digits.length; place++) {
    const digit = Number(digits[digits.length - 1 - place])
    sum += place % 2 === 0 ? digit : digit < 5 ? 2 * digit : 2 * digit - 9
  }
  return sum % 10 === 0
}

/** A card number with its last four digits only, as receipts show it. */
export function masked(number: string): string {
  return `…${number.slice(-4)}`
}
