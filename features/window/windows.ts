import type { EpochMs } from '../../datasets/table/transaction.ts'
import { INSIDE, OUTSIDE, type Moves } from './aggregator.ts'
import { makeAggregators } from './aggregators.ts'
import { evaluate } from './evaluate.ts'
import { NO_COLUMNS, type RowColumns } from './ring-columns.ts'
import type { EventRings } from './ring.ts'
import { WindowColumns, type WindowParts } from './window-columns.ts'
import type { WindowPlan } from './window-plan.ts'
import { startOf, WindowScan } from './window-scan.ts'
import { WindowState } from './window-state.ts'

/**
 * The windows of a view over the rings of its keys.
 *
 * For each key (slot) and window it keeps two sequence numbers and the sums of the events between them. Events below
 * `enter` have come into the window, events below `leave` have left it again. A delayed window ends before the clock,
 * so its `enter` trails behind the young end of the ring. What the ring drops stays in a window for ever: its sums keep
 * it, and `gone` counts it.
 *
 * Moving a window to a later time adds each event once and takes it out once: amortised O(1) an event. A window never
 * goes back. Features at an earlier time are summed afresh by `scan`, which leaves bounds and sums alone.
 *
 * Amounts are whole minor units, so a sum is exact (below 2^53) and does not depend on the order of its additions and
 * subtractions. Functions of other values have aggregators, which are told what comes in and what leaves.
 */
export class Windows {
  /** Of the transaction at hand: seconds since the previous and since the first event, −1 when there is none. */
  sincePrevious = -1
  sinceFirst = -1
  readonly state: WindowState

  readonly #parts: WindowParts
  readonly #scan: WindowScan
  /** Absent where there are no aggregators. */
  readonly #moves: Moves | undefined

  /**
   * @param scale minor units in one major unit.
   * @param row the transaction at hand.
   */
  constructor(plan: WindowPlan, rings: EventRings, scale: number, row: RowColumns = NO_COLUMNS) {
    const aggregators = makeAggregators(plan, rings, row, scale)
    this.#parts = { plan, rings, scale, aggregators, columns: new WindowColumns(plan) }
    this.#scan = new WindowScan(this.#parts)
    if (aggregators.all.length > 0) this.#moves = movesOf(plan.delays.length)
    this.state = new WindowState(this.#parts)
    this.grow(64)
  }

  /** Makes room for `slots` keys. */
  grow(slots: number): void {
    this.#parts.columns.grow(slots)
    for (const aggregator of this.#parts.aggregators.all) aggregator.grow(slots)
  }

  /** Moves every window of a slot on to event time t, which must not be earlier than at the last call. */
  advance(slot: number, t: EpochMs): void {
    const { plan, rings, columns, aggregators } = this.#parts
    const { delays, lengths, lasts, hops, hasHops: hopping, sums: amounts, frauds: labels } = plan
    const { time, amount, fraud } = rings
    const { bounds, sums } = columns
    const moves = this.#moves
    const base = rings.base(slot)
    const mask = rings.mask(slot)
    const next = rings.next(slot)
    for (let w = 0, i = slot * delays.length; w < delays.length; w++, i++) {
      const end = t - delays[w]
      const start = hopping ? startOf(end - lengths[w], hops[w]) : end - lengths[w]
      const at = 2 * i
      const came = bounds[at]
      const left = bounds[at + 1]
      let enter = came
      let leave = left
      let sum = sums[at]
      let frauds = sums[at + 1]
      for (; enter < next; enter++) {
        const p = base + (enter & mask)
        if (time[p] > end) break
        if (amounts) sum += amount[p]
        if (labels) frauds += fraud[p]
      }
      for (; leave < enter; leave++) {
        const p = base + (leave & mask)
        if (time[p] > start && enter - leave <= lasts[w]) break
        if (amounts) sum -= amount[p]
        if (labels) frauds -= fraud[p]
      }
      bounds[at] = enter
      bounds[at + 1] = leave
      sums[at] = sum
      sums[at + 1] = frauds
      if (moves !== undefined) note(moves, w, came, enter, left, leave)
    }
    if (moves !== undefined) for (const aggregator of aggregators.all) aggregator.moved(slot, moves)
  }

  /**
   * Writes the features of a slot to `out[at …]`, for the time to which `advance` brought its windows.
   *
   * @param counted whether the newest event of the ring is that of the transaction at hand.
   */
  emit(slot: number, counted: boolean, out: Float64Array, at: number): void {
    this.#emitTotals(slot, out, at)
    if (this.#moves === undefined) return
    const { plan, rings, columns, aggregators } = this.#parts
    const { windowOf, places, asked } = plan
    const first = slot * plan.delays.length
    const newest = counted ? rings.next(slot) : -1
    for (const { feature: f, aggregator, k } of aggregators.byFeature) {
      const i = first + windowOf[f]
      const standing = columns.bounds[2 * i] === newest ? INSIDE : OUTSIDE
      out[at + places[f]] = aggregator.value(asked[f], slot, k, columns.held(i), standing)
    }
  }

  /** Writes the features that are made of bounds and sums. What it writes for those of aggregators means nothing. */
  #emitTotals(slot: number, out: Float64Array, at: number): void {
    const { plan, columns, scale } = this.#parts
    const { functions, windowOf, places, priors, weights, hasEver } = plan
    const { bounds, sums, gone } = columns
    const { sincePrevious, sinceFirst } = this
    const first = slot * plan.delays.length
    for (let f = 0; f < functions.length; f++) {
      const i = first + windowOf[f]
      const held = bounds[2 * i] - bounds[2 * i + 1]
      out[at + places[f]] = evaluate(
        functions[f],
        priors[f],
        weights[f],
        hasEver ? held + gone[i] : held,
        sums[2 * i],
        sums[2 * i + 1],
        sincePrevious,
        sinceFirst,
        scale,
      )
    }
  }

  /**
   * Writes the features at event time t to `out[at …]`, out of order or for a lookup: `WindowScan.read`.
   *
   * @param own the sequence of the transaction's own event, or `NOT_COUNTED` or `NOT_KNOWN`.
   */
  scan(slot: number, t: EpochMs, end: number, own: number, out: Float64Array, at: number): void {
    this.#scan.read(slot, t, end, own, this.sincePrevious, this.sinceFirst, out, at)
  }

  /**
   * Tells the windows that an event, not known as fraud, was put in at sequence `place`. Bounds beyond it move up by
   * one, and a window whose bounds now enclose the event counts it. `advance` must follow (see `EventFold`,
   * `#outOfOrder`).
   *
   * @param forgotten whether it is older than all that is kept, so that nothing tells whether it came before. Then
   * windows for ever do not count it, nor its amount.
   */
  inserted(slot: number, place: number, amount: number, forgotten: boolean): void {
    const { plan, columns, aggregators } = this.#parts
    const windows = plan.delays.length
    for (let w = 0, i = slot * windows; w < windows; w++, i++) {
      const uncounted = forgotten && plan.ever[w] === 1
      const waits = place >= columns.bounds[2 * i]
      if (waits && !uncounted) continue
      const within = !waits && place >= columns.bounds[2 * i + 1]
      // One that waits comes in when the windows advance. What is taken away now is added then.
      const count = uncounted ? (waits ? -1 : 0) : within ? 1 : 0
      if (!waits) columns.bounds[2 * i]++
      if (!waits && !within) columns.bounds[2 * i + 1]++
      if (uncounted && (waits || within)) columns.gone[i]--
      if (plan.sums) columns.sums[2 * i] += count * amount
      for (const { aggregator, k } of aggregators.byWindow[w])
        aggregator.inserted(slot, k, place, within, count, columns.held(i))
    }
  }

  /** Tells those who remember events of the ring that the ones from a sequence on were written. */
  written(slot: number, sequence: number): void {
    for (const aggregator of this.#parts.aggregators.all) aggregator.written?.(slot, sequence)
  }

  /** Tells the windows that a full ring is about to drop its oldest event, `sequence`. Those that hold it lose it. */
  pushedOut(slot: number, sequence: number): void {
    const { plan, columns } = this.#parts
    const windows = plan.delays.length
    for (let w = 0, i = slot * windows; w < windows; w++, i++) {
      if (columns.bounds[2 * i + 1] > sequence) continue
      const ever = plan.ever[w] === 1
      // It may still wait to come in. For ever it does so now: a little early, while rows are flagged as truncated.
      if (columns.bounds[2 * i] === sequence) {
        columns.bounds[2 * i]++
        if (!ever) {
          columns.bounds[2 * i + 1]++
          continue
        }
        this.#shift(slot, w, i, sequence, 1)
      }
      if (ever) continue
      columns.bounds[2 * i + 1]++
      this.#shift(slot, w, i, sequence, -1)
    }
    if (plan.hasEver) this.dropping(slot, sequence + 1)
  }

  /** Tells the windows for ever that the ring is about to drop its events before a sequence. They keep them. */
  dropping(slot: number, oldest: number): void {
    const { plan, columns, aggregators } = this.#parts
    const windows = plan.delays.length
    for (let w = 0, i = slot * windows; w < windows; w++, i++) {
      if (plan.ever[w] === 0 || columns.bounds[2 * i + 1] >= oldest) continue
      for (const { aggregator, k } of aggregators.byWindow[w])
        aggregator.absorb(slot, k, columns.bounds[2 * i + 1], oldest, columns.bounds[2 * i])
      columns.gone[i] += oldest - columns.bounds[2 * i + 1]
      columns.bounds[2 * i + 1] = oldest
    }
  }

  /** Tells the windows that the event `sequence` has become known as fraud. */
  becameFraud(slot: number, sequence: number): void {
    const { plan, columns } = this.#parts
    const windows = plan.delays.length
    for (let i = slot * windows; i < (slot + 1) * windows; i++) {
      if (sequence >= columns.bounds[2 * i + 1] && sequence < columns.bounds[2 * i]) columns.sums[2 * i + 1]++
    }
  }

  /** Adds an event to a window or takes it out. */
  #shift(slot: number, w: number, i: number, sequence: number, sign: 1 | -1): void {
    const { plan, rings, columns, aggregators } = this.#parts
    const p = rings.position(slot, sequence)
    if (plan.sums) columns.sums[2 * i] += sign * rings.amount[p]
    if (plan.frauds) columns.sums[2 * i + 1] += sign * rings.fraud[p]
    for (const { aggregator, k } of aggregators.byWindow[w]) {
      if (sign > 0) aggregator.enter(slot, k, sequence, sequence + 1)
      else aggregator.leave(slot, k, sequence, sequence + 1, columns.bounds[2 * i])
    }
  }
}

function note(moves: Moves, w: number, came: number, enter: number, left: number, leave: number): void {
  moves.came[w] = came
  moves.enter[w] = enter
  moves.left[w] = left
  moves.leave[w] = leave
}

function movesOf(windows: number): Moves {
  const column = (): Uint32Array => new Uint32Array(windows)
  return { came: column(), enter: column(), left: column(), leave: column() }
}
