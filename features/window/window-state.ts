import { Totals } from './totals.ts'
import type { WindowParts } from './window-columns.ts'

/** What is stored of a slot's windows. Sums over events of the ring are not; they are added up again. */
export class WindowState {
  readonly #parts: WindowParts
  readonly #totals: Totals

  constructor(parts: WindowParts) {
    this.#parts = parts
    this.#totals = new Totals(parts)
  }

  /** Number of distinct windows. */
  get count(): number {
    return this.#parts.plan.delays.length
  }

  /** The bounds of a slot's windows, counted from the oldest event in the ring: enter, leave, enter, leave … */
  progress(slot: number): Uint32Array {
    const { columns, rings } = this.#parts
    const windows = this.count
    const first = rings.first(slot)
    const progress = new Uint32Array(windows * 2)
    for (let w = 0, i = slot * windows; w < windows; w++, i++) {
      progress[w * 2] = columns.bounds[2 * i] - first
      progress[w * 2 + 1] = columns.bounds[2 * i + 1] - first
    }
    return progress
  }

  /** How many numbers `bases` gives. */
  get basesSize(): number {
    const { plan, aggregators } = this.#parts
    const sizes = aggregators.byWindow.map((attached) =>
      attached.reduce((sum, { aggregator }) => sum + aggregator.baseSize, 2),
    )
    return sizes.reduce((sum, size, w) => (plan.ever[w] === 1 ? sum + size : sum), 0)
  }

  /** What the windows for ever keep of events that the ring has dropped: for each number, sum, and the aggregators'. */
  bases(slot: number): number[] {
    const { plan, columns, aggregators } = this.#parts
    return aggregators.byWindow.flatMap((attached, w) => {
      if (plan.ever[w] === 0) return []
      const i = slot * this.count + w
      this.#totals.start(columns.sums[2 * i], 0)
      this.#totals.add(slot, columns.bounds[2 * i], columns.bounds[2 * i + 1])
      const held = columns.held(i)
      const ofAggregators = attached.flatMap(({ aggregator, k }) => aggregator.base(slot, k, held))
      return [columns.gone[i], this.#totals.sum, ...ofAggregators]
    })
  }

  /**
   * The inverse of `progress` and `bases`, for a ring that was refilled from sequence 0. All is whole, so adding up
   * again gives the same sums.
   */
  resume(slot: number, progress: Uint32Array, bases: readonly number[] = []): void {
    const { plan, columns, aggregators } = this.#parts
    let at = 0
    for (let w = 0, i = slot * this.count; w < this.count; w++, i++) {
      const ever = plan.ever[w] === 1
      columns.bounds[2 * i] = progress[w * 2]
      columns.bounds[2 * i + 1] = progress[w * 2 + 1]
      if (ever) columns.gone[i] = bases[at++]
      this.#totals.start(ever ? bases[at++] : 0, 0)
      this.#totals.add(slot, columns.bounds[2 * i + 1], columns.bounds[2 * i])
      columns.sums[2 * i] = this.#totals.sum
      columns.sums[2 * i + 1] = this.#totals.frauds
      for (const { aggregator, k } of aggregators.byWindow[w]) {
        const size = ever ? aggregator.baseSize : 0
        aggregator.resume(slot, k, columns.held(i), bases.slice(at, at + size))
        at += size
      }
    }
  }
}
