import { checkedJob, checkedResult, type JobQueue } from '../job-queue.ts'
import { abandonedJobs, removeAbandoned } from './abandoned.ts'
import type { JobServer } from './job-server.ts'
import { openOwner, shown, type LivingOwner } from './owner.ts'
import { openWaiter, type Waiter } from './waiter.ts'
import { serve } from './worker.ts'

/** The queue on a server, which it closes. Whoever submits jobs gives a sign of life every `heartbeatMs`. */
export function openSharedQueue(server: JobServer, heartbeatMs: number): JobQueue {
  let owner: LivingOwner | undefined
  let waiter: Promise<Waiter> | undefined
  return {
    async submit(kind, given, options = {}) {
      const job = checkedJob(kind, given)
      owner ??= openOwner(server, heartbeatMs)
      waiter ??= openWaiter(server, owner)
      const { wait } = await server.guard(waiter)
      return checkedResult(kind, job.id, await server.guard(wait(job, options)))
    },
    work: (options) => server.guard(serve(server, options)),
    workers: () => server.guard(server.workers()),
    abandoned: async () => (await server.guard(abandonedJobs(server))).map(shown),
    removeAbandoned: () => server.guard(removeAbandoned(server)),
    async [Symbol.asyncDispose]() {
      // One that was not open when the server was lost never will be.
      const opened = await Promise.race([waiter, server.lost]).catch(() => undefined)
      await (opened === undefined ? owner?.[Symbol.asyncDispose]() : opened.close())
      await server[Symbol.asyncDispose]()
    },
  }
}
