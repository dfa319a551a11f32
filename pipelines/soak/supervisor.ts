import { setTimeout as wait } from 'node:timers/promises'
import type { Ended, FdProcess } from '../console/fd-process.ts'

/** A process that is started again whenever it was killed, as a supervisor of a real one would do it. */
export interface Supervised {
  /** The one that runs now. */
  current(): FdProcess
  /** How many have been started. */
  lives(): number
  /** Resolves when one has said this. Rejects when none will any more. */
  says(text: string): Promise<void>
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
  let [asked, stopped] = [false, false]
  let restart = Promise.withResolvers<void>()
  const run = async (): Promise<void> => {
    for (;;) {
      const ended = await current.ended
      if (stopped || (ended.code === 0 && !asked)) return
      if (!asked && !excused(ended)) throw failed(ended)
      if (!asked) await wait(RESTART_PAUSE_MS)
      asked = false
      current = start()
      lives++
      restart.resolve()
      restart = Promise.withResolvers<void>()
    }
  }
  const done = run()
  // A failure that nobody waits for yet must not end this process.
  done.catch(() => undefined)
  return {
    current: () => current,
    lives: () => lives,
    says: async (text) => {
      while (!(await says(current, text, { restarted: restart.promise, done }))) continue
    },
    strike: async (signal) => {
      asked = true
      current.child.kill(signal)
      await Promise.race([restart.promise, done])
    },
    done,
    stop: async () => {
      stopped = true
      current.child.kill('SIGTERM')
      await done
    },
  }
}

function failed({ code, signal, stderr }: Ended): Error {
  return new Error(`A process ended with ${code ?? signal}: ${stderr}`)
}

/** Whether a process has said this; false when it has ended before, and another is there. */
function says(
  process: FdProcess,
  text: string,
  { restarted, done }: { restarted: Promise<void>; done: Promise<void> },
): Promise<boolean> {
  const said = process.says(text).then(() => true)
  return Promise.race([said.catch(() => restarted.then(() => false)), done.then(() => said)])
}
