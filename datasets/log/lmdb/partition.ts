import type { Bytes } from '../../../configs/connections/lmdb.ts'
import { UserError } from '../../../configs/user-error.ts'
import type { DurationMs, EpochMs } from '../../table/transaction.ts'
import type { RecordBatch } from '../event-log.ts'
import { batchBytes, joinBatches, sliceBatch } from '../record-batch.ts'
import { blockHeader, decodeBlock, stampOffset, type RecordBlock } from './block.ts'

/**
 * One partition of a topic in an LMDB database. Its blocks stand under [partition, last offset of the block], so that
 * the block with offset o is the first key ≥ o, and the last key says where the partition ends: no counter to keep right.
 */
export interface Partition {
  /** Blocks of all partitions of the topic. */
  blocks: Bytes
  topic: string
  number: number
  /** The file, for errors. */
  file: string
}

/** 2^53 − 1 is the last offset a number can say, so nothing sorts behind this one. */
const LAST_OFFSET = Number.MAX_SAFE_INTEGER
/** Deleting a few blocks for each that is added keeps up with any stream and stalls no append. */
const MOST_EXPIRED = 4
/** A batch made of several blocks stays under this, whatever number of records was asked for. */
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

/** Keys of the partition's blocks from the block with offset `from` on. */
function keysFrom(partition: Partition, from: number): { start: Buffer; end: Buffer } {
  return { start: blockKey(partition.number, from), end: blockKey(partition.number + 1, 0) }
}

/** The offset the next record will get. Call within a read or write of the environment, as everything below. */
export function endOffset({ blocks, number }: Partition): number {
  // The last key up to the partition's greatest; when the partition is empty, one of the partition before.
  for (const key of blocks.getKeys({ start: blockKey(number, LAST_OFFSET), reverse: true, limit: 1 })) {
    if (key.readUInt32BE(0) === number) return lastOffsetOf(key) + 1
  }
  return 0
}

/** The oldest kept offset; the end's when there is no record. */
export function startOffset(partition: Partition): number {
  for (const { value } of partition.blocks.getRange({ ...keysFrom(partition, 0), limit: 1 }))
    return blockHeader(value).offset
  return 0
}

/** Appends the blocks, in order, inside a write transaction. */
export function appendBlocks(partition: Partition, blocks: RecordBlock[]): void {
  let next = endOffset(partition)
  for (const block of blocks) {
    stampOffset(block, next)
    next += block.count
    void partition.blocks.put(blockKey(partition.number, next - 1), block.bytes)
  }
}

/**
 * Deletes a few of the oldest blocks in which every record is older than `retention` against `newest`, inside a write
 * transaction. The block that holds `newest` stays, so the end never moves.
 *
 * @returns the newest timestamp of the oldest block that was kept: nothing more expires before it does.
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

/** Reads a partition forward, remembering the block it is in, so that small batches decode a block once. */
export interface PartitionCursor {
  /**
   * Records from offset `from`, or the oldest kept if that is later, before `end`; at most `maxRecords`, and at least
   * one unless there is none. Small blocks are joined, so that a reader that fell behind catches up in full batches.
   *
   * @throws UserError for a damaged block, naming topic, partition, offset and file.
   */
  take(from: number, maxRecords: number, end: number): RecordBatch | undefined
}

/** A cursor over the partition; its `take` must be called within a read of the environment. */
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

/** The block's records from `from` on and before `end`, at most `room`. Offsets inside a block have no gaps. */
function cut(block: RecordBatch, from: number, room: number, end: number): RecordBatch {
  const base = block.offsets[0]
  const first = Math.max(from - base, 0)
  const last = Math.max(first, Math.min(block.size, first + room, end - base))
  return sliceBatch(block, first, last)
}

function decoded({ topic, number, file }: Partition, bytes: Buffer, lastOffset: number): RecordBatch {
  const batch = decodeBlock(bytes, topic, number, lastOffset)
  if (!('damage' in batch)) return batch
  const where = `Topic "${topic}", partition ${number}, block that ends with offset ${lastOffset} in ${file} is damaged: ${batch.damage}.`
  throw new UserError(
    `${where} Read on behind it with: fd topics read ${topic} --from ${lastOffset + 1}, or restore the file from a copy.`,
  )
}
