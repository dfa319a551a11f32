/**
 * Checkpoints: the second of the two writes of a partition (`stage.ts` shows both).
 *
 * **What is written.** The states of all keys that have changed since the last checkpoint, and with them the offset up
 * to which the fold has come, in one atomic write of the online store. After a crash both are there or neither.
 *
 * **Order.** The states are encoded at once, between two batches, while they still belong to that offset. Their write
 * begins only after the commits of all batches folded into them are durable. So the stored offset is never above the
 * committed one: state is never ahead of outputs.
 *
 * **Who waits.** The batches wait while the states are encoded, and, when a checkpoint is due while the one before is
 * still being written, for that write. They do not wait for the write that begins now.
 *
 * **Errors.** When a commit fails, the states that wait for it are not written. When the write itself fails, the store
 * keeps the checkpoint before. Either failure is thrown by the next `write` or `written`. The changed keys are not
 * offered again, so the partition must be given up and opened anew from its stored checkpoint.
 */
import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import type { EventBatch } from '../../datasets/table/transaction.ts'
import { encodeState } from '../../features/fold/entity-state.ts'
import type { ServiceFold } from '../../features/fold/service-fold.ts'
import type { EntityState, OwnedState } from '../../features/store/online-store.ts'

/**
 * The largest share of the time that may go into encoding, since it holds the batches up. A checkpoint that took long
 * to encode puts the next one off.
 */
const LARGEST_SHARE = 0.05

/**
 * With this many changed keys a checkpoint is written early: each of many small ones holds the batches up for less time
 * than a large one.
 */
const MANY_KEYS = 1000

/** Writes the changed state of one partition's fold, with the offset it has reached, from time to time. */
export interface Checkpointer {
  /** Call when a batch has been folded; `next` is the offset after it. */
  folded(next: number, events: EventBatch): void
  /** Whether it is time to write. Early when much has changed, but not early while a write is under way. */
  due(): boolean
  /**
   * Encodes the changed states as they are now, and begins to write them once `committed` has resolved. Resolves when
   * they are encoded. Before that it waits for the write before. Does nothing when nothing was folded since.
   *
   * @param committed resolves when the commits of all folded batches are durable.
   * @throws the failure of the write before, or of the commits it waited for.
   */
  write(committed: Promise<void>): Promise<void>
  /**
   * Resolves when the write that was begun is durable.
   *
   * @throws the failure of that write, or of the commits it waited for.
   */
  written(): Promise<void>
}

interface CheckpointOptions {
  /** By which the events are read. */
  schema: DatasetSchema
  /** Number of partitions of the topic. */
  partitions: number
  everyMs: number
  /** Wall clock, ms. */
  now: () => number
}

export function checkpointer(
  fold: ServiceFold,
  state: OwnedState,
  { schema, partitions, everyMs, now }: CheckpointOptions,
): Checkpointer {
  const { minorUnits } = schema.amount
  let offset = state.checkpoint?.offset ?? 0
  let watermark = state.checkpoint?.watermark ?? state.base.watermark
  let [dueAt, notBefore] = [now() + everyMs, 0]
  let [changed, busy] = [false, false]
  let writing: Promise<{ error: unknown } | undefined> = Promise.resolve(undefined)
  const written = async (): Promise<void> => {
    const failed = await writing
    if (failed !== undefined) throw failed.error
  }
  return {
    written,
    folded: (next, events) => {
      offset = next
      changed = true
      for (let row = 0; row < events.size; row++) if (events.time[row] > watermark) watermark = events.time[row]
    },
    due: () => {
      const time = now()
      return changed && time >= notBefore && (time >= dueAt || (!busy && fold.changedKeys >= MANY_KEYS))
    },
    write: async (committed) => {
      await written()
      if (!changed) return
      const started = now()
      const states = [...changedStates(fold)]
      const checkpoint = { offset, watermark, minorUnits, partitions, schema }
      ;[changed, busy] = [false, true]
      writing = settled(committed.then(() => state.write(states, checkpoint))).finally(() => (busy = false))
      const encoded = now()
      notBefore = encoded + (encoded - started) / LARGEST_SHARE
      dueAt = Math.max(notBefore, encoded + everyMs)
    },
  }
}

/**
 * The outcome of `work` as a value, to be looked at later. A rejection that nobody awaits yet would end the process.
 */
function settled(work: Promise<void>): Promise<{ error: unknown } | undefined> {
  return work.then(
    () => undefined,
    (error: unknown) => ({ error }),
  )
}

function* changedStates(fold: ServiceFold): Generator<EntityState> {
  for (const view of fold.views) {
    for (const slot of view.takeChanged())
      yield { view: view.view.name, key: view.key(slot), bytes: encodeState(view, slot) }
  }
}
