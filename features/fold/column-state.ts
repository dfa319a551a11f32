import { NO_VALUE, type Dictionary } from '../window/dictionary.ts'
import { copyRing } from './event-state.ts'
import type { KindFold } from './kind-fold.ts'

/**
 * What a kind's events and windows have besides times, amounts and ids, as bytes. Little endian, in this order; events
 * stand oldest first:
 *
 *     per number of an event    f64 each                       column by column
 *     per window for ever       f64 each                       `WindowState.bases`
 *     f64 time of the slot's first event                       where a feature asks for it
 *     per column of values      u32 length of JSON, the JSON   its distinct values, in order of their first event
 *                               per event u32                  1 + the index of its value, 0 for none
 */
export function encodeColumns({ fold, plan }: KindFold, slot: number): Buffer {
  const { rings, windows, oldest } = fold
  const events = rings.next(slot) - rings.first(slot)
  const numbers = rings.numbers.map((column) => {
    const copy = new Float64Array(events)
    copyRing(column, copy, rings, slot)
    return bytesOf(copy)
  })
  const more = [...windows.state.bases(slot), ...(plan.first ? [oldest.at(slot)] : [])]
  const values = rings.codes.map((column, c) => {
    const codes = new Uint32Array(events)
    copyRing(column, codes, rings, slot)
    return encodeValues(codes, rings.dictionaries[c])
  })
  return Buffer.concat([...numbers, bytesOf(Float64Array.from(more)), ...values])
}

/**
 * The inverse, for a slot whose events are in the ring from sequence 0. Returns what `WindowState.resume` needs of it,
 * undefined when the bytes are not what `encodeColumns` writes.
 */
export function decodeColumns({ fold, plan }: KindFold, slot: number, bytes: Buffer): number[] | undefined {
  const { rings, windows, oldest } = fold
  const events = rings.next(slot) - rings.first(slot)
  const sizeOfBases = windows.state.basesSize
  let at = 0
  const size = 8 * (events * rings.numbers.length + sizeOfBases + Number(plan.first))
  if (bytes.length < size) return undefined
  const read = (): number => bytes.readDoubleLE((at += 8) - 8)
  for (const column of rings.numbers) for (let s = 0; s < events; s++) column[rings.position(slot, s)] = read()
  const bases = Array.from({ length: sizeOfBases }, read)
  if (plan.first) oldest.set(slot, read())
  for (const [c, column] of rings.codes.entries()) {
    const codes = decodeValues(bytes.subarray(at), events, rings.dictionaries[c])
    if (codes === undefined) return undefined
    for (let s = 0; s < events; s++) column[rings.position(slot, s)] = codes.codes[s]
    at += codes.bytes
  }
  return at === bytes.length ? bases : undefined
}

function encodeValues(codes: Uint32Array, dictionary: Dictionary): Buffer {
  const indices = new Map<number, number>()
  const events = codes.map((code) => {
    if (code === NO_VALUE) return 0
    if (!indices.has(code)) indices.set(code, indices.size + 1)
    return indices.get(code) ?? 0
  })
  const json = Buffer.from(JSON.stringify([...indices.keys()].map((code) => dictionary.value(code))))
  return Buffer.concat([bytesOf(Uint32Array.of(json.length)), json, bytesOf(events)])
}

/** The codes of the events, each held, and how many bytes they took. */
function decodeValues(
  bytes: Buffer,
  events: number,
  dictionary: Dictionary,
): { codes: number[]; bytes: number } | undefined {
  const start = 4 + (bytes.length < 4 ? 0 : bytes.readUInt32LE(0))
  const end = start + 4 * events
  if (bytes.length < end || start === 4) return undefined
  const values = JSON.parse(bytes.toString('utf8', 4, start)) as (number | string)[]
  const codes = Array.from({ length: events }, (_, e) => {
    const index = bytes.readUInt32LE(start + 4 * e)
    return index === 0 ? NO_VALUE : dictionary.hold(values[index - 1])
  })
  return { codes, bytes: end }
}

function bytesOf({ buffer, byteOffset, byteLength }: Float64Array | Uint32Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength)
}
