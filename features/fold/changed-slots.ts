/** The slots of a view that have changed since the last checkpoint, each once. */
export class ChangedSlots {
  #changed = new Uint8Array(64)
  #slots: number[] = []

  get count(): number {
    return this.#slots.length
  }

  mark(slot: number): void {
    if (this.#changed[slot] === 1) return
    this.#changed[slot] = 1
    this.#slots.push(slot)
  }

  /** The slots that were marked since the last call. Starts a new list. */
  take(): number[] {
    const slots = this.#slots
    for (const slot of slots) this.#changed[slot] = 0
    this.#slots = []
    return slots
  }

  /** Makes room for so many slots. */
  widen(slots: number): void {
    const changed = this.#changed
    this.#changed = new Uint8Array(slots)
    this.#changed.set(changed)
  }
}
