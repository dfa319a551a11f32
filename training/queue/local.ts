import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { errorMessage } from '../../configs/user-error.ts'
import {
  ATTEMPTS,
  checkedJob,
  checkedResult,
  jobCancelled,
  jobFailed,
  RETRY_PAUSE_MS,
  type Job,
  type JobQueue,
  type SubmitOptions,
  type WorkOptions,
} from './job-queue.ts'

/** A submitted job that has not ended. */
interface Pending {
  job: Job
  failures: number
  report: (share: number) => void
  /** Aborted when the submitter takes the job back. */
  cancelled: AbortController
  resolve(answer: unknown): void
  reject(error: Error): void
}

/** Jobs that wait for a worker, first come, first served. */
interface Line {
  put(pending: Pending): void
  /** The next one, or undefined once `signal` is aborted. */
  take(signal: AbortSignal): Promise<Pending | undefined>
  /** Takes all waiting jobs out of the line. */
  clear(): Pending[]
}

function openLine(): Line {
  const waiting: Pending[] = []
  let news = Promise.withResolvers<void>()
  return {
    put: (pending) => {
      waiting.push(pending)
      news.resolve()
      news = Promise.withResolvers()
    },
    async take(signal) {
      const stopped = signal.aborted ? Promise.resolve() : once(signal, 'abort')
      while (!signal.aborted) {
        const next = waiting.shift()
        if (next !== undefined) return next
        await Promise.race([news.promise, stopped])
      }
      return undefined
    },
    clear: () => waiting.splice(0),
  }
}

/** A queue in the memory of this process. Its workers belong to the same command, and its jobs end with the process. */
export function openLocalQueue(): JobQueue {
  const line = openLine()
  const ids = new Set<string>()
  let slots = 0
  return {
    async submit(kind, given, options = {}) {
      const job = checkedJob(kind, given)
      if (ids.has(job.id)) throw new RangeError(`Job ${job.id} is in the queue already`)
      ids.add(job.id)
      try {
        return checkedResult(kind, job.id, await wait(line, job, options))
      } finally {
        ids.delete(job.id)
      }
    },
    async work(options) {
      slots += options.concurrency
      try {
        await Promise.all(Array.from({ length: options.concurrency }, () => serve(line, options)))
      } finally {
        slots -= options.concurrency
      }
    },
    workers: async () => slots,
    abandoned: async () => [],
    removeAbandoned: async () => 0,
    async [Symbol.asyncDispose]() {
      for (const { job, reject } of line.clear()) reject(jobCancelled(job))
    },
  }
}

async function wait(line: Line, job: Job, { report = () => {}, signal }: SubmitOptions): Promise<unknown> {
  if (signal?.aborted === true) throw jobCancelled(job)
  const { promise, resolve, reject } = Promise.withResolvers<unknown>()
  const cancelled = new AbortController()
  const cancel = (): void => {
    cancelled.abort()
    reject(jobCancelled(job))
  }
  signal?.addEventListener('abort', cancel, { once: true })
  line.put({ job, failures: 0, report, cancelled, resolve, reject })
  return promise.finally(() => signal?.removeEventListener('abort', cancel))
}

async function serve(line: Line, options: WorkOptions): Promise<void> {
  for (let next = await line.take(options.signal); next !== undefined; next = await line.take(options.signal)) {
    if (!next.cancelled.signal.aborted) await attempt(next, options, line)
  }
}

/** Runs a job once. Afterwards it is done, cancelled, failed for good, or back in the line. */
async function attempt(pending: Pending, { run, tell }: WorkOptions, line: Line): Promise<void> {
  const { job, report, cancelled } = pending
  tell?.({ job, state: 'started' })
  try {
    // A queue on a server sends JSON. What does not survive that must not work here either.
    pending.resolve(JSON.parse(JSON.stringify(await run(job, report, cancelled.signal))))
    tell?.({ job, state: 'done' })
  } catch (error) {
    if (cancelled.signal.aborted) {
      tell?.({ job, state: 'cancelled', reason: 'it was taken back' })
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
    line.put(pending)
  }
}
