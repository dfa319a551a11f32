import { refuseNewer } from '../../configs/format.ts'
import { UserError } from '../../configs/user-error.ts'
import type { EventRings } from './ring.ts'
import type { ViewFold } from './view-fold.ts'

const VERSION = 1
const HEADER = 16

/** The bits of the header's columns. */
const AMOUNT = 1
const LABEL = 2
const PUSHED_OUT = 4

/**
 * The state of one key of one view as bytes, as the online store keeps it: all that the fold needs to go on as if it
 * had never stopped. Sums are not stored; `decodeState` adds them up again.
 *
 * Little endian, in this order; events stand oldest first:
 *
 *     header       u8 version, u8 columns (1 amount + 2 label + 4 pushed out), u16 windows, u32 events, f64 clock
 *     per window   u32 enter, u32 leave, counted from the oldest event
 *     per event    f64 time
 *     per event    f64 amount             where the view reads amounts
 *     per event    u32 id hash            where it reads labels
 *     per event    u8 fraud               where it reads labels
 *     f64 time of the newest event pushed out, where a full ring has pushed one out
 */
export function encodeState(view: ViewFold, slot: number): Buffer {
  const { rings } = view
  const { amount, label } = rings.columns
  const progress = view.windows.progress(slot)
  const first = rings.first[slot]
  const events = rings.next[slot] - first
  const pushedOut = view.pushedOut.at(slot)
  const columns = columnsOf(view) + (pushedOut === -Infinity ? 0 : PUSHED_OUT)
  const bytes = Buffer.allocUnsafeSlow(sizeOf(events, progress.length / 2, columns))
  bytes.writeUInt8(VERSION, 0)
  bytes.writeUInt8(columns, 1)
  bytes.writeUInt16LE(progress.length / 2, 2)
  bytes.writeUInt32LE(events, 4)
  bytes.writeDoubleLE(view.clock.at(slot), 8)
  if (pushedOut !== -Infinity) bytes.writeDoubleLE(pushedOut, bytes.length - 8)
  new Uint32Array(bytes.buffer, HEADER, progress.length).set(progress)
  // Every column begins at a multiple of its element's size, so it can be written as a typed array.
  const times = HEADER + progress.length * 4
  const amounts = times + events * 8
  const hashes = amounts + (amount ? events * 8 : 0)
  copyRing(rings.time, new Float64Array(bytes.buffer, times, events), rings, slot)
  if (amount) copyRing(rings.amount, new Float64Array(bytes.buffer, amounts, events), rings, slot)
  if (!label) return bytes
  copyRing(rings.idHash, new Uint32Array(bytes.buffer, hashes, events), rings, slot)
  copyRing(rings.fraud, new Uint8Array(bytes.buffer, hashes + events * 4, events), rings, slot)
  return bytes
}

/** Copies one column of a slot's events, oldest first. A ring consists of at most two runs. */
function copyRing<T extends Float64Array | Uint32Array | Uint8Array>(
  from: T,
  to: T,
  rings: EventRings,
  slot: number,
): void {
  const start = rings.first[slot] & rings.mask[slot]
  const base = rings.base[slot]
  const untilEnd = Math.min(to.length, rings.mask[slot] + 1 - start)
  to.set(from.subarray(base + start, base + start + untilEnd))
  to.set(from.subarray(base, base + to.length - untilEnd), untilEnd)
}

/**
 * Puts stored state into a slot that has no events yet.
 *
 * @throws UserError when the bytes are of another version, belong to another view, or are cut short.
 */
export function decodeState(view: ViewFold, slot: number, bytes: Uint8Array): void {
  const { rings } = view
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const { events, progress, clock, pushedOut } = decodeHeader(view, slot, buffer)
  const times = HEADER + progress.length * 4
  const amounts = times + events * 8
  const hashes = amounts + (rings.columns.amount ? events * 8 : 0)
  const frauds = hashes + events * 4
  for (let e = 0; e < events; e++) {
    const position = rings.push(slot)
    rings.time[position] = buffer.readDoubleLE(times + e * 8)
    if (rings.columns.amount) rings.amount[position] = buffer.readDoubleLE(amounts + e * 8)
    if (!rings.columns.label) continue
    rings.idHash[position] = buffer.readUInt32LE(hashes + e * 4)
    rings.fraud[position] = buffer.readUInt8(frauds + e)
  }
  view.clock.set(slot, clock)
  view.pushedOut.set(slot, pushedOut)
  view.windows.resume(slot, progress)
}

interface Header {
  events: number
  progress: Uint32Array
  clock: number
  pushedOut: number
}

function decodeHeader(view: ViewFold, slot: number, buffer: Buffer): Header {
  const windows = view.windows.count
  const columns = buffer[1]
  refuseNewer(
    buffer[0],
    VERSION,
    `The stored state of ${view.view.entity} ${view.key(slot)}`,
    'Or write it anew with this one: fd features backfill --online',
  )
  const events = buffer.length < HEADER ? 0 : buffer.readUInt32LE(4)
  const fits =
    buffer.length >= HEADER &&
    buffer[0] === VERSION &&
    (columns === columnsOf(view) || columns === columnsOf(view) + PUSHED_OUT) &&
    buffer.readUInt16LE(2) === windows &&
    buffer.length === sizeOf(events, windows, columns)
  if (!fits) {
    throw new UserError(
      `The stored state of ${view.view.entity} ${view.key(slot)} is not what view "${view.view.name}" writes ` +
        `(${buffer.length} bytes, version ${buffer[0]}). Write it anew: fd features backfill --online`,
    )
  }
  const progress = Uint32Array.from({ length: windows * 2 }, (_, i) => buffer.readUInt32LE(HEADER + i * 4))
  const pushedOut = (columns & PUSHED_OUT) === 0 ? -Infinity : buffer.readDoubleLE(buffer.length - 8)
  return { events, progress, clock: buffer.readDoubleLE(8), pushedOut }
}

/** The bits of the columns that every state of a view has. */
function columnsOf({ rings: { columns } }: ViewFold): number {
  return (columns.amount ? AMOUNT : 0) + (columns.label ? LABEL : 0)
}

function sizeOf(events: number, windows: number, columns: number): number {
  const event = 8 + ((columns & AMOUNT) === 0 ? 0 : 8) + ((columns & LABEL) === 0 ? 0 : 5)
  return HEADER + windows * 8 + events * event + ((columns & PUSHED_OUT) === 0 ? 0 : 8)
}
