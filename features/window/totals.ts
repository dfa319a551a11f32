import type { WindowParts } from './window-columns.ts'

/** Sum of amounts and number of frauds of a part of a ring, while they are added up. */
export class Totals {
  sum = 0
  frauds = 0
  readonly #parts: Pick<WindowParts, 'plan' | 'rings'>

  constructor(parts: Pick<WindowParts, 'plan' | 'rings'>) {
    this.#parts = parts
  }

  start(sum: number, frauds: number): void {
    this.sum = sum
    this.frauds = frauds
  }

  /** Adds the events from `from` to below `to`. Where `to` is the lower one, takes those between away. */
  add(slot: number, from: number, to: number): void {
    const { rings, plan } = this.#parts
    const { amount, fraud } = rings
    const { sums, frauds } = plan
    const sign = from <= to ? 1 : -1
    for (let s = Math.min(from, to); s < Math.max(from, to); s++) {
      const p = rings.position(slot, s)
      if (sums) this.sum += sign * amount[p]
      if (frauds) this.frauds += sign * fraud[p]
    }
  }
}
