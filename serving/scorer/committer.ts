/**
 * Commits: the first of the two writes of a partition (`stage.ts` shows both).
 *
 * **What is written.** The outputs of one or more batches and the offset after the last of them, in one transaction of
 * the log. After a crash both are there or neither.
 *
 * **Order.** Batches are committed in the order in which they were added, one commit at a time. A commit begins only
 * when the one before is durable.
 *
 * **Who waits.** While a commit is under way, the next batches are folded and added; they share the commit after it. So
 * the longer a commit takes, the more the next one carries, and a lone batch is committed at once. The batches that
 * wait are held in memory. When there are many of them, `add` waits for the commit under way.
 *
 * **Errors.** After a failed commit no later one begins, so there is never a gap in the outputs. Batches that were
 * added but not committed are gone from memory. Their records are in the log, above the committed offset: whoever has
 * the partition next folds them again.
 */
import type { GroupMember } from '../../datasets/log/event-log.ts'
import type { Outputs, ScoredBatch, WrittenBatch } from './batch.ts'

/** A commit carries at most this many batches, and no further one once its outputs have reached this size. */
const MOST_BATCHES = 8
const MOST_BYTES = 4 << 20

/** Commits one partition's batches in order, beside the folding of the next. */
export interface Committer {
  /**
   * Takes a batch. Resolves when there is room for another.
   *
   * @param next the offset after the batch; undefined when all of it had been committed before, so that nothing of it
   * is to be committed now.
   * @throws the failure of an earlier commit, if there was one.
   */
  add(written: WrittenBatch, next: number | undefined): Promise<void>
  /** @throws the failure of an earlier commit, if there was one. */
  check(): void
  /**
   * Resolves when all batches added so far are durable.
   *
   * @throws the failure of a commit, also when `add` or `check` has thrown it before.
   */
  durable(): Promise<void>
}

/** Batches that share a commit. */
interface Waiting {
  /** The offset to commit; undefined while all their records had been committed before. */
  next: number | undefined
  outputs: Outputs
  batches: ScoredBatch[]
  /** About the size of the outputs. */
  bytes: number
}

/** Commits to one of the member's partitions. `onDurable` is called with every batch, in order, once it is durable. */
export function committer(member: GroupMember, partition: number, onDurable: (batch: ScoredBatch) => void): Committer {
  let waiting: Waiting | undefined
  // The last commit planned so far, and the one before it. A rejection passes along this chain of promises, so that no
  // commit begins after a failed one.
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
