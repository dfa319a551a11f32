import { UserError } from '../../configs/user-error.ts'
import { NO_PLACE } from '../window/log-place.ts'
import type { EventRings } from '../window/ring.ts'
import type { EventFold } from './event-fold.ts'
import type { HeldLabels } from './fraud-labels.ts'

/** The form of the events of one kind. */
export const EVENTS_FORM = 1
export const HEADER = 16

/** The bits of the header's columns. */
const AMOUNT = 1
const LABEL = 2
const PUSHED_OUT = 4
const ID = 8
const HELD = 16
export const REFUNDS = 32
const PLACE = 64
/** Parts that a state may have or lack: older versions wrote none of them. */
const OPTIONAL = PUSHED_OUT | ID | HELD | REFUNDS | PLACE

/** The other half of an id that is not known; no id has it. */
const UNKNOWN_ID = 0xffff_ffff

/** Whose state it is, for messages. */
export interface StateOwner {
  entity: string
  key: number | string
  view: string
}

/**
 * The events of one kind of a key as bytes, with the bounds of their windows. Sums are not stored; they are added up
 * again.
 *
 * Little endian, in this order; events stand oldest first:
 *
 *     header       u8 version, u8 columns (1 amount, 2 label, 4 pushed out, 8 id, 16 held, 32 refunds, 64 place),
 *                  u16 windows, u32 events, f64 clock
 *     per window   u32 enter, u32 leave, counted from the oldest event
 *     per event    f64 time
 *     per event    f64 amount             where the view reads amounts
 *     per event    f64 place in the log   where it keeps ids and one of them has a place
 *     per event    u32 id hash            where it reads labels or keeps ids
 *     per event    u32 other half of id   where it keeps ids
 *     per event    u8 fraud               where it reads labels
 *     per label that is held for its transaction, in order of arrival: f64 time; then for each u32 id hash; then u32
 *     their number; where there are any
 *     f64 time of the newest event pushed out, where a full ring has pushed one out
 */
export function encodeEvents(of: EventFold, held: Readonly<HeldLabels>, slot: number): Buffer {
  const { rings } = of
  const { amount, label, id } = rings.columns
  const progress = of.windows.state.progress(slot)
  const first = rings.first(slot)
  const events = rings.next(slot) - first
  const pushedOut = of.pushedOut.at(slot)
  const places = rings.places && hasPlaces(rings, slot)
  const columns =
    columnsOf(of) +
    (pushedOut === -Infinity ? 0 : PUSHED_OUT) +
    (held.times.length === 0 ? 0 : HELD) +
    (places ? PLACE : 0)
  const at = layoutOf(events, progress.length / 2, columns, held.times.length)
  const bytes = Buffer.allocUnsafeSlow(at.end)
  bytes.writeUInt8(EVENTS_FORM, 0)
  bytes.writeUInt8(columns, 1)
  bytes.writeUInt16LE(progress.length / 2, 2)
  bytes.writeUInt32LE(events, 4)
  bytes.writeDoubleLE(of.clock.at(slot), 8)
  if (pushedOut !== -Infinity) bytes.writeDoubleLE(pushedOut, bytes.length - 8)
  new Uint32Array(bytes.buffer, HEADER, progress.length).set(progress)
  // Every column begins at a multiple of its element's size, so it can be written as a typed array.
  copyRing(rings.time, new Float64Array(bytes.buffer, at.times, events), rings, slot)
  if (amount) copyRing(rings.amount, new Float64Array(bytes.buffer, at.amounts, events), rings, slot)
  if (places) copyRing(rings.place, new Float64Array(bytes.buffer, at.places, events), rings, slot)
  if (label || id) copyRing(rings.idHash, new Uint32Array(bytes.buffer, at.hashes, events), rings, slot)
  if (id) copyRing(rings.idHigh, new Uint32Array(bytes.buffer, at.highs, events), rings, slot)
  if (label) copyRing(rings.fraud, new Uint8Array(bytes.buffer, at.frauds, events), rings, slot)
  if (held.times.length > 0) writeHeld(bytes, at.held, held)
  return bytes
}

/**
 * Whether one of a slot's events stands in the log. Of history none does, which saves its states a column. It is mostly
 * the youngest; but one that came late may be the only one.
 */
function hasPlaces(rings: EventRings, slot: number): boolean {
  for (let s = rings.next(slot) - 1; s >= rings.first(slot); s--)
    if (rings.place[rings.position(slot, s)] !== NO_PLACE) return true
  return false
}

/** The labels have no fixed place, so their times are not aligned. */
function writeHeld(bytes: Buffer, start: number, { times, idHashes }: HeldLabels): void {
  let at = start
  for (const time of times) at = bytes.writeDoubleLE(time, at)
  for (const hash of idHashes) at = bytes.writeUInt32LE(hash, at)
  bytes.writeUInt32LE(times.length, at)
}

function readHeld(bytes: Buffer, at: number, count: number): HeldLabels {
  return {
    times: Array.from({ length: count }, (_, i) => bytes.readDoubleLE(at + 8 * i)),
    idHashes: Array.from({ length: count }, (_, i) => bytes.readUInt32LE(at + 8 * count + 4 * i)),
  }
}

/** Copies one column of a slot's events, oldest first. A ring consists of at most two runs. */
export function copyRing<T extends Float64Array | Uint32Array | Uint8Array>(
  from: T,
  to: T,
  rings: EventRings,
  slot: number,
): void {
  const start = rings.first(slot) & rings.mask(slot)
  const base = rings.base(slot)
  const untilEnd = Math.min(to.length, rings.mask(slot) + 1 - start)
  to.set(from.subarray(base + start, base + start + untilEnd))
  to.set(from.subarray(base, base + to.length - untilEnd), untilEnd)
}

/**
 * Puts stored events into a slot that has none yet. Its windows must be resumed then.
 *
 * @throws UserError when the bytes are of another form, belong to another view, or are cut short.
 */
export function decodeEvents(of: EventFold, slot: number, buffer: Buffer, owner: StateOwner): StoredEvents {
  const { rings } = of
  const { events, progress, clock, pushedOut, columns, held } = decodeHeader(of, buffer, owner)
  const { amount, label, id } = rings.columns
  const at = layoutOf(events, progress.length / 2, columns, held)
  const withIds = (columns & ID) !== 0
  if (id && (columns & PLACE) !== 0) rings.keepPlaces()
  for (let e = 0; e < events; e++) {
    const position = rings.push(slot)
    rings.time[position] = buffer.readDoubleLE(at.times + e * 8)
    if (amount) rings.amount[position] = buffer.readDoubleLE(at.amounts + e * 8)
    if (label || (id && withIds)) rings.idHash[position] = buffer.readUInt32LE(at.hashes + e * 4)
    // State of an older version has no ids: what it holds is not found again.
    if (id) rings.idHigh[position] = withIds ? buffer.readUInt32LE(at.highs + e * 4) : UNKNOWN_ID
    if (rings.places)
      rings.place[position] = (columns & PLACE) === 0 ? NO_PLACE : buffer.readDoubleLE(at.places + e * 8)
    if (label) rings.fraud[position] = buffer.readUInt8(at.frauds + e)
  }
  of.clock.set(slot, clock)
  of.pushedOut.set(slot, pushedOut)
  return { progress, held: readHeld(buffer, at.held, held) }
}

/** What was stored of a slot, besides what its ring and clock hold by now. */
export interface StoredEvents {
  /** The bounds of its windows, for `WindowState.resume`. */
  progress: Uint32Array
  /** The labels that are held. */
  held: HeldLabels
}

interface Header {
  events: number
  progress: Uint32Array
  clock: number
  pushedOut: number
  columns: number
  /** Number of labels that are held. */
  held: number
}

function decodeHeader(of: EventFold, buffer: Buffer, owner: StateOwner): Header {
  const windows = of.windows.state.count
  const columns = buffer[1]
  const events = buffer.length < HEADER ? 0 : buffer.readUInt32LE(4)
  const held = buffer.length < HEADER || (columns & HELD) === 0 ? 0 : buffer.readUInt32LE(endOfHeld(buffer) - 4)
  const fits =
    buffer.length >= HEADER &&
    buffer[0] === EVENTS_FORM &&
    (columns & ~OPTIONAL) === (columnsOf(of) & ~OPTIONAL) &&
    buffer.readUInt16LE(2) === windows &&
    buffer.length === layoutOf(events, windows, columns, held).end
  if (!fits) refuseState(buffer, owner)
  const progress = Uint32Array.from({ length: windows * 2 }, (_, i) => buffer.readUInt32LE(HEADER + i * 4))
  const pushedOut = (columns & PUSHED_OUT) === 0 ? -Infinity : buffer.readDoubleLE(buffer.length - 8)
  return { events, progress, clock: buffer.readDoubleLE(8), pushedOut, columns, held }
}

/** @throws UserError that says whose state is not what its view writes. */
export function refuseState(bytes: Uint8Array, { entity, key, view }: StateOwner): never {
  throw new UserError(
    `The stored state of ${entity} ${key} is not what view "${view}" writes ` +
      `(${bytes.length} bytes, version ${bytes[0]}). Write it anew: fd features backfill --online`,
  )
}

/** The bits of the columns that the rings have. */
function columnsOf({ rings: { columns } }: EventFold): number {
  return (columns.amount ? AMOUNT : 0) + (columns.label ? LABEL : 0) + (columns.id ? ID : 0)
}

/** Where the part with held labels ends. */
function endOfHeld(buffer: Buffer): number {
  return buffer.length - ((buffer[1] & PUSHED_OUT) === 0 ? 0 : 8)
}

/** Where each column begins, and where the state ends. A column that is not there has no room. */
interface Layout {
  times: number
  amounts: number
  places: number
  hashes: number
  highs: number
  frauds: number
  held: number
  end: number
}

/** @param labels how many are held. */
function layoutOf(events: number, windows: number, columns: number, labels: number): Layout {
  const has = (bits: number): number => ((columns & bits) === 0 ? 0 : 1)
  const times = HEADER + windows * 8
  const amounts = times + events * 8
  const places = amounts + events * 8 * has(AMOUNT)
  const hashes = places + events * 8 * has(PLACE)
  const highs = hashes + events * 4 * has(LABEL | ID)
  const frauds = highs + events * 4 * has(ID)
  const held = frauds + events * has(LABEL)
  const end = held + (12 * labels + 4) * has(HELD) + 8 * has(PUSHED_OUT)
  return { times, amounts, places, hashes, highs, frauds, held, end }
}
