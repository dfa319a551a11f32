import { UserError } from '../../configs/user-error.ts'

/** The columns that can grow. */
type Column = Float64Array | Uint32Array | Uint8Array

/** A column that is larger than this, in bytes, grows in place. Copying a smaller one takes less than a millisecond. */
const MOST_COPIED = 1 << 20
/** By so much a large column grows at a time, in bytes: what is done to new room must not take long either. */
const STEP = 1 << 20
/** The unit in which WebAssembly counts its memory. */
const PAGE = 1 << 16
/** 4 GB. */
const MOST_PAGES = 1 << 16

/**
 * The room behind a typed array that grows while it is read and written, such as a column of all keys of a view.
 *
 * Doubling by a copy stops the loop for a second once there are millions of keys. So a large column lies in a
 * WebAssembly memory: that reserves addresses for 4 GB, and takes more of them without moving what is there. The typed
 * array over it is an ordinary one, so the hot loops read it as fast as any. Where no such memory can be had, because
 * addresses are limited (`ulimit -v`), the column grows by copies.
 */
export class Growing<T extends Column> {
  readonly #kind: new (buffer: SharedArrayBuffer | number) => T
  #array: T
  #memory: WebAssembly.Memory | undefined

  constructor(kind: new (buffer: SharedArrayBuffer | number) => T, length = 64) {
    this.#kind = kind
    this.#array = new kind(length)
  }

  /** The column. Valid until it grows. */
  get array(): T {
    return this.#array
  }

  /**
   * Makes room for at least `length` elements, which may be no more than there are. What is there stays, what is new is
   * zero. Returns the column, which replaces the one before.
   *
   * @throws UserError when the column would be larger than 4 GB.
   */
  grow(length: number): T {
    if (length <= this.#array.length) return this.#array
    const { byteLength, BYTES_PER_ELEMENT } = this.#array
    const bytes = length * BYTES_PER_ELEMENT
    if (Math.max(bytes, byteLength * 2) <= MOST_COPIED) this.#copyTo(Math.max(length, this.#array.length * 2))
    else if (!this.#growInPlace(bytes)) this.#copyTo(Math.max(length, Math.ceil(this.#array.length * 1.5)))
    return this.#array
  }

  #copyTo(length: number): void {
    const wider = new this.#kind(length)
    wider.set(this.#array)
    this.#array = wider
  }

  /** Returns false where there is no memory that could grow in place. */
  #growInPlace(bytes: number): boolean {
    const pages = Math.ceil((bytes + STEP) / PAGE)
    if (this.#memory !== undefined) {
      const { buffer } = this.#memory
      try {
        this.#memory.grow(pages - buffer.byteLength / PAGE)
      } catch (error) {
        throw new UserError(
          `The windows of one partition take more than ${bytes} bytes in one column, which is more than can be had. ` +
            'Spread the keys over more partitions (scorer.partitions).',
          { cause: error },
        )
      }
      this.#array = new this.#kind(this.#memory.buffer)
      return true
    }
    try {
      // A shared memory leaves the arrays over it valid when it grows. Losing theirs, all arrays would be read slower.
      this.#memory = new WebAssembly.Memory({ initial: pages, maximum: MOST_PAGES, shared: true })
    } catch {
      return false
    }
    const moved = new this.#kind(this.#memory.buffer)
    moved.set(this.#array)
    this.#array = moved
    return true
  }
}
