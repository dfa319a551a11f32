import { setTimeout as wait } from 'node:timers/promises'
import type { Ended, FdProcess } from '../console/fd-process.ts'

/** A process that is started again whenever it was killed, as a supervisor of a real one would do it. */
export interface Supervised {
  /** The one that runs now. */
  current(): FdProcess
  /** How many have been started. */
  lives(): number
  /** Ends it by a signal. Resolves when it has been started again, or was at its end already. */
  strike(signal: 'SIGKILL' | 'SIGTERM'): Promise<void>
  /**
   * Resolves when a process has ended by itself and well, or after `stop`. Rejects when one ended otherwise though
   * nobody had struck it.
   */
  done: Promise<void>
  /** Ends it for good, by SIGTERM. */
  stop(): Promise<void>
}

const RESTART_PAUSE_MS = 200

/**
 * @param start starts the process.
 * @param excused whether a process may have ended like this, though nobody had struck it.
 */
export function supervise(start: () => FdProcess, excused: (ended: Ended) => boolean = () => false): Supervised {
  let current = start()
  let lives = 1
  let asked = false
  let again = (): void => {}
  let stopped = false
  const run = async (): Promise<void> => {
    for (;;) {
      const ended = await current.ended
      if (stopped || (ended.code === 0 && !asked)) return
      if (!asked) {
        if (!excused(ended)) throw new Error(`A process ended with ${ended.code ?? ended.signal}: ${ended.stderr}`)
        await wait(RESTART_PAUSE_MS)
      }
      asked = false
      current = start()
      lives++
      again()
    }
  }
  const done = run()
  // Whoever waits for it hears of a failure. A rejection before that must not end this process.
  done.catch(() => undefined)
  return {
    current: () => current,
    lives: () => lives,
    strike: async (signal) => {
      asked = true
      current.child.kill(signal)
      await Promise.race([new Promise<void>((resolve) => (again = resolve)), done])
    },
    done,
    stop: async () => {
      stopped = true
      current.child.kill('SIGTERM')
      await done
    },
  }
}
