import {
  FRAUD_LABEL,
  TRANSACTION,
  type EpochMs,
  type EventBatch,
  type KeyColumn,
} from '../../datasets/table/transaction.ts'
import { refundView } from '../view/refund-view.ts'
import { MAX_EVENTS, type AggregateView } from '../view/view.ts'
import { ChangedSlots } from './changed-slots.ts'
import { EventFold, LATE, TRUNCATED } from './event-fold.ts'
import type { FoldOutput, FoldPlace } from './fold-output.ts'
import type { FoldSettings } from './fold-settings.ts'
import { findNear, FraudLabels } from './fraud-labels.ts'
import { IdHashes } from './id-hash.ts'
import { KeyTable } from './key-table.ts'
import { NO_PLACE } from './log-place.ts'
import { findSlots, NO_SLOT } from './slots.ts'
import { planView } from './window-plan.ts'

/**
 * The fold of one view: events in log order go in, the features of each transaction come out. It is the only
 * implementation of every windowed feature. Backfill and scorer both drive it over the same rows in the same order, so
 * their values are the same bits.
 *
 * State of one key (a slot): its payments, and its refunds where the dataset has any, each in a fold of their own
 * (`event-fold.ts`); fraud labels that came before their transaction (`fraud-labels.ts`); and whether it has changed
 * since the last checkpoint.
 *
 * A transaction that came later than the allowed lateness is flagged and counted. So is flagged one whose windows reach
 * back to events that a full ring has pushed out.
 */
export class ViewFold {
  readonly view: AggregateView
  readonly payments: EventFold
  /** Absent where there are none, and where neither a feature nor an id would be looked up in them. */
  readonly refunds: EventFold | undefined
  /** How many transactions came later than the allowed lateness. */
  late = 0
  readonly labels: FraudLabels

  readonly #keys = new KeyTable()
  readonly #changes = new ChangedSlots()
  readonly #hashes = new IdHashes()
  /** Features of refunds: their places in the view, and their values for the transaction at hand. */
  readonly #places: readonly number[]
  readonly #found: Float64Array

  constructor(view: AggregateView, settings: FoldSettings) {
    this.view = view
    const plan = planView(view, settings.ids)
    const { view: ofRefunds, places } = refundView(view)
    const { includesCurrent, maxEvents = MAX_EVENTS } = view
    this.payments = new EventFold({ ...settings, includesCurrent, maxEvents, plan })
    // A label and a repeat find a refund by its id, as far back as they find a payment.
    const found = plan.columns.id || plan.columns.label
    if (places.length > 0 || (settings.refunds === true && found)) {
      const kept = Math.max(plan.span, settings.kept ?? 0)
      const keptLast = Math.max(plan.mostLast, settings.keptLast ?? 0)
      const refunds = planView(ofRefunds, found)
      this.refunds = new EventFold({ ...settings, includesCurrent, maxEvents, plan: refunds, kept, keptLast })
    }
    this.#places = places
    this.#found = new Float64Array(places.length)
    this.labels = new FraudLabels(this.payments.rings, this.payments.windows)
  }

  get keys(): number {
    return this.#keys.size
  }

  slot(key: number | string): number | undefined {
    const slot = this.#keys.slot(key)
    return slot < 0 ? undefined : slot
  }

  key(slot: number): number | string {
    return this.#keys.key(slot)
  }

  /**
   * Writes the slot of each of the first `size` keys to `slots` (`NO_SLOT` where there is none) and returns those seen
   * for the first time. The caller restores their stored state, if there is any, before it calls `fold`.
   */
  resolve(keys: KeyColumn, size: number, slots: Uint32Array): (number | string)[] {
    return findSlots(keys, size, this.#keys, slots, (key) => this.addKey(key))
  }

  addKey(key: number | string): number {
    const slot = this.payments.addSlot()
    this.refunds?.addSlot()
    this.#keys.add(key)
    this.#changes.grow(this.payments.clock.room)
    return slot
  }

  /**
   * Folds a batch in row order, with the slots that `resolve` gave. The features of the k-th transaction (label rows do
   * not count) go to row k of `into`. `late[k]` becomes 1 when the transaction came later than allowed, and
   * `truncated[k]` gets the view's bit when its windows reach back to events that a full ring has pushed out. Features
   * of a row without a key are NaN.
   *
   * A lookup gets features as a transaction does, its own not counted, and changes nothing. A key that is not known has
   * empty windows.
   */
  fold(batch: EventBatch, slots: Uint32Array, into: FoldOutput, { column, stride, bit, ...rest }: FoldPlace): void {
    const { places, hashes } = rest
    const { kind, time, amount } = batch
    const { label: labels, id: whole } = this.payments.rings.columns
    const { low, high } = labels || whole ? (hashes ?? this.#hashes.take(batch)) : this.#hashes
    const width = this.view.features.length
    if (whole && places !== undefined) this.#keepPlaces()
    const placed = this.payments.rings.places
    let k = 0
    for (let row = 0; row < batch.size; row++) {
      const slot = slots[row]
      const at = k * stride + column
      if (slot === NO_SLOT) {
        if (kind[row] === FRAUD_LABEL) continue
        into.values.fill(Number.NaN, at, at + width)
        k++
        continue
      }
      const idHash = labels || whole ? low[row] : 0
      if (kind[row] !== TRANSACTION) {
        if (kind[row] === FRAUD_LABEL) {
          if (labels) this.#label(slot, time[row], idHash)
          continue
        }
        if ((this.#lookup(slot, time[row], into.values, at) & TRUNCATED) !== 0) into.truncated[k] |= bit
        k++
        continue
      }
      const idHigh = whole ? high[row] : 0
      if (placed) this.#stand(places?.[row] ?? NO_PLACE)
      const flags = this.#transaction(slot, time[row], amount[row], idHash, idHigh, into.values, at)
      if ((flags & LATE) !== 0) {
        into.late[k] = 1
        this.late++
      }
      if ((flags & TRUNCATED) !== 0) into.truncated[k] |= bit
      k++
    }
  }

  /** The features that a transaction at `time` would find, itself not counted. Undefined when the key is unknown. */
  peek(key: number | string, time: EpochMs): Float64Array | undefined {
    const slot = this.#keys.slot(key)
    if (slot < 0) return undefined
    const out = new Float64Array(this.view.features.length)
    this.#lookup(slot, time, out, 0)
    return out
  }

  /** Writes what a transaction of a slot at time t would find to `out[at …]`. Returns `TRUNCATED` or 0. */
  #lookup(slot: number, t: EpochMs, out: Float64Array, at: number): number {
    const flags = this.payments.peek(slot, t, out, at)
    if (this.refunds === undefined) return flags
    const ofRefunds = this.refunds.peek(slot, t, this.#found)
    this.#place(out, at)
    return this.#places.length > 0 ? flags | ofRefunds : flags
  }

  get changedKeys(): number {
    return this.#changes.count
  }

  /** The slots that changed since the last call, which is what a checkpoint has to write. */
  takeChanged(): Uint32Array {
    return this.#changes.take()
  }

  /** Folds a transaction into payments and refunds, and writes its features to `out[at …]`. Returns its flags. */
  #transaction(
    slot: number,
    t: EpochMs,
    amount: number,
    idHash: number,
    idHigh: number,
    out: Float64Array,
    at: number,
  ): number {
    const { payments, refunds, labels } = this
    this.#changes.mark(slot)
    payments.setId(idHash, idHigh)
    let flags = payments.fold(slot, t, amount >= 0, amount, out, at)
    if (refunds !== undefined) {
      refunds.setId(idHash, idHigh)
      const ofRefunds = refunds.fold(slot, t, amount < 0, -amount, this.#found, 0)
      // Refunds that are kept for their ids alone are in no window, so a window lacks none of them.
      if (this.#places.length > 0) flags |= ofRefunds
      this.#place(out, at)
    }
    if (labels.holding > 0) labels.follow(slot, t, idHash, payments.reach(slot))
    return flags
  }

  #keepPlaces(): void {
    this.payments.rings.keepPlaces()
    this.refunds?.rings.keepPlaces()
  }

  /** Sets where the transaction that is folded next stands in the log. */
  #stand(place: number): void {
    this.payments.place = place
    if (this.refunds !== undefined) this.refunds.place = place
  }

  /** Folds a fraud label. One about a refund tells no window anything, and waits for nothing. */
  #label(slot: number, t: EpochMs, idHash: number): void {
    if (this.refunds !== undefined && findNear(this.refunds.rings, slot, t, idHash) !== undefined) return
    if (this.labels.fold(slot, t, idHash, this.payments.reach(slot))) this.#changes.mark(slot)
  }

  #place(out: Float64Array, at: number): void {
    for (let f = 0; f < this.#places.length; f++) out[at + this.#places[f]] = this.#found[f]
  }
}
