import { crc32 } from 'node:zlib'
import type { EpochMs } from '../../table/transaction.ts'
import type { NewRecord, RecordBatch } from '../event-log.ts'

/**
 * A block holds the records of one append to one partition, in columns. So a reader can serve them as a RecordBatch
 * over the block's own bytes. Numbers are little-endian, as on every machine where Node runs with LMDB:
 *
 *     0  u32   'FDB' and version 2
 *     4  u32   CRC-32 of everything from byte 16
 *     8  f64   offset of the first record (stamped in the transaction, where it becomes known)
 *    16  u32   records, n
 *    20  u32   bytes of the block
 *    24  f64   newest timestamp
 *    32  f64   when the block was appended, by the clock of the process that did
 *    40  f64   timestamps [n]
 *        u32   where each record's key starts, and finally where the data end [n + 1]
 *        u32   where each record's value starts [n]
 *        keys and values, record by record
 *
 * Version 1 lacks the time of the append. Its timestamps begin at byte 32.
 */
export interface RecordBlock {
  count: number
  newest: EpochMs
  bytes: Buffer
}

const MAGIC = 0x02_42_44_46
const MAGIC_1 = 0x01_42_44_46
const HEADER = 40
const HEADER_1 = 32
/** Bytes of one record in the columns: timestamp, key start, value start. */
const COLUMNS = 16
/**
 * Limits of a block, so that reading one record never decodes much more than that. A record over the limit gets a block
 * of its own.
 */
const MOST_RECORDS = 1024
const MOST_BYTES = 256 * 1024

/** A record's key as bytes; empty when the record has no key. */
export function keyBytes(record: NewRecord): Uint8Array {
  if (record.key === undefined) return new Uint8Array(0)
  return typeof record.key === 'string' ? Buffer.from(record.key) : record.key
}

/** Encodes records of one partition, in order, as blocks. Their first offsets must still be stamped. */
export function encodeBlocks(records: NewRecord[]): RecordBlock[] {
  const blocks: RecordBlock[] = []
  let first = 0
  let bytes = 0
  for (let row = 0; row < records.length; row++) {
    const size = sizeOf(records[row])
    if (row > first && (row - first === MOST_RECORDS || bytes + size > MOST_BYTES)) {
      blocks.push(encodeBlock(records, first, row, bytes))
      first = row
      bytes = 0
    }
    bytes += size
  }
  if (first < records.length) blocks.push(encodeBlock(records, first, records.length, bytes))
  return blocks
}

function sizeOf(record: NewRecord): number {
  return (record.key === undefined ? 0 : byteLength(record.key)) + byteLength(record.value)
}

function byteLength(content: string | Uint8Array): number {
  return typeof content === 'string' ? Buffer.byteLength(content) : content.length
}

function encodeBlock(records: NewRecord[], first: number, last: number, dataBytes: number): RecordBlock {
  const count = last - first
  const dataStart = HEADER + count * COLUMNS + 4
  const bytes = Buffer.allocUnsafeSlow(dataStart + dataBytes)
  const { timestamps, bounds, valueStart } = columnsOf(bytes, HEADER, count)
  let at = dataStart
  let newest = -Infinity
  for (let i = 0; i < count; i++) {
    const record = records[first + i]
    timestamps[i] = record.timestamp
    newest = Math.max(newest, record.timestamp)
    bounds[i] = at
    if (record.key !== undefined) at += write(bytes, record.key, at)
    valueStart[i] = at
    at += write(bytes, record.value, at)
  }
  bounds[count] = at
  bytes.writeUInt32LE(MAGIC, 0)
  bytes.writeUInt32LE(count, 16)
  bytes.writeUInt32LE(bytes.length, 20)
  bytes.writeDoubleLE(newest, 24)
  bytes.writeDoubleLE(Date.now(), 32)
  bytes.writeUInt32LE(crc32(bytes.subarray(16)), 4)
  return { count, newest, bytes }
}

function write(bytes: Buffer, content: string | Uint8Array, at: number): number {
  if (typeof content === 'string') return bytes.write(content, at)
  bytes.set(content, at)
  return content.length
}

interface BlockColumns {
  timestamps: Float64Array
  /** Where each record's key starts, and finally where the data end. */
  bounds: Uint32Array
  valueStart: Uint32Array
}

function columnsOf(bytes: Buffer, header: number, count: number): BlockColumns {
  const { buffer, byteOffset } = bytes
  const boundsStart = byteOffset + header + count * 8
  return {
    timestamps: new Float64Array(buffer, byteOffset + header, count),
    bounds: new Uint32Array(buffer, boundsStart, count + 1),
    valueStart: new Uint32Array(buffer, boundsStart + (count + 1) * 4, count),
  }
}

/**
 * Writes the offset of the block's first record into it. The checksum omits the offset, because the key states it too.
 */
export function stampOffset(block: RecordBlock, offset: number): void {
  block.bytes.writeDoubleLE(offset, 8)
}

/** The newest timestamp and the first offset of an encoded block, without decoding its records. */
export function blockHeader(bytes: Buffer): { newest: EpochMs; offset: number } {
  return { newest: bytes.readDoubleLE(24), offset: bytes.readDoubleLE(8) }
}

/**
 * The block's records over its own bytes (copied only when they are not aligned), or a description of its damage.
 *
 * @param lastOffset the last offset of the block, as its key gives it.
 */
export function decodeBlock(
  encoded: Buffer,
  topic: string,
  partition: number,
  lastOffset: number,
): RecordBatch | { damage: string } {
  const damage = damageOf(encoded, lastOffset)
  if (damage !== undefined) return { damage }
  const bytes = encoded.byteOffset % 8 === 0 ? encoded : realigned(encoded)
  const size = bytes.readUInt32LE(16)
  const stamped = bytes.readUInt32LE(0) === MAGIC
  const { timestamps, bounds, valueStart } = columnsOf(bytes, stamped ? HEADER : HEADER_1, size)
  const offsets = new Float64Array(size)
  const offset = bytes.readDoubleLE(8)
  for (let i = 0; i < size; i++) offsets[i] = offset + i
  return {
    topic,
    partition,
    size,
    offsets,
    timestamps,
    ...(stamped ? { appended: new Float64Array(size).fill(bytes.readDoubleLE(32)) } : {}),
    bytes,
    keyStart: bounds.subarray(0, size),
    valueStart,
    valueEnd: bounds.subarray(1),
  }
}

function damageOf(bytes: Buffer, lastOffset: number): string | undefined {
  if (bytes.length < HEADER_1) return `${bytes.length} bytes are too few for a block`
  const magic = bytes.readUInt32LE(0)
  const known = magic === MAGIC || magic === MAGIC_1
  if (!known && magic << 8 === MAGIC << 8) {
    const form = `it has form ${magic >>> 24}, this fd knows forms 1 and 2`
    return `${form}; if a newer fd wrote it, update this one: git pull && npm ci`
  }
  if (!known) return 'it does not begin as a block'
  const length = bytes.readUInt32LE(20)
  if (length !== bytes.length) return `it has ${bytes.length} bytes instead of ${length}`
  if (crc32(bytes.subarray(16)) !== bytes.readUInt32LE(4)) return 'its checksum does not match'
  const end = bytes.readDoubleLE(8) + bytes.readUInt32LE(16) - 1
  return end === lastOffset ? undefined : `it ends with offset ${end}`
}

function realigned(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length)
  copy.set(bytes)
  return copy
}
