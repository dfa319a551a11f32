import type { Scheduler } from '../../datasets/testing/scheduler.ts'
import { SimulatedFault } from '../../datasets/testing/simulation.ts'
import type { MemoryJobs } from './memory-jobs.ts'

/** Pause before a call is sent again after a failure of the network, ms. */
const RESEND_MS = 50
/** A call of an earlier session: the connection ended before the server had it. */
class SessionOver extends Error {}

/** A connection to a job server in memory. */
export interface MemoryConnection {
  scheduler: Scheduler
  jobs: MemoryJobs
  /** Has a command happen, and sends it again while the network fails. So it may happen twice. */
  call<T>(name: string, command: () => T): Promise<T>
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  complain(error: Error): void
}

/** @param renewals what makes each owner of this process known again, before anything else in a new session. */
export function connect(
  jobs: MemoryJobs,
  scheduler: Scheduler,
  renewals: ReadonlySet<() => void>,
  complain: (error: Error) => void,
): MemoryConnection {
  let session = jobs.session
  const once = async <T>(name: string, command: () => T): Promise<T> =>
    scheduler.call(name, () => {
      if (jobs.gone) throw new SimulatedFault('The job server is away')
      if (session !== jobs.session) throw new SessionOver()
      return command()
    })
  const reconnect = (): Promise<void> =>
    scheduler.call('connect again', () => {
      renewals.forEach((renew) => renew())
      session = jobs.session
    })
  const sleep = async (ms: number, signal?: AbortSignal): Promise<void> => {
    await scheduler.wait(ms, new Promise(() => {}), signal)
    signal?.throwIfAborted()
  }
  return {
    scheduler,
    jobs,
    complain,
    sleep,
    async call(name, command) {
      for (;;) {
        try {
          return await once(name, command)
        } catch (error) {
          if (error instanceof SessionOver) await reconnect().catch(() => undefined)
          else if (!(error instanceof SimulatedFault)) throw error
          await sleep(RESEND_MS)
        }
      }
    },
  }
}
