/** Up to this many distinct values are counted exactly, so that a profile stays small. */
export const MOST_VALUES = 1_000_000

/** A value and in how many rows it stands. */
export interface Frequency {
  value: string
  /** Exact, or too low by at most the tally's `missed`. */
  rows: number
}

/**
 * Counts the values of a column in bounded memory, by the algorithm of Misra and Gries: a value that finds no room
 * takes one from every count, and counts that are 0 make room. So each count is too low by at most the times that this
 * happened (`missed`), and no value that stands in more rows than that is lost. Of N rows these are at most
 * N / (mostValues + 1) times. Up to `mostValues` distinct values it never happens, and all counts are exact.
 */
export class Tally {
  readonly #rows = new Map<number | string, number>()
  readonly #marks: readonly ((value: string) => boolean)[]
  readonly #mostValues: number
  #distinct = 0
  /** For each mark, how many of the values that `distinct` counts bear it. */
  readonly marked: number[]
  /** By how many rows a count may be too low. Above 0 there were more distinct values than `distinct` says. */
  missed = 0
  /** Whether a value was seen again. Where `missed` is above 0 a value may have come again unseen. */
  repeats = false

  /** @param marks properties of a value's text, of which each is asked once for a distinct value. */
  constructor(mostValues = MOST_VALUES, marks: readonly ((value: string) => boolean)[] = []) {
    this.#mostValues = mostValues
    this.#marks = marks
    this.marked = marks.map(() => 0)
  }

  add(value: number | string): void {
    const known = this.#rows.get(value)
    if (known !== undefined) {
      this.#rows.set(value, known + 1)
      this.repeats = true
    } else if (this.#rows.size < this.#mostValues) {
      this.#rows.set(value, 1)
      // A value that comes after others have made room may have been counted before.
      if (this.missed === 0) this.#meet(String(value))
    } else this.#makeRoom()
  }

  /** How many distinct values there are: all of them, or where there are more, `mostValues`. */
  get distinct(): number {
    return this.#distinct
  }

  /**
   * The most frequent values, the most frequent first; equal ones as they came. Only those that surely stand in more
   * rows than any value that is not counted.
   */
  most(count: number): Frequency[] {
    const top: [number | string, number][] = []
    for (const entry of this.#rows) {
      if (entry[1] <= this.missed || (top.length === count && entry[1] <= top[count - 1][1])) continue
      const place = top.findIndex(([, rows]) => rows < entry[1])
      top.splice(place < 0 ? top.length : place, 0, entry)
      if (top.length > count) top.pop()
    }
    return top.map(([value, rows]) => ({ value: String(value), rows }))
  }

  #meet(value: string): void {
    this.#distinct++
    for (const [m, mark] of this.#marks.entries()) if (mark(value)) this.marked[m]++
  }

  #makeRoom(): void {
    this.missed++
    for (const [value, rows] of this.#rows) {
      if (rows === 1) this.#rows.delete(value)
      else this.#rows.set(value, rows - 1)
    }
  }
}
