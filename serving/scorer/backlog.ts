import type { GroupMember, RecordBatch } from '../../datasets/log/event-log.ts'
import { sliceBatch } from '../../datasets/log/record-batch.ts'

/**
 * The least that is taken of a full batch, as a share of it. A commit for every few records would cost more time than
 * the exact order is worth.
 */
const SMALLEST_SHARE = 1 / 4

/** The most batches of a partition that wait: one to compare with others, and one behind it. */
const DEPTH = 2

/** A member's records, in about the order in which they were put into the log, across its partitions. */
export interface Backlog {
  /** As `GroupMember.poll`. */
  next(options: { timeoutMs: number; signal: AbortSignal }): Promise<RecordBatch | undefined>
  /**
   * Polls once without waiting, so that the listener learns which partitions came and went. Records are kept for
   * `next`.
   */
  look(): Promise<void>
  /** Drops the waiting records of partitions that have gone. */
  forget(partitions: readonly number[]): void
}

/**
 * Orders the records of a member's partitions by their timestamps while there is a backlog.
 *
 * A member polls its partitions in turn. In a backlog, a partition with fewer records a day than the others would run
 * days ahead of them, and the next stage would see the events of the others too late.
 *
 * So when batches are full, one batch of each partition is awaited. The one that begins with the oldest timestamp goes
 * first, up to the point where another partition's batch begins. A partition that already has enough waiting is put
 * back by `seek`. Small batches, as the live stream has them, pass unchanged.
 *
 * A timestamp ahead of the clock says nothing about the order. A batch that begins with one goes at once: it would wait
 * for as long as other partitions have records, and so would all that come after it.
 *
 * @param partitions how many the member has.
 * @param now wall clock, EpochMs.
 */
export function openBacklog(
  member: GroupMember,
  partitions: () => number,
  maxRecords: number,
  now: () => number,
): Backlog {
  let waiting: RecordBatch[] = []
  const look = async (): Promise<boolean> => {
    const records = await member.poll({ maxRecords, timeoutMs: 0 })
    if (records === undefined) return false
    if (waiting.filter(({ partition }) => partition === records.partition).length < DEPTH) waiting.push(records)
    else member.seek(records.partition, records.offsets[0])
    return true
  }
  const complete = (): boolean => new Set(waiting.map(({ partition }) => partition)).size >= partitions()
  return {
    async next({ timeoutMs, signal }) {
      if (waiting.length === 0) {
        const records = await member.poll({ maxRecords, timeoutMs, signal })
        if (records === undefined || records.size < maxRecords || partitions() === 1) return records
        waiting.push(records)
      }
      for (let turn = 0; turn < partitions() && !complete() && (await look()); turn++) continue
      const { first, rest } = oldest(waiting, Math.ceil(maxRecords * SMALLEST_SHARE), now())
      waiting = rest
      return first
    },
    look: async () => void (await look()),
    forget: (gone) => void (waiting = waiting.filter(({ partition }) => !gone.includes(partition))),
  }
}

/**
 * Splits off the oldest records. They are all of one partition and end before the first record that is younger than the
 * oldest of another partition, but there are at least `least` of them, or the whole batch.
 */
function oldest(
  waiting: readonly RecordBatch[],
  least: number,
  now: number,
): { first: RecordBatch | undefined; rest: RecordBatch[] } {
  // Reversed, so that of two batches of a partition the map keeps the earlier.
  const byPartition = new Map(waiting.toReversed().map((batch) => [batch.partition, batch]))
  const begins = ({ timestamps: [first] }: RecordBatch): number => (first > now ? -Infinity : first)
  const heads = [...byPartition.values()].sort((a, b) => (begins(a) === begins(b) ? 0 : begins(a) - begins(b)))
  const head = heads.at(0)
  const bound = heads.length > 1 ? begins(heads[1]) : Infinity
  if (head === undefined) return { first: undefined, rest: [] }
  let end = Math.min(least, head.size)
  while (end < head.size && head.timestamps[end] <= bound) end++
  const rest = end === head.size ? [] : [sliceBatch(head, end, head.size)]
  const place = waiting.indexOf(head)
  return { first: sliceBatch(head, 0, end), rest: waiting.toSpliced(place, 1, ...rest) }
}
