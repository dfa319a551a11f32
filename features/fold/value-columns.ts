import type { EventBatch, KeyColumn } from '../../datasets/table/transaction.ts'
import { Dictionary } from '../window/dictionary.ts'

interface ValueColumn {
  dictionary: Dictionary
  of: (batch: EventBatch) => KeyColumn
  /** By row of the batch at hand. */
  codes: Uint32Array
}

/** The columns whose values a view compares, as codes. The kinds of its events share them. */
export class ValueColumns {
  readonly #columns = new Map<string, ValueColumn>()
  #batch: EventBatch | undefined

  /** The dictionary of a column, which is read from now on. */
  add(name: string, of: (batch: EventBatch) => KeyColumn): Dictionary {
    const known = this.#columns.get(name)
    if (known !== undefined) return known.dictionary
    const dictionary = new Dictionary()
    this.#columns.set(name, { dictionary, of, codes: new Uint32Array(0) })
    return dictionary
  }

  /** Takes the values of a batch, which are held until `close`. */
  open(batch: EventBatch): void {
    this.#batch = batch
    for (const column of this.#columns.values()) {
      if (column.codes.length < batch.size) column.codes = new Uint32Array(batch.size)
      column.dictionary.holdAll(column.of(batch), batch.size, column.codes)
    }
  }

  /** The codes of a column, by row of the batch at hand. */
  codes(name: string): Uint32Array {
    return this.#columns.get(name)?.codes ?? new Uint32Array(0)
  }

  /** Ends the batch. */
  close(): void {
    const size = this.#batch?.size ?? 0
    for (const { dictionary, codes } of this.#columns.values()) dictionary.releaseAll(codes, size)
    this.#batch = undefined
  }
}
