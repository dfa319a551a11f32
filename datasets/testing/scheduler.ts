import { setImmediate as turnOfTheLoop } from 'node:timers/promises'

/**
 * Decides when the steps of a driver in memory happen. Such a driver asks it wherever another one would wait for a disk
 * or a network. So a test can have all of them at once, or in any order that a seed gives (`simulation.ts`).
 */
export interface Scheduler {
  /** Of the process that asks. */
  name: string
  /** Wall clock, EpochMs. */
  now(): number
  /**
   * Has `effect` happen once, in one step. Resolves to its result in that step or later. Rejects with what it throws,
   * or with an error of the scheduler's own: then the effect may have happened or not.
   */
  call<T>(name: string, effect: () => T): Promise<T>
  /**
   * Waits at most `timeoutMs`, until `woken` resolves or `signal` aborts. A scheduler may end the wait before.
   *
   * @returns whether the time is over.
   */
  wait(timeoutMs: number, woken: Promise<void>, signal?: AbortSignal): Promise<boolean>
}

/** Every step at the next turn of the loop, by the clock of the machine. */
export const atOnce: Scheduler = {
  name: 'test',
  now: () => Date.now(),
  call: async (_, effect) => {
    await turnOfTheLoop()
    return effect()
  },
  wait: async (timeoutMs, woken, signal) => {
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const over = (): void => resolve(true)
    const timer = timeoutMs === Infinity ? undefined : setTimeout(over, timeoutMs)
    signal?.addEventListener('abort', over, { once: true })
    if (signal?.aborted === true) over()
    void woken.then(() => resolve(false))
    const late = await promise
    clearTimeout(timer)
    signal?.removeEventListener('abort', over)
    return late
  },
}
