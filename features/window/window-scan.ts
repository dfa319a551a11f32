import type { EpochMs } from '../../datasets/table/transaction.ts'
import { INSIDE, OUTSIDE, UNKNOWN, type Own, type Range } from './aggregator.ts'
import type { Attached } from './aggregators.ts'
import { evaluate } from './evaluate.ts'
import { Totals } from './totals.ts'
import type { WindowParts } from './window-columns.ts'

/** As the sequence of the transaction's own event: it is none of the fold's; nothing is known of its columns either. */
export const NOT_COUNTED = -1
export const NOT_KNOWN = -2

/** Reads windows at another time than the one to which they have moved. */
export class WindowScan {
  readonly #parts: WindowParts
  readonly #totals: Totals
  /** By window: what was found, and the range of its events. */
  readonly #sums: Float64Array
  readonly #frauds: Float64Array
  readonly #from: Uint32Array
  readonly #to: Uint32Array
  readonly #over: Range = { from: 0, to: 0 }

  constructor(parts: WindowParts) {
    const windows = parts.plan.delays.length
    this.#parts = parts
    this.#totals = new Totals(parts)
    this.#sums = new Float64Array(windows)
    this.#frauds = new Float64Array(windows)
    this.#from = new Uint32Array(windows)
    this.#to = new Uint32Array(windows)
  }

  /**
   * Writes the features at event time t to `out[at …]`. Events below sequence `end` are visible. Bounds and sums stay
   * as they are.
   *
   * A window at t differs from the one at the clock by the events between their two ends. Their amounts are added to
   * the sum that is known, or taken from it, unless the window itself has fewer events. So an event of a busy key that
   * comes a little late costs what has come since, and not its whole window. The sums are whole, so either way gives
   * the same.
   *
   * @param own the sequence of the transaction's own event, or `NOT_COUNTED` or `NOT_KNOWN`.
   * @param previous seconds since the previous event, −1 when there is none.
   * @param first seconds since the first event, −1 when there is none.
   */
  read(
    slot: number,
    t: EpochMs,
    end: number,
    own: number,
    previous: number,
    first: number,
    out: Float64Array,
    at: number,
  ): void {
    const { plan, columns, aggregators, scale } = this.#parts
    const { functions, windowOf, places, priors, weights } = plan
    const windows = slot * plan.delays.length
    for (let w = 0; w < plan.delays.length; w++) this.#range(slot, w, t, end)
    for (let f = 0; f < functions.length; f++) {
      const w = windowOf[f]
      const count = columns.count(windows + w, this.#from[w], this.#to[w])
      const [sum, frauds] = [this.#sums[w], this.#frauds[w]]
      out[at + places[f]] = evaluate(functions[f], priors[f], weights[f], count, sum, frauds, previous, first, scale)
    }
    for (const attached of aggregators.byFeature)
      out[at + places[attached.feature]] = this.#aggregated(attached.feature, attached, slot, own)
  }

  /** Finds the events of a window at time t, and their totals. */
  #range(slot: number, w: number, t: EpochMs, end: number): void {
    const { plan, rings, columns } = this.#parts
    const i = slot * plan.delays.length + w
    const start = t - plan.delays[w] - plan.lengths[w]
    const to = Math.min(end, rings.after(slot, t - plan.delays[w]))
    const after = rings.after(slot, startOf(start, plan.hops[w]))
    const from = Math.min(Math.max(after, to - plan.lasts[w]), to)
    this.#from[w] = from
    this.#to[w] = to
    const [leave, enter, totals] = [columns.bounds[2 * i + 1], columns.bounds[2 * i], this.#totals]
    // What the ring has dropped is in the sums alone.
    if (plan.ever[w] === 1 || Math.abs(to - enter) + Math.abs(from - leave) < to - from) {
      totals.start(columns.sums[2 * i], columns.sums[2 * i + 1])
      totals.add(slot, enter, to)
      totals.add(slot, from, leave)
    } else {
      totals.start(0, 0)
      totals.add(slot, from, to)
    }
    this.#sums[w] = totals.sum
    this.#frauds[w] = totals.frauds
  }

  #aggregated(f: number, { aggregator, k }: Attached, slot: number, own: number): number {
    const { plan, columns } = this.#parts
    const w = plan.windowOf[f]
    this.#over.from = this.#from[w]
    this.#over.to = this.#to[w]
    const held = columns.held(slot * plan.delays.length + w)
    return aggregator.valueOver(plan.asked[f], slot, k, held, this.#over, ownOf(own, this.#over))
  }
}

/** The start of a window, moved back to a multiple of its hop; 0: it has none. */
export function startOf(start: EpochMs, hop: number): EpochMs {
  return hop === 0 ? start : Math.floor(start / hop) * hop
}

function ownOf(own: number, { from, to }: Range): Own {
  if (own === NOT_KNOWN) return UNKNOWN
  return own >= from && own < to ? INSIDE : OUTSIDE
}
