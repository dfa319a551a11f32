import { crc32c } from '@platformatic/kafka'
import type { EpochMs } from '../../table/transaction.ts'
import type { NewRecord } from '../event-log.ts'

/**
 * Kafka's record batch, version 2 (Kafka protocol guide, "Record Batch"). Written from and read into columns, without
 * an object per record.
 *
 *     0   i64  offset of the first record
 *     8   i32  bytes that follow
 *     12  i32  leader epoch
 *     16  i8   version 2
 *     17  u32  CRC-32C from byte 21
 *     21  i16  attributes
 *     23  i32  last offset delta
 *     27  i64  first timestamp
 *     35  i64  newest timestamp
 *     43  i64  producer id
 *     51  i16  producer epoch
 *     53  i32  sequence number of the first record
 *     57  i32  number of records
 *     61       records
 *
 * A record is its length, attributes (i8), timestamp delta, offset delta, key, value and headers. Lengths and deltas
 * are zigzag varints.
 */
export const HEADER = 61
export const VERSION = 2
export const COMPRESSION = 0b111
export const TRANSACTIONAL = 1 << 4
export const CONTROL = 1 << 5
/** Most bytes of a record besides its key and value: six varints and the attributes. */
const RECORD_FRAME = 32
/**
 * Largest batch, in bytes: below the 1 MB that a broker accepts by default. Only a single record over the limit makes a
 * larger batch.
 */
export const LARGEST_BATCH = 900_000

/** Who wrote a batch. By this the broker recognizes a batch that is sent again. */
export interface BatchProducer {
  id: bigint
  epoch: number
  sequence: number
  transactional: boolean
}

/**
 * Most bytes that the record takes. Strings are measured, because the bound of three bytes per character would split a
 * batch of text into three requests.
 */
function recordBytes({ key, value }: NewRecord): number {
  return RECORD_FRAME + contentBytes(key) + contentBytes(value)
}

function contentBytes(content: string | Uint8Array | undefined): number {
  if (content === undefined) return 0
  return typeof content === 'string' ? Buffer.byteLength(content) : content.length
}

/** How many of the records, from index `from` on, go into one batch; at least one. */
export function batchLength(records: NewRecord[], from: number): number {
  let bytes = HEADER
  let to = from
  for (; to < records.length; to++) {
    bytes += recordBytes(records[to])
    if (to > from && bytes > LARGEST_BATCH) break
  }
  return to - from
}

/**
 * Records `from` to `to` (excluded) as one batch. Kafka's timestamps are whole milliseconds, so fractions are cut off.
 * A timestamp that is ahead becomes the present: a broker would refuse the batch, and with it whoever passes on a
 * record that came with such a timestamp.
 */
export function encodeBatch(records: NewRecord[], from: number, to: number, producer: BatchProducer): Buffer {
  let most = HEADER
  for (let i = from; i < to; i++) most += recordBytes(records[i])
  const bytes = Buffer.allocUnsafe(most)
  const now = Date.now()
  const base = wholeTimestamp(records[from], now)
  let newest = base
  let at = HEADER
  for (let i = from; i < to; i++) {
    const timestamp = wholeTimestamp(records[i], now)
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

function wholeTimestamp({ timestamp }: NewRecord, now: EpochMs): EpochMs {
  return Math.floor(Math.min(timestamp, now))
}

/**
 * Writes one record. Its length precedes it but is known only at the end. So five bytes are reserved for the length,
 * and the record is then moved up to it.
 *
 * @returns where the record ends.
 */
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

/**
 * Writes the zigzag varint of a whole number below 2^52. Uses arithmetic, because timestamps do not fit in the 32 bits
 * of bit operations.
 *
 * @returns where the varint ends.
 */
function writeVarint(bytes: Buffer, start: number, value: number): number {
  let at = start
  let rest = value < 0 ? -2 * value - 1 : 2 * value
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes[at++] = (rest % 0x80) + 0x80
  bytes[at++] = rest
  return at
}
