import type { DecodedBatch } from '../../datasets/log/event-json.ts'
import type { Dataset } from '../../datasets/table/dataset.ts'
import { FRAUD_LABEL, type EpochMs } from '../../datasets/table/transaction.ts'

/** Transactions of a base's file, later than its history, that the log lacks. */
export interface Lacking {
  file: string
  transactions: number
  /** Where history ends, and the newest transaction of the log. */
  from: EpochMs
  to: EpochMs
}

/**
 * Sets what the log has after the end of a history beside what the file of that history has there. A log that begins
 * later than the history ends, be it by minutes, has left transactions out that the file can name: they are in no
 * window, and what was served equals what history and log give, without them.
 */
export class Continuation {
  readonly #until: EpochMs
  #records = 0
  #newest = -Infinity

  /** @param until where history ends. */
  constructor(until: EpochMs) {
    this.#until = until
  }

  /** Counts a batch of the log whose repeats have been taken out. A dead letter may have been any transaction. */
  add({ events, rejected }: DecodedBatch): void {
    for (let row = 0; row < events.size; row++) {
      if (events.kind[row] === FRAUD_LABEL || events.time[row] < this.#until) continue
      this.#records++
      if (events.time[row] > this.#newest) this.#newest = events.time[row]
    }
    this.#records += rejected.filter(({ kind }) => kind !== 'duplicate').length
  }

  /** Resolves to how many transactions the log lacks at least, up to its newest. Undefined when it may lack none. */
  async lacking({ dataset, sort = false }: { dataset: Dataset; sort?: boolean }): Promise<Lacking | undefined> {
    if (this.#newest === -Infinity) return undefined
    let transactions = -this.#records
    for await (const { time, size } of dataset.batches({ sort })) {
      for (let row = 0; row < size; row++) if (time[row] >= this.#until && time[row] <= this.#newest) transactions++
    }
    if (transactions <= 0) return undefined
    return { file: dataset.file, transactions, from: this.#until, to: this.#newest }
  }
}
