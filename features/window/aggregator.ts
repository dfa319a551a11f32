import type { Aggregation } from '../view/aggregation.ts'

/** What is known of the transaction at hand: its value, and whether it is an event of the window. */
export type Own = typeof UNKNOWN | typeof OUTSIDE | typeof INSIDE
/** Its value is not known, as in a lookup by a key alone. */
export const UNKNOWN = -1
export const OUTSIDE = 0
export const INSIDE = 1

/** Sequences of events, from `from` to below `to`. */
export interface Range {
  from: number
  to: number
}

/** How the windows of a slot have moved, by window of the plan. */
export interface Moves {
  /** The events from `came` to below `enter` have come in. */
  came: Uint32Array
  enter: Uint32Array
  /** Then those from `left` to below `leave` have left. */
  left: Uint32Array
  leave: Uint32Array
}

/**
 * What is kept of one column's values for some windows of every key, so that a value over a window costs little when it
 * is read. `Windows` owns the bounds of the windows, and tells an aggregator what comes in and what leaves; a window is
 * named by its slot and by k, its index among those of the aggregator. Events are given by their sequences in the ring.
 *
 * Whatever the calls that led to it, a window with the same events has the same value, bit for bit.
 */
export interface Aggregator {
  /** Makes room for so many keys. */
  grow(slots: number): void
  /** The windows of a slot have moved on. One call tells all of them, so that a call costs little an event. */
  moved(slot: number, moves: Moves): void
  /** The events of a range come into a window, at its young end. */
  enter(slot: number, k: number, from: number, to: number): void
  /** The oldest events of a window leave it. The others are those from `to` to below `end`. */
  leave(slot: number, k: number, from: number, to: number, end: number): void
  /**
   * An event was put in at a sequence, and those from there on moved up by one. It may stand within the window.
   *
   * @param count how often sums count it: once within the window. Where a window for ever must not count it, 0 within,
   * and −1 where it is about to come in.
   * @param held the events of the window now.
   */
  inserted(slot: number, k: number, sequence: number, within: boolean, count: -1 | 0 | 1, held: Range): void
  /** The ring drops the oldest events of a window for ever, which keeps them. The others are those up to `end`. */
  absorb(slot: number, k: number, from: number, to: number, end: number): void
  /** What events from a sequence on were was written anew. Those who remember more than the windows forget it. */
  written?(slot: number, sequence: number): void
  /** The function's value over a window, which holds the events of `held`. */
  value(asked: Aggregation['function'], slot: number, k: number, held: Range, own: Own): number
  /** The function's value over other events than those the window holds. Leaves the window as it is. */
  valueOver(asked: Aggregation['function'], slot: number, k: number, held: Range, over: Range, own: Own): number
  /** What a window for ever keeps of events that the ring has dropped, as numbers. */
  base(slot: number, k: number, held: Range): number[]
  /** Sets a window that has no events yet: those of `held`, and what `base` gave. */
  resume(slot: number, k: number, held: Range, base: readonly number[]): void
  /** How many numbers `base` gives. */
  readonly baseSize: number
}
