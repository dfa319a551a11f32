import { UserError } from '../configs/user-error.ts'
import type { EventBatch } from '../datasets/transaction.ts'
import { encodeState } from '../features/entity-state.ts'
import type { ServiceFold } from '../features/fold.ts'
import type { EntityState, GroupState } from '../features/online-store.ts'

/** Encoding a checkpoint holds the batches up; it may take at most this share of the time, so one that took long makes the next one wait. */
const LARGEST_SHARE = 0.05

/** A checkpoint is written early when so many keys have changed: many small ones hold a batch up for less than a large one does. */
const MANY_KEYS = 1000

/** Writes the fold's changed state, with the offsets it has reached, every now and then. */
export interface Checkpointer {
  /**
   * Where folding continues: the checkpoint's offset, or `start`, the log's oldest, when there is none.
   *
   * @throws UserError when the log no longer holds what follows the checkpoint.
   */
  resumeAt(partition: number, start: number): number
  /** A batch has been folded; `next` is the offset after it. */
  folded(partition: number, next: number, events: EventBatch): void
  due(): boolean
  /** Takes the state as it stands and begins to write it; waits for the one before. Nothing when nothing was folded since. */
  write(): Promise<void>
  /** Resolves when all that was begun is durable. */
  written(): Promise<void>
}

export function checkpointer(fold: ServiceFold, state: GroupState, options: { minorUnits: number; everyMs: number; now: () => number }): Checkpointer {
  const offsets = new Map(Object.entries(state.checkpoint?.offsets ?? {}))
  let watermark = state.checkpoint?.watermark ?? state.base.watermark
  let [dueAt, notBefore] = [options.now() + options.everyMs, 0]
  let changed = false
  let writing: Promise<{ error: unknown } | undefined> = Promise.resolve(undefined)
  const written = async (): Promise<void> => {
    const failed = await writing
    if (failed !== undefined) throw failed.error
  }
  return {
    written,
    resumeAt: (partition, start) => resumeAt(partition, offsets.get(String(partition)) ?? start, start),
    folded: (partition, next, events) => {
      offsets.set(String(partition), next)
      changed = true
      for (let row = 0; row < events.size; row++) if (events.time[row] > watermark) watermark = events.time[row]
    },
    due: () => {
      const now = options.now()
      return changed && now >= notBefore && (now >= dueAt || fold.changedKeys >= MANY_KEYS)
    },
    write: async () => {
      await written()
      if (!changed) return
      const started = options.now()
      const states = [...changedStates(fold)]
      const write = state.write(states, { offsets: Object.fromEntries(offsets), watermark, minorUnits: options.minorUnits })
      writing = write.then(() => undefined, (error: unknown) => ({ error }))
      changed = false
      const now = options.now()
      notBefore = now + (now - started) / LARGEST_SHARE
      dueAt = Math.max(notBefore, now + options.everyMs)
    },
  }
}

function resumeAt(partition: number, offset: number, start: number): number {
  if (offset >= start) return offset
  throw new UserError(
    `The state of this group has folded partition ${partition} up to offset ${offset}, but the log now begins at ${start}: what lies between is lost to it. ` +
      'Backfill the history that covers it, then start the scorer again: fd features backfill --online',
  )
}

function* changedStates(fold: ServiceFold): Generator<EntityState> {
  for (const view of fold.views) {
    for (const slot of view.takeChanged()) yield { view: view.view.name, key: view.key(slot), bytes: encodeState(view, slot) }
  }
}
