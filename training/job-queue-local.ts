import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { errorMessage } from '../configs/user-error.ts'
import { ATTEMPTS, checkedJob, checkedResult, jobCancelled, jobFailed, RETRY_PAUSE_MS, type Job, type JobQueue, type WorkOptions } from './job-queue.ts'

/** A job that is not done. */
interface Pending {
  job: Job
  failures: number
  report: (share: number) => void
  /** Aborted when whoever waits has taken the job back. */
  cancelled: AbortController
  resolve(answer: unknown): void
  reject(error: Error): void
}

/** A queue in the memory of this process: its workers are started by the same command, and its jobs end with it. */
export function openLocalQueue(): JobQueue {
  const waiting: Pending[] = []
  const ids = new Set<string>()
  let news = Promise.withResolvers<void>()
  let slots = 0
  const put = (pending: Pending): void => {
    waiting.push(pending)
    news.resolve()
    news = Promise.withResolvers()
  }
  const take = async (signal: AbortSignal): Promise<Pending | undefined> => {
    const stopped = signal.aborted ? Promise.resolve() : once(signal, 'abort')
    while (!signal.aborted) {
      const next = waiting.shift()
      if (next !== undefined) return next
      await Promise.race([news.promise, stopped])
    }
    return undefined
  }
  const slot = async (options: WorkOptions): Promise<void> => {
    for (let next = await take(options.signal); next !== undefined; next = await take(options.signal)) {
      if (!next.cancelled.signal.aborted) await attempt(next, options, put)
    }
  }
  return {
    async submit(kind, given, { report = () => {}, signal } = {}) {
      const job = checkedJob(kind, given)
      if (ids.has(job.id)) throw new RangeError(`Job ${job.id} is in the queue already`)
      ids.add(job.id)
      const { promise, resolve, reject } = Promise.withResolvers<unknown>()
      const cancelled = new AbortController()
      const cancel = (): void => {
        cancelled.abort()
        reject(jobCancelled(job))
      }
      signal?.addEventListener('abort', cancel, { once: true })
      if (signal?.aborted === true) cancel()
      else put({ job, failures: 0, report, cancelled, resolve, reject })
      try {
        return checkedResult(kind, job.id, await promise)
      } finally {
        signal?.removeEventListener('abort', cancel)
        ids.delete(job.id)
      }
    },
    async work(options) {
      slots += options.concurrency
      try {
        await Promise.all(Array.from({ length: options.concurrency }, () => slot(options)))
      } finally {
        slots -= options.concurrency
      }
    },
    workers: async () => slots,
    async [Symbol.asyncDispose]() {
      for (const { job, reject } of waiting.splice(0)) reject(jobCancelled(job))
    },
  }
}

/** One run of a job: it is done, cancelled, failed for good, or put back. */
async function attempt(pending: Pending, { run, tell }: WorkOptions, put: (pending: Pending) => void): Promise<void> {
  const { job, report, cancelled } = pending
  tell?.({ job, state: 'started' })
  try {
    // Through JSON, as a queue on a server does it: what would not survive the way there must not work here.
    pending.resolve(JSON.parse(JSON.stringify(await run(job, report, cancelled.signal))))
    tell?.({ job, state: 'done' })
  } catch (error) {
    if (cancelled.signal.aborted) {
      tell?.({ job, state: 'cancelled' })
      return
    }
    const reason = errorMessage(error)
    const again = ++pending.failures < ATTEMPTS
    tell?.({ job, state: 'failed', reason, again })
    if (!again) {
      pending.reject(jobFailed(job, reason))
      return
    }
    await sleep(RETRY_PAUSE_MS)
    put(pending)
  }
}
