/** The size of the smallest ring, as an exponent of two: most entities have few events. */
const SMALLEST = 2

/** Which columns an entity's events have, besides the time. A view stores only what it reads. */
export interface RingColumns {
  amount: boolean
  /** Fraud flag and id hash, by which a fraud label finds its transaction. */
  label: boolean
  /** The whole id, by which a transaction that comes twice is found. */
  id: boolean
}

/**
 * The recent events of many entities. Each entity has a ring of its own, cut from typed arrays that all share. A ring
 * is ordered by event time, and among events of one time by log order.
 *
 * An entity is a slot (0, 1, 2 …). Its events have the sequence numbers from `first[slot]` to below `next[slot]`, and
 * event s stands at `base[slot] + (s & mask[slot])` of every column. The fold drops old events by raising `first`, and
 * puts a late event between others by `insert`.
 *
 * A ring holds a power of two. A full one moves to a region twice as large and leaves its old region to the next ring
 * of that size. An event takes 8 bytes for its time, 8 for an amount, 5 for fraud flag and id hash, 8 for a whole id. A
 * ring that has just grown is half empty. Adding an event at the young end is amortised O(1).
 */
export class EventRings {
  slots = 0
  base: Uint32Array = new Uint32Array(64)
  mask: Uint32Array = new Uint32Array(64)
  first: Uint32Array = new Uint32Array(64)
  next: Uint32Array = new Uint32Array(64)

  time: Float64Array
  amount: Float64Array
  fraud: Uint8Array
  idHash: Uint32Array
  idHigh: Uint32Array

  readonly columns: RingColumns
  readonly maxEvents: number
  readonly #free = new Map<number, number[]>()
  #used = 0

  constructor(columns: RingColumns, maxEvents: number) {
    this.columns = columns
    this.maxEvents = maxEvents
    const initial = 4096
    this.time = new Float64Array(initial)
    this.amount = new Float64Array(columns.amount ? initial : 0)
    this.fraud = new Uint8Array(columns.label ? initial : 0)
    this.idHash = new Uint32Array(columns.label || columns.id ? initial : 0)
    this.idHigh = new Uint32Array(columns.id ? initial : 0)
  }

  /** Adds an entity without events and returns its slot. */
  addSlot(): number {
    if (this.slots === this.base.length) {
      this.base = widen(this.base)
      this.mask = widen(this.mask)
      this.first = widen(this.first)
      this.next = widen(this.next)
    }
    const slot = this.slots++
    this.base[slot] = this.#allocate(1 << SMALLEST)
    this.mask[slot] = (1 << SMALLEST) - 1
    return slot
  }

  /** Whether one more event fits. Where it does not, the fold pushes out the oldest one first. */
  roomFor(slot: number): boolean {
    return this.next[slot] - this.first[slot] < this.maxEvents
  }

  /** Opens a place at the young end and returns its position. Hazard: may replace the column arrays. */
  push(slot: number): number {
    const sequence = this.next[slot]
    if (sequence - this.first[slot] > this.mask[slot]) this.#grow(slot)
    this.next[slot] = sequence + 1
    return this.base[slot] + (sequence & this.mask[slot])
  }

  /**
   * Opens a place at `sequence` and returns its position. The event that had this number and all younger ones move up
   * by one. Hazard: may replace the column arrays.
   */
  insert(slot: number, sequence: number): number {
    this.push(slot)
    for (let s = this.next[slot] - 1; s > sequence; s--) this.#copy(this.position(slot, s - 1), this.position(slot, s))
    return this.position(slot, sequence)
  }

  /** Where an event stands in the columns. Valid until the ring grows. */
  position(slot: number, sequence: number): number {
    return this.base[slot] + (sequence & this.mask[slot])
  }

  /** The sequence number of the first event later than `time`, or `next` when none is. A binary search. */
  after(slot: number, time: number): number {
    let low = this.first[slot]
    let high = this.next[slot]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.time[this.position(slot, middle)] <= time) low = middle + 1
      else high = middle
    }
    return low
  }

  /** The sequence number of the newest event from time `from` to `to`, both included, with this id hash. */
  find(slot: number, from: number, to: number, idHash: number): number | undefined {
    for (let s = this.after(slot, to) - 1; s >= this.first[slot]; s--) {
      const p = this.position(slot, s)
      if (this.time[p] < from) return undefined
      if (this.idHash[p] === idHash) return s
    }
    return undefined
  }

  /** Bytes reserved for events. */
  get bytes(): number {
    return (
      this.time.byteLength +
      this.amount.byteLength +
      this.fraud.byteLength +
      this.idHash.byteLength +
      this.idHigh.byteLength
    )
  }

  #grow(slot: number): void {
    const size = this.mask[slot] + 1
    const from = this.base[slot]
    const to = this.#allocate(size * 2)
    for (let s = this.first[slot]; s < this.next[slot]; s++)
      this.#copy(from + (s & (size - 1)), to + (s & (size * 2 - 1)))
    this.base[slot] = to
    this.mask[slot] = size * 2 - 1
    const free = this.#free.get(size)
    if (free) free.push(from)
    else this.#free.set(size, [from])
  }

  #allocate(size: number): number {
    const reused = this.#free.get(size)?.pop()
    if (reused !== undefined) return reused
    const at = this.#used
    this.#used += size
    while (this.#used > this.time.length) this.#widenColumns()
    return at
  }

  #widenColumns(): void {
    this.time = widen(this.time)
    if (this.columns.amount) this.amount = widen(this.amount)
    if (this.columns.label) this.fraud = widen(this.fraud)
    if (this.columns.label || this.columns.id) this.idHash = widen(this.idHash)
    if (this.columns.id) this.idHigh = widen(this.idHigh)
  }

  #copy(from: number, to: number): void {
    this.time[to] = this.time[from]
    if (this.columns.amount) this.amount[to] = this.amount[from]
    if (this.columns.label) this.fraud[to] = this.fraud[from]
    if (this.columns.label || this.columns.id) this.idHash[to] = this.idHash[from]
    if (this.columns.id) this.idHigh[to] = this.idHigh[from]
  }
}

function widen<T extends Float64Array | Uint32Array | Uint8Array>(array: T): T {
  const wider = new (array.constructor as new (length: number) => T)(array.length * 2)
  wider.set(array)
  return wider
}
