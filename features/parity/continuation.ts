import type { DecodedBatch } from '../../datasets/log/event-json.ts'
import { inLogOrder } from '../../datasets/order/log-order.ts'
import type { Dataset } from '../../datasets/table/dataset.ts'
import { FRAUD_LABEL, logTime, type EpochMs } from '../../datasets/table/transaction.ts'

/** What a base's file has after its history, and the log has not. */
export interface Lacking {
  file: string
  /** At least so many, up to the newest of the log. */
  transactions: number
  /** At least so many labels that became known before the first transaction that the log has after history. */
  labels: number
  /** Where history ends, and the newest transaction of the log. */
  from: EpochMs
  to: EpochMs
}

/**
 * Sets what the log has after the end of a history beside what the file of that history has there. A log that begins
 * later than the history ends, be it by minutes, has left events out that the file can name: they are in no window, and
 * what was served equals what history and log give, without them.
 */
export class Continuation {
  readonly #until: EpochMs
  #transactions = 0
  #earliest = Infinity
  #newest = -Infinity
  /** Labels before the first of these transactions in their partition. Later ones may be on their way. */
  #labels = 0

  /** @param until where history ends. */
  constructor(until: EpochMs) {
    this.#until = until
  }

  /** Takes the batches of one partition, whose repeats have been taken out. */
  partition(): (decoded: DecodedBatch) => void {
    let begun = false
    return ({ events, rejected }) => {
      for (let row = 0; row < events.size; row++) {
        const time = events.time[row]
        if (events.kind[row] === FRAUD_LABEL) {
          if (!begun) this.#labels++
          continue
        }
        if (time < this.#until) continue
        begun = true
        this.#transactions++
        this.#earliest = Math.min(this.#earliest, time)
        this.#newest = Math.max(this.#newest, time)
      }
      // A dead letter may have been any transaction.
      this.#transactions += rejected.filter(({ kind }) => kind !== 'duplicate').length
    }
  }

  /** Resolves to what the log lacks. Undefined when it may lack nothing. */
  async lacking({ dataset, sort = false }: { dataset: Dataset; sort?: boolean }): Promise<Lacking | undefined> {
    if (this.#newest === -Infinity) return undefined
    let [transactions, labels] = [-this.#transactions, -this.#labels]
    const stretch = { from: this.#until, until: this.#newest + 1 }
    for await (const batch of inLogOrder(dataset.batches({ sort }), dataset.schema, stretch)) {
      for (let row = 0; row < batch.size; row++) {
        if (batch.kind[row] !== FRAUD_LABEL) transactions++
        else if (logTime(batch, row) < this.#earliest) labels++
      }
    }
    if (transactions <= 0 && labels <= 0) return undefined
    const counts = { transactions: Math.max(0, transactions), labels: Math.max(0, labels) }
    return { file: dataset.file, ...counts, from: this.#until, to: this.#newest }
  }
}
