import type { Lake } from '../datasets/lake/lake.ts'
import type { EventLog, GroupMember, RecordBatch } from '../datasets/log/event-log.ts'
import { joinBatches } from '../datasets/log/record-batch.ts'

export interface ArchiveOptions {
  topic: string
  /** Consumer group. Its committed offsets say where the archive goes on after it stopped. */
  group: string
  /** A file is written when this many records are waiting … */
  maxRecords: number
  /** … or when the first of them has waited this long. */
  everyMs: number
  /** Asked when a poll found nothing: whether to end once the whole topic is read, instead of waiting for more. */
  endWhenIdle: () => boolean
  signal: AbortSignal
  now: () => number
  onWritten?: (records: number) => void
}

const POLL_MS = 200

/**
 * Copies a topic into the lake as it grows. Every record arrives once, with its partition and offset.
 *
 * Order of writes: the file first, then the offset after its last record. A kill between the two leaves a file above
 * the committed offset; the records from that offset on are then written again, into files of the same names.
 */
export async function archive(parts: { log: EventLog; lake: Lake }, options: ArchiveOptions): Promise<void> {
  await parts.log.createTopic(options.topic)
  const waiting = new Map<number, { batches: RecordBatch[]; records: number; since: number }>()
  await using member = await parts.log.join(options.group, options.topic, {
    async onRevoked(partitions, lost) {
      // The new owner of a lost partition reads it from the committed offset, so ours must not write it too.
      if (lost) for (const partition of partitions) waiting.delete(partition)
      else await writeDue((partition) => partitions.includes(partition))
    },
  })
  const writeDue = async (now: (partition: number) => boolean): Promise<void> => {
    for (const [partition, { batches, records, since }] of waiting) {
      if (!now(partition) && records < options.maxRecords && options.now() - since < options.everyMs) continue
      waiting.delete(partition)
      await writeBatch(parts.lake, member, joinBatches(batches))
      options.onWritten?.(records)
    }
  }
  while (!options.signal.aborted) {
    const batch = await member.poll({ maxRecords: options.maxRecords, timeoutMs: POLL_MS, signal: options.signal })
    if (batch !== undefined) {
      const gathered = waiting.get(batch.partition) ?? { batches: [], records: 0, since: options.now() }
      gathered.batches.push(batch)
      gathered.records += batch.size
      waiting.set(batch.partition, gathered)
    } else if (options.endWhenIdle() && (await member.idle())) {
      break
    }
    await writeDue(() => false)
  }
  await writeDue(() => true)
}

async function writeBatch(lake: Lake, member: GroupMember, batch: RecordBatch): Promise<void> {
  await lake.write(batch)
  const { durable } = await member.commit(batch.partition, batch.offsets[batch.size - 1] + 1, new Map())
  await durable
}
