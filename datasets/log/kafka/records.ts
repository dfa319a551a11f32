import { compressionsAlgorithmsByBitmask, crc32c } from '@platformatic/kafka'
import { UserError } from '../../../configs/user-error.ts'
import type { NewRecord, RecordBatch } from '../event-log.ts'

/**
 * Kafka's record batch, version 2 (Kafka protocol guide, "Record Batch"), written from and read into columns without an
 * object a record:
 *
 *     0 i64 offset of the first   8 i32 bytes that follow   12 i32 leader epoch   16 i8 version 2   17 u32 CRC-32C from byte 21
 *     21 i16 attributes   23 i32 last offset delta   27 i64 first timestamp   35 i64 newest timestamp
 *     43 i64 producer   51 i16 producer epoch   53 i32 sequence of the first   57 i32 records   61 records
 *
 * A record: length, attributes i8, timestamp delta, offset delta, key, value, headers; lengths and deltas are zigzag varints.
 */
const HEADER = 61
const VERSION = 2
const COMPRESSION = 0b111
const TRANSACTIONAL = 1 << 4
const CONTROL = 1 << 5
/** Most bytes of a record beside its key and value: six varints and the attributes. */
const RECORD_FRAME = 32
/** Sum of a batch's bytes at which another begins: under the 1 MB that a broker takes when it is not told otherwise. Only a record that is larger makes a larger one. */
export const LARGEST_BATCH = 900_000

/** Who wrote a batch, so that the broker knows one that is sent again. */
export interface BatchProducer {
  id: bigint
  epoch: number
  sequence: number
  transactional: boolean
}

/** Most bytes that the record takes. Strings are measured: three bytes a character, the bound, would cut a batch of text into three requests. */
function recordBytes({ key, value }: NewRecord): number {
  return RECORD_FRAME + contentBytes(key) + contentBytes(value)
}

function contentBytes(content: string | Uint8Array | undefined): number {
  if (content === undefined) return 0
  return typeof content === 'string' ? Buffer.byteLength(content) : content.length
}

/** How many of the records from `from` go into one batch: at least one. */
export function batchLength(records: NewRecord[], from: number): number {
  let bytes = HEADER
  let to = from
  for (; to < records.length; to++) {
    bytes += recordBytes(records[to])
    if (to > from && bytes > LARGEST_BATCH) break
  }
  return to - from
}

/** Records `from` to `to` (excluded) as one batch. Timestamps are whole milliseconds in Kafka: fractions are cut off. */
export function encodeBatch(records: NewRecord[], from: number, to: number, producer: BatchProducer): Buffer {
  let most = HEADER
  for (let i = from; i < to; i++) most += recordBytes(records[i])
  const bytes = Buffer.allocUnsafe(most)
  const base = Math.floor(records[from].timestamp)
  let newest = base
  let at = HEADER
  for (let i = from; i < to; i++) {
    const timestamp = Math.floor(records[i].timestamp)
    newest = Math.max(newest, timestamp)
    at = writeRecord(bytes, at, records[i], timestamp - base, i - from)
  }
  bytes.writeBigInt64BE(0n, 0)
  bytes.writeInt32BE(at - 12, 8)
  bytes.writeInt32BE(-1, 12)
  bytes.writeInt8(VERSION, 16)
  bytes.writeInt16BE(producer.transactional ? TRANSACTIONAL : 0, 21)
  bytes.writeInt32BE(to - from - 1, 23)
  bytes.writeBigInt64BE(BigInt(base), 27)
  bytes.writeBigInt64BE(BigInt(newest), 35)
  bytes.writeBigInt64BE(producer.id, 43)
  bytes.writeInt16BE(producer.epoch, 51)
  bytes.writeInt32BE(producer.sequence, 53)
  bytes.writeInt32BE(to - from, 57)
  bytes.writeUInt32BE(crc32c(bytes.subarray(21, at)), 17)
  return bytes.subarray(0, at)
}

/** The record's own length stands before it and is known last: five bytes are kept for it, and the record moved up to it. */
function writeRecord(
  bytes: Buffer,
  start: number,
  { key, value }: NewRecord,
  timestampDelta: number,
  offsetDelta: number,
): number {
  const body = start + 5
  bytes[body] = 0
  let at = writeVarint(bytes, body + 1, timestampDelta)
  at = writeVarint(bytes, at, offsetDelta)
  at = key === undefined ? writeVarint(bytes, at, -1) : writeContent(bytes, at, key)
  at = writeContent(bytes, at, value)
  bytes[at++] = 0
  const gap = body - writeVarint(bytes, start, at - body)
  if (gap > 0) bytes.copyWithin(body - gap, body, at)
  return at - gap
}

function writeContent(bytes: Buffer, at: number, content: string | Uint8Array): number {
  if (typeof content !== 'string') {
    const start = writeVarint(bytes, at, content.length)
    bytes.set(content, start)
    return start + content.length
  }
  const length = Buffer.byteLength(content)
  const start = writeVarint(bytes, at, length)
  bytes.write(content, start, length, 'utf8')
  return start + length
}

/** Zigzag varint of a whole number below 2^52, by arithmetic: timestamps are longer than the 32 bits of bit operations. */
function writeVarint(bytes: Buffer, start: number, value: number): number {
  let at = start
  let rest = value < 0 ? -2 * value - 1 : 2 * value
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes[at++] = (rest % 0x80) + 0x80
  bytes[at++] = rest
  return at
}

/** A transaction that was aborted: the records of `producerId` from `firstOffset` to its abort marker never were. */
export interface AbortedTransaction {
  producerId: bigint
  firstOffset: bigint
}

export interface Decoded {
  batches: RecordBatch[]
  /** Where to fetch on: behind the last whole batch, markers included. */
  next: number
}

/**
 * The committed records from offset `from` in what a broker sent, whose last batch may be cut off. Batches lie over `bytes`
 * itself, in which keys are moved up to their values: it must not be decoded again.
 *
 * @throws UserError saying what is damaged and where.
 */
export function decodeBatches(
  bytes: Buffer,
  topic: string,
  partition: number,
  from: number,
  aborted: AbortedTransaction[],
): Decoded {
  const ends = aborted.toSorted((a, b) => Number(a.firstOffset - b.firstOffset))
  const dropped = new Set<bigint>()
  const batches: RecordBatch[] = []
  let next = from
  for (let at = 0; at + HEADER <= bytes.length;) {
    const end = at + 12 + bytes.readInt32BE(at + 8)
    if (end > bytes.length) break
    const first = Number(bytes.readBigInt64BE(at))
    const last = first + bytes.readInt32BE(at + 23)
    const damage = damageOf(bytes, at, end)
    if (damage !== undefined) {
      throw new UserError(
        `Topic "${topic}", partition ${partition}, batch of offset ${first} is damaged: ${damage}. Read on behind it with: fd topics read ${topic} --from ${last + 1}`,
      )
    }
    while (ends.length > 0 && Number(ends[0].firstOffset) <= last)
      dropped.add((ends.shift() as AbortedTransaction).producerId)
    const attributes = bytes.readInt16BE(at + 21)
    const producer = bytes.readBigInt64BE(at + 43)
    if ((attributes & CONTROL) !== 0) dropped.delete(producer)
    else if ((attributes & TRANSACTIONAL) === 0 || !dropped.has(producer)) {
      const batch = decodeBatch(bytes, at, end, { topic, partition, from, first, attributes })
      if (batch.size > 0) batches.push(batch)
    }
    next = Math.max(next, last + 1)
    at = end
  }
  return { batches, next }
}

function damageOf(bytes: Buffer, at: number, end: number): string | undefined {
  if (bytes[at + 16] !== VERSION) return `it has format version ${bytes[at + 16]}, not ${VERSION}`
  return crc32c(bytes.subarray(at + 21, end)) === bytes.readUInt32BE(at + 17)
    ? undefined
    : 'its checksum does not match'
}

interface BatchPlace {
  topic: string
  partition: number
  from: number
  first: number
  attributes: number
}

function decodeBatch(
  source: Buffer,
  start: number,
  end: number,
  { topic, partition, from, first, attributes }: BatchPlace,
): RecordBatch {
  const algorithm = attributes & COMPRESSION
  const count = source.readInt32BE(start + 57)
  const base = Number(source.readBigInt64BE(start + 27))
  const bytes = algorithm === 0 ? source : decompress(source.subarray(start + HEADER, end), algorithm)
  const offsets = new Float64Array(count)
  const timestamps = new Float64Array(count)
  const keyStart = new Uint32Array(count)
  const valueStart = new Uint32Array(count)
  const valueEnd = new Uint32Array(count)
  const cursor: Cursor = { bytes, at: algorithm === 0 ? start + HEADER : 0 }
  let size = 0
  for (let i = 0; i < count; i++) {
    const length = readVarint(cursor)
    const recordEnd = cursor.at + length
    cursor.at += 1
    const timestamp = base + readVarint(cursor)
    const offset = first + readVarint(cursor)
    if (offset >= from) {
      offsets[size] = offset
      timestamps[size] = timestamp
      readKeyAndValue(cursor, keyStart, valueStart, valueEnd, size++)
    }
    cursor.at = recordEnd
  }
  return {
    topic,
    partition,
    size,
    offsets: offsets.subarray(0, size),
    timestamps: timestamps.subarray(0, size),
    bytes,
    keyStart,
    valueStart,
    valueEnd,
  }
}

/** A batch has the key right before the value; in Kafka the value's length stands between. So the key moves over it. */
function readKeyAndValue(
  cursor: Cursor,
  keyStart: Uint32Array,
  valueStart: Uint32Array,
  valueEnd: Uint32Array,
  row: number,
): void {
  const keyLength = Math.max(0, readVarint(cursor))
  const key = cursor.at
  cursor.at += keyLength
  const valueLength = Math.max(0, readVarint(cursor))
  const value = cursor.at
  if (keyLength > 0) cursor.bytes.copyWithin(value - keyLength, key, key + keyLength)
  keyStart[row] = value - keyLength
  valueStart[row] = value
  valueEnd[row] = value + valueLength
}

function decompress(bytes: Buffer, algorithm: number): Buffer {
  const known = compressionsAlgorithmsByBitmask[algorithm as keyof typeof compressionsAlgorithmsByBitmask]
  if (known === undefined)
    throw new UserError(
      `A batch is compressed in a way that is not known (${algorithm}). Use none, gzip, snappy, lz4 or zstd.`,
    )
  return known.decompressSync(bytes)
}

interface Cursor {
  bytes: Buffer
  at: number
}

function readVarint(cursor: Cursor): number {
  const { bytes } = cursor
  let at = cursor.at
  let byte = bytes[at++]
  let value = byte & 0x7f
  for (let scale = 0x80; byte >= 0x80; scale *= 0x80) {
    byte = bytes[at++]
    value += (byte & 0x7f) * scale
  }
  cursor.at = at
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2
}
