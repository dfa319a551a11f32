import { Dictionary } from './dictionary.ts'
import { Growing } from './growing.ts'
import { NO_PLACE } from './log-place.ts'
import type { RingColumns, RowColumns } from './ring-columns.ts'

/** The size of the smallest ring, as an exponent of two: most entities have few events. */
const SMALLEST = 2
/** Up to so many events are moved one by one, which is then faster than by blocks. */
const FEW = 32

/** What is kept of a ring. */
const BASE = 0
const MASK = 1
const FIRST = 2
const NEXT = 3

/**
 * The recent events of many entities. Each entity has a ring of its own, cut from typed arrays that all share. A ring
 * is ordered by event time, and among events of one time by log order.
 *
 * An entity is a slot (0, 1, 2 …). Its events have the sequence numbers from `first(slot)` to below `next(slot)`, and
 * event s stands at `base(slot) + (s & mask(slot))` of every column. The fold drops old events by raising `first`, and
 * puts a late event between others by `insert`.
 *
 * A ring holds a power of two. A full one moves to a region twice as large and leaves its old region to the next ring
 * of that size. An event takes 8 bytes for its time, 8 for an amount, 5 for fraud flag and id hash, 8 for a whole id,
 * 8 for its place, 8 for each number and 4 for each code of a value. A ring that has just grown is half empty. Adding
 * an event at the young end is amortised O(1).
 */
export class EventRings {
  slots = 0
  time: Float64Array
  amount: Float64Array
  fraud: Uint8Array
  idHash: Uint32Array
  idHigh: Uint32Array
  /** Where an event stands in the log, as `packPlace` gives it. Empty before `keepPlaces`. */
  place: Float64Array
  /** Whether events have a place. Those of history have none, so a backfill does without the column. */
  places = false

  /** The room behind the columns above. */
  readonly #room = {
    bounds: new Growing(Uint32Array),
    time: new Growing(Float64Array),
    amount: new Growing(Float64Array),
    fraud: new Growing(Uint8Array),
    idHash: new Growing(Uint32Array),
    idHigh: new Growing(Uint32Array),
    place: new Growing(Float64Array, 0),
  }
  /** Numbers of the dataset's own columns: minor units where a column declares decimals. NaN: missing. */
  readonly numbers: Float64Array[]
  /** Codes of the values of columns. */
  readonly codes: Uint32Array[]
  /** The values behind the codes, by column. Folds of one view share them. */
  readonly dictionaries: readonly Dictionary[]
  readonly columns: RingColumns
  readonly maxEvents: number
  /** By slot, side by side: base, mask, first and next. They are always read together. */
  #bounds = this.#room.bounds.array
  readonly #free = new Map<number, number[]>()
  readonly #numberRoom: Growing<Float64Array>[]
  readonly #codeRoom: Growing<Uint32Array>[]
  #used = 0

  constructor(columns: RingColumns, maxEvents: number, dictionaries?: readonly Dictionary[]) {
    const { numbers = [], values = [] } = columns
    this.columns = columns
    this.dictionaries = dictionaries ?? values.map(() => new Dictionary())
    this.#numberRoom = numbers.map(() => new Growing(Float64Array))
    this.#codeRoom = values.map(() => new Growing(Uint32Array))
    this.numbers = this.#numberRoom.map(({ array }) => array)
    this.codes = this.#codeRoom.map(({ array }) => array)
    this.maxEvents = maxEvents
    this.time = this.#room.time.array
    this.amount = this.#room.amount.array
    this.fraud = this.#room.fraud.array
    this.idHash = this.#room.idHash.array
    this.idHigh = this.#room.idHigh.array
    this.place = this.#room.place.array
  }

  /** From now on events have a place. Those that are there get none. */
  keepPlaces(): void {
    if (this.places) return
    this.places = true
    this.place = this.#room.place.grow(this.time.length).fill(NO_PLACE)
  }

  /** Adds an entity without events and returns its slot. */
  addSlot(): number {
    this.#bounds = this.#room.bounds.grow((this.slots + 1) * 4)
    const slot = this.slots++
    this.#bounds[slot * 4 + BASE] = this.#allocate(1 << SMALLEST)
    this.#bounds[slot * 4 + MASK] = (1 << SMALLEST) - 1
    return slot
  }

  base(slot: number): number {
    return this.#bounds[slot * 4 + BASE]
  }

  mask(slot: number): number {
    return this.#bounds[slot * 4 + MASK]
  }

  /** The sequence of the oldest event. */
  first(slot: number): number {
    return this.#bounds[slot * 4 + FIRST]
  }

  /** The sequence of the event that comes next. */
  next(slot: number): number {
    return this.#bounds[slot * 4 + NEXT]
  }

  /** Whether one more event fits. Where it does not, the fold pushes out the oldest one first. */
  roomFor(slot: number): boolean {
    return this.next(slot) - this.first(slot) < this.maxEvents
  }

  /** Opens a place at the young end and returns its position. Hazard: may replace the column arrays. */
  push(slot: number): number {
    const sequence = this.next(slot)
    if (sequence - this.first(slot) > this.mask(slot)) this.#grow(slot)
    this.#bounds[slot * 4 + NEXT] = sequence + 1
    return this.base(slot) + (sequence & this.mask(slot))
  }

  /**
   * Opens a place at `sequence` and returns its position. The event that had this number and all younger ones move up
   * by one. Hazard: may replace the column arrays.
   */
  insert(slot: number, sequence: number): number {
    this.push(slot)
    const last = this.next(slot) - 1
    if (last - sequence > FEW) this.#moveUp(slot, sequence, last)
    else for (let s = last; s > sequence; s--) this.#copy(this.position(slot, s - 1), this.position(slot, s))
    return this.position(slot, sequence)
  }

  /** Moves the events from `from` to before `last` up by one, in whole blocks: two where they go around the ring. */
  #moveUp(slot: number, from: number, last: number): void {
    const base = this.base(slot)
    const end = base + this.mask(slot)
    const start = this.position(slot, from)
    const stop = this.position(slot, last)
    if (start < stop) return this.#copyBlock(start, stop, start + 1)
    this.#copyBlock(base, stop, base + 1)
    this.#copy(end, base)
    this.#copyBlock(start, end, start + 1)
  }

  /**
   * Writes an event at `sequence`, with those of its columns that the rings have but its place, and returns its
   * position. Hazard: may replace the column arrays.
   */
  put(slot: number, sequence: number, time: number, amount: number, idHash: number, idHigh: number): number {
    const { columns } = this
    const position = sequence === this.next(slot) ? this.push(slot) : this.insert(slot, sequence)
    this.time[position] = time
    if (columns.amount) this.amount[position] = amount
    if (columns.label) this.fraud[position] = 0
    if (columns.label || columns.id) this.idHash[position] = idHash
    if (columns.id) this.idHigh[position] = idHigh
    return position
  }

  /** Writes the columns of the dataset's own of the event at a position. Its values are held. */
  fill(position: number, { row, numbers, scales, codes }: RowColumns): void {
    for (let n = 0; n < this.numbers.length; n++) {
      const value = numbers[n][row]
      // Adding 0 makes −0 a plain 0.
      this.numbers[n][position] = (scales[n] === 0 ? value : Math.round(value * scales[n])) + 0
    }
    for (let c = 0; c < this.codes.length; c++) {
      const code = codes[c][row]
      this.codes[c][position] = code
      this.dictionaries[c].keep(code)
    }
  }

  /** Drops the events before a sequence. */
  drop(slot: number, oldest: number): void {
    for (let c = 0; c < this.codes.length; c++) {
      for (let s = this.first(slot); s < oldest; s++)
        this.dictionaries[c].release(this.codes[c][this.position(slot, s)])
    }
    this.#bounds[slot * 4 + FIRST] = oldest
  }

  /** Appends the events of another's slot to slot 0, with those of their columns that tell when and which they were. */
  take(from: EventRings, slot: number): void {
    if (from.places) this.keepPlaces()
    for (let s = from.first(slot); s < from.next(slot); s++) {
      const p = from.position(slot, s)
      const at = this.put(0, this.next(0), from.time[p], 0, from.idHash[p], from.idHigh[p])
      if (from.places) this.place[at] = from.place[p]
    }
  }

  /** Where an event stands in the columns. Valid until the ring grows. */
  position(slot: number, sequence: number): number {
    return this.base(slot) + (sequence & this.mask(slot))
  }

  /** The sequence number of the first event later than `time`, or `next` when none is. A binary search. */
  after(slot: number, time: number): number {
    let low = this.first(slot)
    let high = this.next(slot)
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.time[this.position(slot, middle)] <= time) low = middle + 1
      else high = middle
    }
    return low
  }

  /** The sequence number of the newest event from time `from` to `to`, both included, with this id hash. */
  find(slot: number, from: number, to: number, idHash: number): number | undefined {
    for (let s = this.after(slot, to) - 1; s >= this.first(slot); s--) {
      const p = this.position(slot, s)
      if (this.time[p] < from) return undefined
      if (this.idHash[p] === idHash) return s
    }
    return undefined
  }

  #grow(slot: number): void {
    const size = this.mask(slot) + 1
    const from = this.base(slot)
    const to = this.#allocate(size * 2)
    for (let s = this.first(slot); s < this.next(slot); s++)
      this.#copy(from + (s & (size - 1)), to + (s & (size * 2 - 1)))
    this.#bounds[slot * 4 + BASE] = to
    this.#bounds[slot * 4 + MASK] = size * 2 - 1
    const free = this.#free.get(size)
    if (free) free.push(from)
    else this.#free.set(size, [from])
  }

  #allocate(size: number): number {
    const reused = this.#free.get(size)?.pop()
    if (reused !== undefined) return reused
    const at = this.#used
    this.#used += size
    if (this.#used > this.time.length) this.#growColumns(this.#used)
    return at
  }

  #growColumns(events: number): void {
    const room = this.#room
    this.time = room.time.grow(events)
    // The other columns get as much room as the first, so that they need no look of their own.
    if (this.columns.amount) this.amount = room.amount.grow(this.time.length)
    if (this.columns.label) this.fraud = room.fraud.grow(this.time.length)
    if (this.columns.label || this.columns.id) this.idHash = room.idHash.grow(this.time.length)
    if (this.columns.id) this.idHigh = room.idHigh.grow(this.time.length)
    if (this.places) this.place = room.place.grow(this.time.length)
    for (let n = 0; n < this.numbers.length; n++) this.numbers[n] = this.#numberRoom[n].grow(this.time.length)
    for (let c = 0; c < this.codes.length; c++) this.codes[c] = this.#codeRoom[c].grow(this.time.length)
  }

  #copyBlock(from: number, end: number, to: number): void {
    this.time.copyWithin(to, from, end)
    if (this.columns.amount) this.amount.copyWithin(to, from, end)
    if (this.columns.label) this.fraud.copyWithin(to, from, end)
    if (this.columns.label || this.columns.id) this.idHash.copyWithin(to, from, end)
    if (this.columns.id) this.idHigh.copyWithin(to, from, end)
    if (this.places) this.place.copyWithin(to, from, end)
    for (const column of this.numbers) column.copyWithin(to, from, end)
    for (const column of this.codes) column.copyWithin(to, from, end)
  }

  #copy(from: number, to: number): void {
    this.time[to] = this.time[from]
    if (this.columns.amount) this.amount[to] = this.amount[from]
    if (this.columns.label) this.fraud[to] = this.fraud[from]
    if (this.columns.label || this.columns.id) this.idHash[to] = this.idHash[from]
    if (this.columns.id) this.idHigh[to] = this.idHigh[from]
    if (this.places) this.place[to] = this.place[from]
    for (let n = 0; n < this.numbers.length; n++) this.numbers[n][to] = this.numbers[n][from]
    for (let c = 0; c < this.codes.length; c++) this.codes[c][to] = this.codes[c][from]
  }
}
