import { FRAUD_LABEL, HOUR, type DurationMs, type EpochMs, type EventBatch } from '../../datasets/table/transaction.ts'
import type { AggregateView } from '../view/view.ts'
import { EventRings, RingOverflow } from './ring.ts'
import { planView, type WindowPlan } from './window-plan.ts'
import { Windows } from './windows.ts'

export interface FoldSettings {
  /** Minor units in one major unit: 100 for cents. */
  scale: number
  /** How far an event may lie behind the newest of its key and still be folded exactly. Default one hour. */
  lateness?: DurationMs
  /** Most events one ring holds, a power of two; one more raises RingOverflow. Default 2^20. */
  maxEvents?: number
}

/**
 * The fold of one view: events in log order go in, the features of each transaction come out. The one implementation of
 * every windowed feature; backfill and scorer both drive it, over the same rows in the same order, so their values are
 * the same bits.
 *
 * An event older than the newest of its key is put into the ring where its time belongs, and its features are summed
 * afresh over its own windows. Rings keep the longest window plus the allowed lateness; an event later than that is
 * folded with what is still there, flagged and counted.
 */
export class ViewFold {
  readonly view: AggregateView
  readonly rings: EventRings
  readonly windows: Windows
  /** Transactions that came later than the allowed lateness. */
  late = 0
  /** Fraud labels whose transaction was no longer, or not yet, in its ring. */
  unmatchedLabels = 0

  readonly #plan: WindowPlan
  readonly #lateness: DurationMs
  readonly #slotOf = new Map<number | string, number>()
  readonly #keyOf: (number | string)[] = []
  /** Event time of the newest event of a slot. */
  #clock = new Float64Array(64).fill(-Infinity)
  #changed = new Uint8Array(64)
  #changedSlots: number[] = []

  constructor(view: AggregateView, settings: FoldSettings) {
    this.view = view
    this.#plan = planView(view)
    this.#lateness = settings.lateness ?? HOUR
    this.rings = new EventRings(this.#plan.columns, settings.maxEvents ?? 1 << 20)
    this.windows = new Windows(this.#plan, this.rings, settings.scale)
  }

  /** Number of keys known. */
  get keys(): number {
    return this.#keyOf.length
  }

  slot(key: number | string): number | undefined {
    return this.#slotOf.get(key)
  }

  key(slot: number): number | string {
    return this.#keyOf[slot]
  }

  /** Gives every row its key's slot, and returns the keys seen for the first time: stored state, if any, is restored before `fold`. */
  resolve(batch: EventBatch, entity: number, slots: Uint32Array): (number | string)[] {
    const keys = batch.entities[entity]
    const fresh: (number | string)[] = []
    for (let row = 0; row < batch.size; row++) {
      const known = this.#slotOf.get(keys[row])
      slots[row] = known ?? this.addKey(keys[row])
      if (known === undefined) fresh.push(keys[row])
    }
    return fresh
  }

  addKey(key: number | string): number {
    const slot = this.rings.addSlot()
    this.#slotOf.set(key, slot)
    this.#keyOf.push(key)
    if (slot === this.#clock.length) this.#widen(slot * 2)
    return slot
  }

  /**
   * Folds a batch in row order, with the slots that `resolve` gave. The features of the k-th transaction (label rows do
   * not count) go to `out[k × stride + offset …]`; `late[k]` becomes 1 when it came later than allowed.
   */
  fold(
    batch: EventBatch,
    slots: Uint32Array,
    out: Float64Array,
    stride: number,
    offset: number,
    late: Uint8Array,
  ): void {
    const { kind, time, amount, ids } = batch
    const labels = this.#plan.columns.label
    let k = 0
    for (let row = 0; row < batch.size; row++) {
      const slot = slots[row]
      const t = time[row]
      const idHash = labels ? hashId(ids[row]) : 0
      if (kind[row] === FRAUD_LABEL) {
        if (labels) this.#label(slot, t, idHash)
        continue
      }
      if (this.#changed[slot] === 0) this.#markChanged(slot)
      if (t >= this.#clock[slot]) {
        this.#inOrder(slot, t, amount[row], idHash, out, k * stride + offset)
      } else if (this.#outOfOrder(slot, t, amount[row], idHash, out, k * stride + offset)) {
        late[k] = 1
        this.late++
      }
      k++
    }
  }

  /** Features as a transaction at `time` would find them, itself not counted. Undefined when the key is unknown. */
  peek(key: number | string, time: EpochMs): Float64Array | undefined {
    const slot = this.#slotOf.get(key)
    if (slot === undefined) return undefined
    const out = new Float64Array(this.#plan.functions.length)
    const end = this.rings.after(slot, time)
    this.windows.scan(slot, time, end, this.#sincePrevious(slot, end, time), out, 0)
    return out
  }

  /** Event time of the newest event of a slot, −Infinity when there is none. */
  clock(slot: number): EpochMs {
    return this.#clock[slot]
  }

  setClock(slot: number, clock: EpochMs): void {
    this.#clock[slot] = clock
  }

  get changedKeys(): number {
    return this.#changedSlots.length
  }

  /** Slots changed since the last call, and forgets them: what a checkpoint has to write. */
  takeChanged(): number[] {
    const changed = this.#changedSlots
    for (const slot of changed) this.#changed[slot] = 0
    this.#changedSlots = []
    return changed
  }

  #inOrder(slot: number, t: EpochMs, amount: number, idHash: number, out: Float64Array, at: number): void {
    const { rings, windows } = this
    const sincePrevious = this.#sincePrevious(slot, rings.next[slot], t)
    const current = this.view.includesCurrent
    this.#clock[slot] = t
    if (current) this.#write(slot, rings.next[slot], t, amount, idHash)
    windows.advance(slot, t)
    windows.emit(slot, sincePrevious, out, at)
    if (!current) this.#write(slot, rings.next[slot], t, amount, idHash)
    this.#trim(slot)
  }

  /** Returns whether the event was later than allowed. */
  #outOfOrder(slot: number, t: EpochMs, amount: number, idHash: number, out: Float64Array, at: number): boolean {
    const place = this.rings.after(slot, t)
    const sincePrevious = this.#sincePrevious(slot, place, t)
    const current = this.view.includesCurrent
    if (!current) this.windows.scan(slot, t, place, sincePrevious, out, at)
    this.#write(slot, place, t, amount, idHash)
    this.windows.inserted(slot, place, amount)
    if (current) this.windows.scan(slot, t, place + 1, sincePrevious, out, at)
    // A window that has not passed the new event yet must, before the ring may let go of it.
    this.windows.advance(slot, this.#clock[slot])
    this.#trim(slot)
    return t < this.#clock[slot] - this.#lateness
  }

  #sincePrevious(slot: number, place: number, t: EpochMs): number {
    return place > this.rings.first[slot] ? (t - this.rings.time[this.rings.position(slot, place - 1)]) / 1000 : -1
  }

  #label(slot: number, t: EpochMs, idHash: number): void {
    const rings = this.rings
    for (let s = rings.after(slot, t) - 1; s >= rings.first[slot]; s--) {
      const p = rings.position(slot, s)
      if (rings.time[p] !== t) break
      if (rings.idHash[p] !== idHash) continue
      if (rings.fraud[p] === 0) this.windows.becameFraud(slot, s)
      rings.fraud[p] = 1
      if (this.#changed[slot] === 0) this.#markChanged(slot)
      return
    }
    this.unmatchedLabels++
  }

  /** Drops events that no window reaches any more, not even that of an event as late as is allowed. */
  #trim(slot: number): void {
    const { time, next, first } = this.rings
    const bound = this.#clock[slot] - this.#plan.span - this.#lateness
    const spare = this.#plan.mostLast
    let oldest = first[slot]
    while (oldest + spare < next[slot] && time[this.rings.position(slot, oldest + spare)] < bound) oldest++
    first[slot] = oldest
  }

  #write(slot: number, place: number, t: EpochMs, amount: number, idHash: number): void {
    const rings = this.rings
    if (!rings.roomFor(slot)) throw new RingOverflow(rings.maxEvents, `${this.view.entity} ${this.#keyOf[slot]}`)
    const position = place === rings.next[slot] ? rings.push(slot) : rings.insert(slot, place)
    rings.time[position] = t
    if (rings.columns.amount) rings.amount[position] = amount
    if (!rings.columns.label) return
    rings.fraud[position] = 0
    rings.idHash[position] = idHash
  }

  #markChanged(slot: number): void {
    this.#changed[slot] = 1
    this.#changedSlots.push(slot)
  }

  #widen(slots: number): void {
    const [clock, changed] = [this.#clock, this.#changed]
    this.#clock = new Float64Array(slots).fill(-Infinity)
    this.#clock.set(clock)
    this.#changed = new Uint8Array(slots)
    this.#changed.set(changed)
    this.windows.widen(slots)
  }
}

/** 32 bits of a transaction's id: with the event time they find a labelled transaction in its ring. */
function hashId(id: number | string): number {
  if (typeof id === 'number') return (id ^ Math.imul(id / 0x1_0000_0000, 0x9e3779b1)) >>> 0
  let hash = 0x811c9dc5
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193)
  return hash >>> 0
}
