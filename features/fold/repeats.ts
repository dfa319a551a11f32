import { FRAUD_LABEL, type EventBatch } from '../../datasets/table/transaction.ts'
import { IdKeeper, type IdRows, type IdView } from './id-keeper.ts'

/** A row of a batch that is a transaction for the second time. */
export interface Repeat {
  row: number
  /** The place of the first one, as `packPlace` gives it. */
  first: number
}

/**
 * Finds transactions that come twice, by the rings of views that keep ids. The rings of a view reach back over the
 * windows of all views of its entity, so what is not found there would be counted by none of them.
 *
 * The first view is asked. Where it may have let go a transaction of the row's time, or the row has no key there, the
 * others are asked in their order: one of them may still count it.
 */
export class Repeats {
  readonly #keepers: readonly IdKeeper[]

  constructor(views: readonly IdView[]) {
    this.#keepers = views.map((view) => new IdKeeper(view))
  }

  /**
   * The rows of a batch that are transactions for the second time: one of the same key, time and id would stand in the
   * ring of their key if all rows before, without their repeats, had been folded. In order of rows. So the repeats of a
   * log are the same in batches of any size.
   *
   * A row in order costs a comparison of times. Another is compared with each row of its key before it in the batch.
   *
   * @param rows by view.
   * @param places where the rows stand in the log, as `packPlace` gives it.
   */
  of(batch: EventBatch, rows: readonly IdRows[], places?: Float64Array): Repeat[] {
    const keepers = this.#keepers
    const found: Repeat[] = []
    for (let k = 0; k < keepers.length; k++) keepers[k].open(batch, rows[k], places)
    for (let row = 0; row < batch.size; row++) {
      if (batch.kind[row] === FRAUD_LABEL) continue
      const first = this.#first(row)
      if (first !== undefined) found.push({ row, first })
      else for (let k = 0; k < keepers.length; k++) keepers[k].add(row)
    }
    for (const keeper of keepers) keeper.close()
    return found
  }

  #first(row: number): number | undefined {
    const keepers = this.#keepers
    if (keepers.length > 0 && keepers[0].isNewest(row)) return undefined
    let first: number | undefined
    for (let k = 0; k < keepers.length && first === undefined; k++) {
      if (k === 1 && !keepers[0].forgets(row)) return undefined
      first = keepers[k].first(row)
    }
    return first
  }
}
