import { UserError } from '../configs/user-error.ts'
import type { EventBatch } from '../datasets/transaction.ts'
import { encodeState } from '../features/entity-state.ts'
import type { ServiceFold } from '../features/fold.ts'
import type { EntityState, GroupState } from '../features/online-store.ts'

/** A checkpoint may take at most this share of the time: one that takes long makes the next one wait. */
const LARGEST_SHARE = 0.05

/** Writes the fold's changed state, with the offsets it has reached, every now and then. */
export interface Checkpointer {
  /** Where folding continues: the checkpoint's offset, or `start`, the log's oldest, when there is none. */
  resumeAt(partition: number, start: number): number
  /** A batch has been folded; `next` is the offset after it. */
  folded(partition: number, next: number): void
  sawTimes(events: EventBatch): void
  writeIfDue(): Promise<void>
  /** Writes now, unless nothing was folded since the last time. */
  write(): Promise<void>
}

export function checkpointer(fold: ServiceFold, state: GroupState, options: { minorUnits: number; everyMs: number; now: () => number }): Checkpointer {
  const offsets = new Map(Object.entries(state.checkpoint?.offsets ?? {}))
  let watermark = state.checkpoint?.watermark ?? state.base.watermark
  let due = options.now() + options.everyMs
  let changed = false
  const write = async (): Promise<void> => {
    if (!changed) return
    const started = options.now()
    await state.write(changedStates(fold), { offsets: Object.fromEntries(offsets), watermark, minorUnits: options.minorUnits })
    changed = false
    const took = options.now() - started
    due = options.now() + Math.max(options.everyMs, took / LARGEST_SHARE)
  }
  return {
    resumeAt: (partition, start) => {
      const offset = offsets.get(String(partition)) ?? start
      if (offset >= start) return offset
      throw new UserError(
        `The state of this group has folded partition ${partition} up to offset ${offset}, but the log now begins at ${start}: what lies between is lost to it. ` +
          'Backfill the history that covers it, then start the scorer again: fd features backfill --online',
      )
    },
    folded: (partition, next) => {
      offsets.set(String(partition), next)
      changed = true
    },
    sawTimes: (events) => {
      for (let row = 0; row < events.size; row++) if (events.time[row] > watermark) watermark = events.time[row]
    },
    writeIfDue: async () => {
      if (changed && options.now() >= due) await write()
    },
    write,
  }
}

function* changedStates(fold: ServiceFold): Generator<EntityState> {
  for (const view of fold.views) {
    for (const slot of view.takeChanged()) yield { view: view.view.name, key: view.key(slot), bytes: encodeState(view, slot) }
  }
}
