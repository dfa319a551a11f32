import { closeSync, constants, openSync, watch, writeSync, type FSWatcher } from 'node:fs'

/** Wakes the processes that wait for news of a volume: a file of one byte that a writer touches after a commit and readers watch. */
export interface Bell {
  /** Wakes everyone who waits, in every process. Some 2 µs. */
  ring(): void
  /** How often the bell was heard in this process: take it before looking for news, and hand it to `wait`. */
  heard(): number
  /** Resolves when the bell rings, or has rung since `heard`; after a quarter of a second in any case; or on abort. */
  wait(heard: number, signal?: AbortSignal): Promise<void>
  close(): void
}

/** A ring may be missed (a writer killed between commit and ring): waiting readers look anyway, this often. */
const LOOK_ANYWAY_MS = 250
/** The same where files cannot be watched (no inotify handles left, some network folders). */
const LOOK_UNWATCHED_MS = 10
const TOUCH = Buffer.from([0])

/** Opens the bell at `file`, making it when missing. */
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

/** The commit that is announced is already durable: no failure here may look like its failure, and readers look anyway. */
function touch(descriptor: number): boolean {
  try {
    return writeSync(descriptor, TOUCH, 0, 1, 0) === 1
  } catch {
    return false
  }
}

/** A watcher that keeps no process alive, or undefined where the system gives none: then readers look more often. */
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
