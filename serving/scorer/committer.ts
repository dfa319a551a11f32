import type { GroupMember } from '../../datasets/log/event-log.ts'
import type { Outputs, ScoredBatch, WrittenBatch } from './batch.ts'

/** So much waits for the commit under way, and not a batch more: it is held in memory, and becomes one transaction. */
const MOST_BATCHES = 8
const MOST_BYTES = 4 << 20

/**
 * Commits one partition's batches in order, one commit at a time, beside the folding of the next. A batch that comes while
 * none is under way is committed at once. Those that come meanwhile wait and share the next: the longer a commit takes, the
 * more the one after it carries.
 */
export interface Committer {
  /**
   * Takes a batch, with the offset after it; without one nothing of it is to be committed, because all of it had been.
   * Resolves when there is room for another.
   *
   * @throws what a commit has failed with: then and from then on nothing is committed.
   */
  add(written: WrittenBatch, next: number | undefined): Promise<void>
  /** @throws what a commit has failed with. */
  check(): void
  /** Resolves when all that has been taken is durable; rejects with what a commit has failed with, seen or not. */
  durable(): Promise<void>
}

/** Batches that share a commit. */
interface Waiting {
  next: number | undefined
  outputs: Outputs
  batches: ScoredBatch[]
  /** About so many, in outputs. */
  bytes: number
}

/** Commits to a partition of the member's; `onDurable` hears of every batch, in order. */
export function committer(member: GroupMember, partition: number, onDurable: (batch: ScoredBatch) => void): Committer {
  let waiting: Waiting | undefined
  /** The last commit that will be, and what has to end before it begins. A failure passes along: none begins after it. */
  let [last, before] = [Promise.resolve(), Promise.resolve()]
  let failed: { error: unknown } | undefined
  const commit = async ({ next, outputs, batches }: Waiting): Promise<void> => {
    waiting = undefined
    if (next !== undefined) await (await member.commit(partition, next, outputs)).durable
    for (const batch of batches) onDurable(batch)
  }
  const check = (): void => {
    if (failed !== undefined) throw failed.error
  }
  return {
    check,
    async add(written, next) {
      check()
      if (waiting === undefined) {
        const all: Waiting = { next: undefined, outputs: new Map(), batches: [], bytes: 0 }
        waiting = all
        before = last
        last = before.then(() => commit(all))
        last.catch((error: unknown) => (failed ??= { error }))
      }
      join(waiting, written, next)
      if (isFull(waiting)) await before
    },
    durable: () => last,
  }
}

function join(waiting: Waiting, { batch, outputs }: WrittenBatch, next: number | undefined): void {
  for (const [topic, records] of outputs) {
    const known = waiting.outputs.get(topic)
    waiting.outputs.set(topic, known === undefined ? records : [...known, ...records])
    for (const { value } of records) waiting.bytes += value.length
  }
  waiting.next = next ?? waiting.next
  waiting.batches.push(batch)
}

function isFull({ batches, bytes }: Waiting): boolean {
  return batches.length >= MOST_BATCHES || bytes >= MOST_BYTES
}
