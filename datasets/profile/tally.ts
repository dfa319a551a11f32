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
