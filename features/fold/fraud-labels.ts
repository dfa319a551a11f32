import { HOUR, type DurationMs, type EpochMs } from '../../datasets/table/transaction.ts'
import type { EventRings } from '../window/ring.ts'
import type { Windows } from '../window/windows.ts'

/** Events that labels are about, and the windows over them. */
export interface Labelled {
  rings: EventRings
  windows: Windows
}

/** How far the time of a label may lie from that of its transaction. */
const NEAR: DurationMs = HOUR

/**
 * The most labels that one key holds; one more gives up the one held longest. There is no bound over all keys: with
 * one, a value would depend on which keys share a process, and partitions, shards and a whole history would differ.
 */
export const MOST_HELD = 1024

/** What became of fraud labels that found no transaction when they came. A label counts once in each view. */
export interface LabelCounts {
  /** Came before their transaction, and were held for it. */
  early: number
  /** Of those held, how many have met their transaction. */
  matched: number
  /** Given up: when they came or later, no transaction can come any more that a window would count. */
  unmatched: number
}

export const LABEL_COUNTS = ['early', 'matched', 'unmatched'] as const

export const noLabels = (): LabelCounts => ({ early: 0, matched: 0, unmatched: 0 })

/** The labels that one key holds, in the order in which they came. */
export interface HeldLabels {
  times: EpochMs[]
  idHashes: number[]
}

const NONE: HeldLabels = { times: [], idHashes: [] }

/** The sequence of the event that a label is about, by its id; the label's time only says where to look. */
export function findNear(rings: EventRings, slot: number, time: EpochMs, idHash: number): number | undefined {
  return rings.find(slot, time, time, idHash) ?? rings.find(slot, time - NEAR, time + NEAR, idHash)
}

/**
 * The fraud labels of one view.
 *
 * The id says which transaction of its key a label is about. The time, which a label's source may keep in coarser
 * units, only says where to look: within an hour. A transaction that is known as fraud already stays so. Every event
 * has an id: a record without one is a dead letter, and in files without a column of ids the row number is the id.
 *
 * A label that comes before its transaction is held, and folded right after it. So it counts for the rows that stand
 * behind both, and never for its own transaction, just as a label in a file that was known that early (`inLogOrder`).
 * What is held is part of the key's state.
 */
export class FraudLabels {
  readonly counts = noLabels()
  readonly #payments: Labelled
  /** Kinds of payments that have windows of their own. */
  readonly #kinds: readonly Labelled[]
  /** By slot, where there are any. */
  readonly #held = new Map<number, HeldLabels>()

  constructor(payments: Labelled, kinds: readonly Labelled[] = []) {
    this.#payments = payments
    this.#kinds = kinds
  }

  /** The keys that hold labels. */
  get holding(): number {
    return this.#held.size
  }

  held(slot: number): Readonly<HeldLabels> {
    return this.#held.get(slot) ?? NONE
  }

  /** Puts stored labels into a slot that has none. */
  restore(slot: number, labels: HeldLabels): void {
    if (labels.times.length > 0) this.#held.set(slot, labels)
  }

  /**
   * Folds a label. Returns whether the slot's state has changed.
   *
   * @param reach transactions before this time would be counted by no window.
   */
  fold(slot: number, time: EpochMs, idHash: number, reach: EpochMs): boolean {
    if (this.#mark(slot, time, idHash)) return true
    if (time + NEAR < reach) {
      this.counts.unmatched++
      return false
    }
    return this.#hold(slot, time, idHash)
  }

  /** Folds the labels that a slot holds for a transaction just folded, and gives up those out of reach. */
  follow(slot: number, time: EpochMs, idHash: number, reach: EpochMs): void {
    const held = this.#held.get(slot)
    if (held === undefined) return
    let matched = false
    this.#remove(slot, held, (t, hash) => {
      if (hash === idHash && Math.abs(t - time) <= NEAR) {
        matched = true
        this.counts.matched++
        return true
      }
      if (t + NEAR >= reach) return false
      this.counts.unmatched++
      return true
    })
    if (matched) this.#mark(slot, time, idHash)
  }

  /** Marks a transaction as known fraud, wherever it stands. Returns whether it was found. */
  #mark(slot: number, time: EpochMs, idHash: number): boolean {
    let found = markIn(this.#payments, slot, time, idHash)
    for (const kind of this.#kinds) if (markIn(kind, slot, time, idHash)) found = true
    return found
  }

  #hold(slot: number, time: EpochMs, idHash: number): boolean {
    const { times, idHashes } = this.#held.get(slot) ?? { times: [], idHashes: [] }
    // The same label for a second time.
    if (idHashes.some((hash, i) => hash === idHash && times[i] === time)) return false
    this.#held.set(slot, { times, idHashes })
    times.push(time)
    idHashes.push(idHash)
    this.counts.early++
    if (times.length > MOST_HELD) {
      times.shift()
      idHashes.shift()
      this.counts.unmatched++
    }
    return true
  }

  #remove(slot: number, { times, idHashes }: HeldLabels, gone: (time: EpochMs, idHash: number) => boolean): void {
    let kept = 0
    for (let i = 0; i < times.length; i++) {
      if (gone(times[i], idHashes[i])) continue
      times[kept] = times[i]
      idHashes[kept++] = idHashes[i]
    }
    times.length = kept
    idHashes.length = kept
    if (kept === 0) this.#held.delete(slot)
  }
}

/** Marks a transaction as known fraud, in a ring and in the windows that hold it. Returns whether it was found. */
function markIn({ rings, windows }: Labelled, slot: number, time: EpochMs, idHash: number): boolean {
  const found = findNear(rings, slot, time, idHash)
  if (found === undefined) return false
  const p = rings.position(slot, found)
  if (rings.fraud[p] === 0) windows.becameFraud(slot, found)
  rings.fraud[p] = 1
  return true
}
