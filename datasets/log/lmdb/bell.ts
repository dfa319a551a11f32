import { closeSync, constants, openSync, watch, writeSync, type FSWatcher } from 'node:fs'

/**
 * Wakes the processes that wait for news of a volume. The bell is a file of one byte: a writer touches it after a
 * commit, and readers watch it.
 */
export interface Bell {
  /** Wakes everyone who waits, in every process. Costs some 2 µs. */
  ring(): void
  /** How often this process has heard the bell. Read it before looking for news, then pass it to `wait`. */
  heard(): number
  /**
   * Resolves when the bell rings, when it has already rung since `heard` was read, on abort, and in any case after a
   * quarter of a second.
   */
  wait(heard: number, signal?: AbortSignal): Promise<void>
  close(): void
}

/** A ring can be missed: a writer may be killed between commit and ring. So waiting readers look anyway, this often. */
const LOOK_ANYWAY_MS = 250
/** The same interval where files cannot be watched (no inotify handles left, some network folders). */
const LOOK_UNWATCHED_MS = 10
const TOUCH = Buffer.from([0])

/** Opens the bell at `file`, and creates the file if it is missing. */
export function openBell(file: string): Bell {
  const descriptor = openSync(file, constants.O_RDWR | constants.O_CREAT, 0o644)
  writeSync(descriptor, TOUCH, 0, 1, 0)
  const waiting = new Set<() => void>()
  let rings = 0
  let watcher: FSWatcher | undefined
  let watched = false
  const startWatching = (): void => {
    watched = true
    watcher = watchFile(file, () => {
      rings++
      for (const wake of waiting) wake()
    })
  }
  return {
    ring: () => touch(descriptor),
    heard() {
      if (!watched) startWatching()
      return rings
    },
    wait: (heard, signal) =>
      rings !== heard || signal?.aborted === true
        ? Promise.resolve()
        : sleep(waiting, watcher === undefined ? LOOK_UNWATCHED_MS : LOOK_ANYWAY_MS, signal),
    close() {
      watcher?.close()
      closeSync(descriptor)
    },
  }
}

/**
 * The announced commit is already durable, so a failure here must not look like a failed commit. Readers look anyway.
 */
function touch(descriptor: number): boolean {
  try {
    return writeSync(descriptor, TOUCH, 0, 1, 0) === 1
  } catch {
    return false
  }
}

/** A watcher that keeps no process alive. Undefined where the system provides none; readers then look more often. */
function watchFile(file: string, onRing: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(file, { persistent: false }, onRing)
    watcher.on('error', () => watcher.close())
    return watcher
  } catch {
    return undefined
  }
}

function sleep(waiting: Set<() => void>, longestMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const wake = (): void => {
      clearTimeout(timer)
      waiting.delete(wake)
      signal?.removeEventListener('abort', wake)
      resolve()
    }
    const timer = setTimeout(wake, longestMs)
    waiting.add(wake)
    signal?.addEventListener('abort', wake)
  })
}
