import { compressionsAlgorithmsByBitmask, crc32c } from '@platformatic/kafka'
import { UserError } from '../../../configs/user-error.ts'
import type { RecordBatch } from '../event-log.ts'
import { COMPRESSION, CONTROL, HEADER, TRANSACTIONAL, VERSION } from './records.ts'

/** An aborted transaction: readers skip the records of `producerId` from `firstOffset` to its abort marker. */
export interface AbortedTransaction {
  producerId: bigint
  firstOffset: bigint
}

export interface Decoded {
  batches: RecordBatch[]
  /** The offset to fetch next: after the last whole batch, markers included. */
  next: number
}

/**
 * The committed records from offset `from` on in what a broker sent. The last batch may be cut off; it is left out.
 *
 * The returned batches lie over `bytes` itself, and keys in it are moved up to their values. So the same bytes must not
 * be decoded twice.
 *
 * @throws UserError when a batch is damaged; says what is damaged and where.
 */
export function decodeBatches(
  bytes: Buffer,
  topic: string,
  partition: number,
  from: number,
  aborted: AbortedTransaction[],
): Decoded {
  const starts = aborted.toSorted((a, b) => Number(a.firstOffset - b.firstOffset))
  /** Producers inside an aborted transaction, at the batch that is being decoded. */
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
        `Topic "${topic}", partition ${partition}, batch of offset ${first} is damaged: ${damage}. ` +
          `Read on behind it with: fd topics read ${topic} --from ${last + 1}`,
      )
    }
    while (starts.length > 0 && Number(starts[0].firstOffset) <= last) {
      dropped.add((starts.shift() as AbortedTransaction).producerId)
    }
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

/** What is known of a batch before its records are decoded. */
interface BatchHead {
  topic: string
  partition: number
  /** Records before this offset are left out. */
  from: number
  /** Offset of the first record. */
  first: number
  attributes: number
}

/** The columns of a record batch, each long enough for all records. */
interface Columns {
  offsets: Float64Array
  timestamps: Float64Array
  keyStart: Uint32Array
  valueStart: Uint32Array
  valueEnd: Uint32Array
}

function decodeBatch(source: Buffer, start: number, end: number, head: BatchHead): RecordBatch {
  const { topic, partition, attributes } = head
  const algorithm = attributes & COMPRESSION
  const count = source.readInt32BE(start + 57)
  const base = Number(source.readBigInt64BE(start + 27))
  const bytes = algorithm === 0 ? source : decompress(source.subarray(start + HEADER, end), algorithm)
  const columns: Columns = {
    offsets: new Float64Array(count),
    timestamps: new Float64Array(count),
    keyStart: new Uint32Array(count),
    valueStart: new Uint32Array(count),
    valueEnd: new Uint32Array(count),
  }
  const cursor: Cursor = { bytes, at: algorithm === 0 ? start + HEADER : 0 }
  const size = readRecords(cursor, count, base, head, columns)
  return {
    topic,
    partition,
    size,
    bytes,
    ...columns,
    offsets: columns.offsets.subarray(0, size),
    timestamps: columns.timestamps.subarray(0, size),
    // A broker takes no timestamp from far ahead, or sets them all itself. One that is 0 or less says nothing.
    appended: columns.timestamps.subarray(0, size),
  }
}

/** Reads `count` records into columns, except those before `from`. @returns how many it kept. */
function readRecords(
  cursor: Cursor,
  count: number,
  baseTimestamp: number,
  { from, first }: BatchHead,
  columns: Columns,
): number {
  const { offsets, timestamps, keyStart, valueStart, valueEnd } = columns
  let size = 0
  for (let i = 0; i < count; i++) {
    const length = readVarint(cursor)
    const recordEnd = cursor.at + length
    cursor.at += 1
    const timestamp = baseTimestamp + readVarint(cursor)
    const offset = first + readVarint(cursor)
    if (offset >= from) {
      offsets[size] = offset
      timestamps[size] = timestamp
      readKeyAndValue(cursor, keyStart, valueStart, valueEnd, size++)
    }
    cursor.at = recordEnd
  }
  return size
}

/** A batch has the key right before the value. In Kafka the value's length lies between, so the key moves over it. */
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
  if (known === undefined) {
    throw new UserError(
      `A batch is compressed in a way that is not known (${algorithm}). Use none, gzip, snappy, lz4 or zstd.`,
    )
  }
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
