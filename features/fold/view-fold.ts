import {
  FRAUD_LABEL,
  TRANSACTION,
  type EpochMs,
  type EventBatch,
  type KeyColumn,
} from '../../datasets/table/transaction.ts'
import { readsLabels } from '../view/aggregation.ts'
import { eventKinds } from '../view/event-kinds.ts'
import type { AggregateView } from '../view/view.ts'
import { NO_PLACE } from '../window/log-place.ts'
import { needsOf } from '../window/window-plan.ts'
import { ChangedSlots } from './changed-slots.ts'
import { LATE, TRUNCATED, type EventFold } from './event-fold.ts'
import type { FoldOutput, FoldPlace } from './fold-output.ts'
import type { FoldSettings } from './fold-settings.ts'
import { findNear, FraudLabels } from './fraud-labels.ts'
import { IdHashes } from './id-hash.ts'
import { KeyTable } from './key-table.ts'
import { KindFold } from './kind-fold.ts'
import { findSlots, NO_SLOT } from './slots.ts'
import { ValueColumns } from './value-columns.ts'

/**
 * The fold of one view: events in log order go in, the features of each transaction come out. It is the only
 * implementation of every windowed feature. Backfill and scorer both drive it over the same rows in the same order, so
 * their values are the same bits.
 *
 * State of one key (a slot): its payments, its refunds where the dataset has any, and the events of each condition,
 * each kind in a fold of its own (`event-fold.ts`); fraud labels that came before their transaction
 * (`fraud-labels.ts`); and whether it has changed since the last checkpoint.
 *
 * A transaction that came later than the allowed lateness is flagged and counted. So is flagged one whose windows reach
 * back to events that a full ring has pushed out.
 */
export class ViewFold {
  readonly view: AggregateView
  readonly payments: EventFold
  /** Absent where there are none, and where neither a feature nor an id would be looked up in them. */
  readonly refunds: EventFold | undefined
  /** All kinds of events that the view has, payments first. */
  readonly kinds: readonly KindFold[]
  /** How many transactions came later than the allowed lateness. */
  late = 0
  readonly labels: FraudLabels

  readonly #keys = new KeyTable()
  readonly #changes = new ChangedSlots()
  readonly #hashes = new IdHashes()
  readonly #payments: KindFold
  /** All kinds but payments. */
  readonly #others: readonly KindFold[]
  readonly #values = new ValueColumns()
  /** Whether any kind reads columns of a batch. */
  readonly #reads: boolean
  /** Whether any kind keeps whole ids, and whether any reads labels. */
  readonly #ids: boolean
  readonly #labelled: boolean

  /** @throws UserError for features that cannot be computed over these columns. */
  constructor(view: AggregateView, settings: FoldSettings) {
    this.view = view
    const kinds = kindsOf(view, settings, this.#values)
    const [payments, ...others] = kinds
    this.#payments = payments
    this.#others = others
    this.kinds = kinds
    this.payments = payments.fold
    this.refunds = others.find(({ kind }) => kind.refunds && kind.where === undefined)?.fold
    this.#reads = kinds.some(({ reads }) => reads)
    this.#ids = kinds.some(({ plan }) => plan.columns.id)
    this.#labelled = payments.plan.columns.label
    const labelled = others.filter(({ kind, plan }) => !kind.refunds && plan.columns.label)
    this.labels = new FraudLabels(
      payments.fold,
      labelled.map(({ fold }) => fold),
    )
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
    for (const { fold } of this.#others) fold.addSlot()
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
  fold(batch: EventBatch, slots: Uint32Array, into: FoldOutput, place: FoldPlace): void {
    if (!this.#reads) return this.#rows(batch, slots, into, place)
    this.#values.open(batch)
    for (const each of this.kinds) each.open(batch)
    this.#rows(batch, slots, into, place)
    this.#values.close()
  }

  #rows(batch: EventBatch, slots: Uint32Array, into: FoldOutput, { column, stride, bit, ...rest }: FoldPlace): void {
    const { places, hashes } = rest
    const { kind, time, amount } = batch
    const [labels, whole] = [this.#labelled, this.#ids]
    const { low, high } = labels || whole ? (hashes ?? this.#hashes.take(batch)) : this.#hashes
    const width = this.view.features.length
    if (this.payments.rings.columns.id && places !== undefined) this.#keepPlaces()
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
        for (const each of this.kinds) each.turnTo(row, 0)
        if ((this.#lookup(slot, time[row], into.values, at, true) & TRUNCATED) !== 0) into.truncated[k] |= bit
        k++
        continue
      }
      const idHigh = whole ? high[row] : 0
      if (placed) this.#stand(places?.[row] ?? NO_PLACE)
      const flags = this.#transaction(slot, row, time[row], amount[row], idHash, idHigh, into.values, at)
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
    this.#lookup(slot, time, out, 0, false)
    return out
  }

  /**
   * Writes what a transaction of a slot at time t would find to `out[at …]`. Returns `TRUNCATED` or 0.
   *
   * @param known whether the folds have been turned to its row.
   */
  #lookup(slot: number, t: EpochMs, out: Float64Array, at: number, known: boolean): number {
    let flags = 0
    for (const { fold, plan } of this.kinds) {
      const found = fold.peek(slot, t, out, at, known)
      if (fold === this.payments || plan.functions.length > 0) flags |= found
    }
    return flags
  }

  get changedKeys(): number {
    return this.#changes.count
  }

  /** The slots that changed since the last call, which is what a checkpoint has to write. */
  takeChanged(): Uint32Array {
    return this.#changes.take()
  }

  /** Folds a transaction into every kind, and writes its features to `out[at …]`. Returns its flags. */
  #transaction(
    slot: number,
    row: number,
    t: EpochMs,
    amount: number,
    idHash: number,
    idHigh: number,
    out: Float64Array,
    at: number,
  ): number {
    const { payments, labels } = this
    this.#changes.mark(slot)
    payments.setId(idHash, idHigh)
    const own = this.#reads ? this.#payments.turnTo(row, amount) : amount >= 0
    let flags = payments.fold(slot, t, own, amount, out, at)
    for (const other of this.#others) {
      other.fold.setId(idHash, idHigh)
      const minor = other.kind.refunds ? -amount : amount
      const found = other.fold.fold(slot, t, other.turnTo(row, amount), minor, out, at)
      // Refunds that are kept for their ids alone are in no window, so a window lacks none of them.
      if (other.plan.functions.length > 0) flags |= found
    }
    if (labels.holding > 0) labels.follow(slot, t, idHash, payments.retention.reach(slot))
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
    if (this.labels.fold(slot, t, idHash, this.payments.retention.reach(slot))) this.#changes.mark(slot)
  }
}

/**
 * The kinds of a view's events that are folded.
 *
 * Labels and repeats find a transaction by its id in the rings of payments and refunds. So these reach as far back as
 * the windows of any kind. A kind with a condition that keeps a number of events, however old, may have one that those
 * have let go: it looks for itself whether one that comes late is there already.
 */
function kindsOf(view: AggregateView, settings: FoldSettings, values: ValueColumns): KindFold[] {
  const [payments, refunds, ...others] = eventKinds(view)
  const labels = view.features.some(readsLabels)
  const { span, mostLast } = needsOf(view.features)
  const whole = { kept: Math.max(span, settings.kept ?? 0), keptLast: Math.max(mostLast, settings.keptLast ?? 0) }
  const { ids = false, kept: _, keptLast: __, ...plain } = settings
  const found = ids || labels
  return [
    new KindFold(payments, { ...settings, ...(labels ? whole : {}), labels }, values),
    ...(refunds.places.length > 0 || (settings.refunds === true && found)
      ? [new KindFold(refunds, { ...settings, ...whole, ids: found }, values)]
      : []),
    ...others.map((kind) => {
      const once = needsOf(kind.view.features).mostLast > 0
      return new KindFold(kind, { ...plain, ids: once, once }, values)
    }),
  ]
}
