import type { Bytes } from '../../../configs/connections/lmdb.ts'
import { UserError } from '../../../configs/user-error.ts'
import type { DurationMs, EpochMs } from '../../table/transaction.ts'
import type { RecordBatch } from '../event-log.ts'
import { batchBytes, joinBatches, sliceBatch } from '../record-batch.ts'
import { blockHeader, decodeBlock, stampOffset, type RecordBlock } from './block.ts'

/**
 * One partition of a topic in an LMDB database. The key of a block is [partition, last offset of the block]. So the
 * block that holds offset o is the first key ≥ o, and the last key tells where the partition ends. There is no
 * counter that could go wrong.
 */
export interface Partition {
  /** Blocks of all partitions of the topic. */
  blocks: Bytes
  topic: string
  number: number
  /** The file, for error messages. */
  file: string
}

/** The largest offset that a number represents exactly (2^53 − 1), so no offset sorts after it. */
const LAST_OFFSET = Number.MAX_SAFE_INTEGER
/** Blocks that one append may delete. A few for each that is added keep up with any stream and stall no append. */
const MOST_EXPIRED = 4
/** A batch joined from several blocks stops here, however many records were asked for. */
const MOST_BATCH_BYTES = 4 * 1024 * 1024

function blockKey(partition: number, lastOffset: number): Buffer {
  const key = Buffer.allocUnsafe(12)
  key.writeUInt32BE(partition, 0)
  key.writeUInt32BE(Math.floor(lastOffset / 0x1_0000_0000), 4)
  key.writeUInt32BE(lastOffset % 0x1_0000_0000, 8)
  return key
}

function lastOffsetOf(key: Buffer): number {
  return key.readUInt32BE(4) * 0x1_0000_0000 + key.readUInt32BE(8)
}

/** Key range of the partition's blocks, beginning with the block that holds offset `from`. */
function keysFrom(partition: Partition, from: number): { start: Buffer; end: Buffer } {
  return { start: blockKey(partition.number, from), end: blockKey(partition.number + 1, 0) }
}

/**
 * The offset the next record will get. Call this, and every function below, within a read or write of the environment.
 */
export function endOffset({ blocks, number }: Partition): number {
  // The last key up to the greatest possible one. If this partition is empty, that key belongs to an earlier partition.
  for (const key of blocks.getKeys({ start: blockKey(number, LAST_OFFSET), reverse: true, limit: 1 })) {
    if (key.readUInt32BE(0) === number) return lastOffsetOf(key) + 1
  }
  return 0
}

/** The oldest kept offset. 0 for an empty partition; its end is then 0, too. */
export function startOffset(partition: Partition): number {
  for (const { value } of partition.blocks.getRange({ ...keysFrom(partition, 0), limit: 1 })) {
    return blockHeader(value).offset
  }
  return 0
}

/**
 * The offset of the oldest kept record with this timestamp or a later one; the partition's end when there is none.
 *
 * @throws UserError for a damaged block.
 */
export function offsetAt(partition: Partition, time: EpochMs): number {
  for (const { key, value } of partition.blocks.getRange(keysFrom(partition, 0))) {
    if (blockHeader(value).newest < time) continue
    const { timestamps, offsets } = decoded(partition, value, lastOffsetOf(key))
    const row = timestamps.findIndex((timestamp) => timestamp >= time)
    if (row >= 0) return offsets[row]
  }
  return endOffset(partition)
}

/** Appends the blocks in order. Call within a write transaction. */
export function appendBlocks(partition: Partition, blocks: RecordBlock[]): void {
  let next = endOffset(partition)
  for (const block of blocks) {
    stampOffset(block, next)
    next += block.count
    void partition.blocks.put(blockKey(partition.number, next - 1), block.bytes)
  }
}

/**
 * Deletes a few of the oldest blocks, those in which every record is older than `newest` − `retention`. Call within a
 * write transaction. The block that holds `newest` is kept, so the end never moves.
 *
 * @returns the newest timestamp of the oldest block that was kept. Nothing more expires before that block does.
 */
export function expireBlocks(partition: Partition, newest: EpochMs, retention: DurationMs): EpochMs {
  const expired: Buffer[] = []
  let oldestKept = Infinity
  for (const { key, value } of partition.blocks.getRange({ ...keysFrom(partition, 0), limit: MOST_EXPIRED + 1 })) {
    oldestKept = blockHeader(value).newest
    if (oldestKept >= newest - retention || expired.length === MOST_EXPIRED) break
    expired.push(key)
  }
  for (const key of expired) void partition.blocks.remove(key)
  return oldestKept
}

/** Reads a partition forward. Remembers its current block, so that small batches decode each block only once. */
export interface PartitionCursor {
  /**
   * Records from offset `from`, or from the oldest kept offset if that is later, up to `end` (excluded). Returns at
   * most `maxRecords`, and at least one unless there is none. Joins small blocks, so that a reader that fell behind
   * catches up in full batches.
   *
   * @throws UserError for a damaged block, and where two blocks do not join; names topic, partition,
   * offset and file.
   */
  take(from: number, maxRecords: number, end: number): RecordBatch | undefined
}

/** A cursor over the partition. Call its `take` within a read of the environment. */
export function partitionCursor(partition: Partition): PartitionCursor {
  let block: RecordBatch | undefined
  return {
    take(from, maxRecords, end) {
      const parts: RecordBatch[] = []
      let room = maxRecords
      let bytes = 0
      let next = from
      if (block !== undefined && holds(block, next)) add(block)
      if (!full()) {
        for (const { key, value } of partition.blocks.getRange(keysFrom(partition, next))) {
          block = decoded(partition, value, lastOffsetOf(key))
          add(block)
          if (full()) break
        }
      }
      return parts.length === 0 ? undefined : joinBatches(parts)

      function add(source: RecordBatch): void {
        // Retention deletes from the oldest block on. So what is missing between two blocks was never deleted, and what
        // begins before the end of the last one was written over records that are lost.
        if (parts.length > 0 && source.offsets[0] !== next) throw torn(partition, next, source.offsets[0])
        const part = cut(source, next, room, end)
        if (part.size > 0) parts.push(part)
        room -= part.size
        bytes += batchBytes(part)
        next = part.size > 0 ? part.offsets[part.size - 1] + 1 : end
      }

      function full(): boolean {
        return room <= 0 || next >= end || bytes >= MOST_BATCH_BYTES
      }
    },
  }
}

function holds(block: RecordBatch, offset: number): boolean {
  return block.offsets[0] <= offset && offset <= block.offsets[block.size - 1]
}

/**
 * The block's records from offset `from` up to `end` (excluded), at most `room`. Offsets inside a block have no gaps.
 */
function cut(block: RecordBatch, from: number, room: number, end: number): RecordBatch {
  const base = block.offsets[0]
  const first = Math.max(from - base, 0)
  const last = Math.max(first, Math.min(block.size, first + room, end - base))
  return sliceBatch(block, first, last)
}

function decoded({ topic, number, file }: Partition, bytes: Buffer, lastOffset: number): RecordBatch {
  const batch = decodeBlock(bytes, topic, number, lastOffset)
  if (!('damage' in batch)) return batch
  throw new UserError(
    `Topic "${topic}", partition ${number}, block that ends with offset ${lastOffset} in ${file} is damaged: ` +
      `${batch.damage}. Read on behind it with: fd topics read ${topic} --from ${lastOffset + 1}, ` +
      'or restore the file from a copy.',
  )
}

function torn({ topic, number, file }: Partition, expected: number, found: number): UserError {
  const [from, to] = [Math.min(expected, found), Math.max(expected, found)]
  const fault = found > expected ? 'are missing' : 'are there twice'
  return new UserError(
    `Topic "${topic}", partition ${number} in ${file} is damaged: records ${from} to ${to - 1} ${fault}. ` +
      `Read on behind them with: fd topics read ${topic} --from ${to}, or restore the file from a copy.`,
  )
}
