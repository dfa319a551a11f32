import { Growing } from '../window/growing.ts'

/** The slots of a view that have changed since the last checkpoint, each once. */
export class ChangedSlots {
  readonly #flags = new Growing(Uint8Array)
  readonly #list = new Growing(Uint32Array)
  #changed = this.#flags.array
  #slots = this.#list.array
  #count = 0

  get count(): number {
    return this.#count
  }

  mark(slot: number): void {
    if (this.#changed[slot] === 1) return
    this.#changed[slot] = 1
    if (this.#count === this.#slots.length) this.#slots = this.#list.grow(this.#count + 1)
    this.#slots[this.#count++] = slot
  }

  /** The slots that were marked since the last call, in the order of their first mark. Starts a new list. */
  take(): Uint32Array {
    const slots = this.#slots.slice(0, this.#count)
    for (const slot of slots) this.#changed[slot] = 0
    this.#count = 0
    return slots
  }

  /** Makes room for so many slots. */
  grow(slots: number): void {
    this.#changed = this.#flags.grow(slots)
  }
}
