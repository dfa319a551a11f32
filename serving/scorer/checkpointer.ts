import type { EventBatch } from '../../datasets/table/transaction.ts'
import { encodeState } from '../../features/fold/entity-state.ts'
import type { ServiceFold } from '../../features/fold/service-fold.ts'
import type { EntityState, OwnedState } from '../../features/store/online-store.ts'

/** Encoding a checkpoint holds the batches up; it may take at most this share of the time, so one that took long makes the next one wait. */
const LARGEST_SHARE = 0.05

/** A checkpoint is written early when so many keys have changed: many small ones hold a batch up for less than a large one does. */
const MANY_KEYS = 1000

/** Writes the changed state of one partition's fold, with the offset it has reached, every now and then. */
export interface Checkpointer {
  /** A batch has been folded; `next` is the offset after it. */
  folded(next: number, events: EventBatch): void
  /** Whether it is time to write: early when much has changed, though not while a write is under way. */
  due(): boolean
  /** Takes the state as it stands and begins to write it once `committed` has resolved; waits for the one before. Nothing when nothing was folded since. */
  write(committed: Promise<void>): Promise<void>
  /** Resolves when all that was begun is durable. @throws what that has failed with. */
  written(): Promise<void>
}

export function checkpointer(
  fold: ServiceFold,
  state: OwnedState,
  options: { minorUnits: number; partitions: number; everyMs: number; now: () => number },
): Checkpointer {
  let offset = state.checkpoint?.offset ?? 0
  let watermark = state.checkpoint?.watermark ?? state.base.watermark
  let [dueAt, notBefore] = [options.now() + options.everyMs, 0]
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
      const now = options.now()
      return changed && now >= notBefore && (now >= dueAt || (!busy && fold.changedKeys >= MANY_KEYS))
    },
    write: async (committed) => {
      await written()
      if (!changed) return
      const started = options.now()
      const states = [...changedStates(fold)]
      const checkpoint = { offset, watermark, minorUnits: options.minorUnits, partitions: options.partitions }
      ;[changed, busy] = [false, true]
      writing = settled(committed.then(() => state.write(states, checkpoint))).finally(() => (busy = false))
      const now = options.now()
      notBefore = now + (now - started) / LARGEST_SHARE
      dueAt = Math.max(notBefore, now + options.everyMs)
    },
  }
}

/** The outcome of work that is looked at later, as a value: a rejection that nobody awaits yet would end the process. */
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
