import type { GroupMember, RecordBatch } from '../../datasets/log/event-log.ts'
import { sliceBatch } from '../../datasets/log/record-batch.ts'

/** The least that is taken of a full batch, as a share of it: a commit for every few records would take longer than the order is worth. */
const SMALLEST_SHARE = 1 / 4

/** Batches of a partition that wait at most: one to compare, one behind it. */
const DEPTH = 2

/** A member's records, those that were put into the log first before others. */
export interface Backlog {
  /** As `GroupMember.poll`. */
  next(options: { timeoutMs: number; signal: AbortSignal }): Promise<RecordBatch | undefined>
  /** Polls once without waiting, which tells the listener what has come and gone; what is found is kept for `next`. */
  look(): Promise<void>
  /** Drops what waits of partitions that have gone. */
  forget(partitions: readonly number[]): void
}

/**
 * A member gives its partitions turns. In a backlog, one that has fewer records a day would run days ahead of the others, and
 * the stage behind would find their events too late. So when batches are full, one of each partition is waited for, and
 * the oldest by its timestamps goes first, up to where another's begins; a partition that has enough waiting is put back.
 * Small batches, the live stream, pass as they are.
 */
export function openBacklog(member: GroupMember, partitions: () => number, maxRecords: number): Backlog {
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
      const { first, rest } = oldest(waiting, Math.ceil(maxRecords * SMALLEST_SHARE))
      waiting = rest
      return first
    },
    look: async () => void (await look()),
    forget: (gone) => void (waiting = waiting.filter(({ partition }) => !gone.includes(partition))),
  }
}

/** Splits off the oldest records: those of one partition, at least `least`, up to the first that is younger than another partition's oldest. */
function oldest(
  waiting: readonly RecordBatch[],
  least: number,
): { first: RecordBatch | undefined; rest: RecordBatch[] } {
  const heads = [...new Map(waiting.toReversed().map((batch) => [batch.partition, batch])).values()].sort(
    (a, b) => a.timestamps[0] - b.timestamps[0],
  )
  const head = heads.at(0)
  const bound = heads.at(1)?.timestamps[0] ?? Infinity
  if (head === undefined) return { first: undefined, rest: [] }
  let end = Math.min(least, head.size)
  while (end < head.size && head.timestamps[end] <= bound) end++
  const rest = end === head.size ? [] : [sliceBatch(head, end, head.size)]
  const place = waiting.indexOf(head)
  return { first: sliceBatch(head, 0, end), rest: waiting.toSpliced(place, 1, ...rest) }
}
