import type { KeyColumn } from '../../datasets/table/transaction.ts'

/** The code of a value that is missing. */
export const NO_VALUE = 0

/**
 * The values of one column that a view holds, each under a code from 1 on. Rings keep codes. Two values never share
 * one, so what is counted by code is exact.
 *
 * A value stays for as long as it is held: once for each event in a ring, and while a batch that has it is folded. The
 * code of a value that was let go goes to the next new one.
 */
export class Dictionary {
  readonly #codes = new Map<number | string, number>()
  readonly #values: (number | string)[] = ['']
  readonly #holders: number[] = [0]
  readonly #free: number[] = []

  /** Number of values that are held. */
  get size(): number {
    return this.#codes.size
  }

  /** The code of a value, held once more; `NO_VALUE` for one that is missing. */
  hold(value: number | string): number {
    const known = this.#codes.get(value)
    if (known !== undefined) {
      this.#holders[known]++
      return known
    }
    // A missing value never comes into the map, so it is asked for here only.
    if (value === '' || Number.isNaN(value)) return NO_VALUE
    const code = this.#free.pop() ?? this.#values.length
    this.#codes.set(value, code)
    this.#values[code] = value
    this.#holders[code] = 1
    return code
  }

  /** Holds a value by its code once more. */
  keep(code: number): void {
    this.#holders[code]++
  }

  /** Lets go of a value once. */
  release(code: number): void {
    if (code === NO_VALUE || --this.#holders[code] > 0) return
    this.#codes.delete(this.#values[code])
    this.#values[code] = ''
    this.#free.push(code)
  }

  value(code: number): number | string {
    return this.#values[code]
  }

  /** Writes the codes of the first `size` values of a column to `codes`, each held. */
  holdAll(column: KeyColumn, size: number, codes: Uint32Array): void {
    for (let row = 0; row < size; row++) codes[row] = this.hold(column[row])
  }

  /** Lets go of what `holdAll` held. */
  releaseAll(codes: Uint32Array, size: number): void {
    for (let row = 0; row < size; row++) this.release(codes[row])
  }
}
