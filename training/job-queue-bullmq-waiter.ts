import type { Queue, QueueEvents, QueueEventsProducer } from 'bullmq'
import { CANCEL, type BullmqLink } from './job-queue-bullmq-link.ts'
import { ATTEMPTS, jobCancelled, jobFailed, RETRY_PAUSE_MS, type Job, type SubmitOptions } from './job-queue.ts'

/** What BullMQ writes when a job's worker was lost too often, each time while it ran. */
const STALLED = /stalled more than allowable limit/
/** Events may be lost with a server's last second; the jobs themselves are looked at this often. */
const LOOK_EVERY_MS = 2_000
/** A finished job whose waiter is gone is kept this long. */
const KEEP_SECONDS = 24 * 60 * 60

export interface Waiter {
  /** Adds a job and resolves to what its worker answered; the job is then removed. */
  wait(job: Job, options: SubmitOptions): Promise<unknown>
  close(): Promise<void>
}

interface Pending {
  job: Job
  report: (share: number) => void
  resolve(answer: unknown): void
  reject(error: unknown): void
  /** A look is under way; `again`: something happened meanwhile. */
  look: 'none' | 'under way' | 'again'
}

/** Waits for jobs of a queue by its events and, in case one is lost, by looking now and then. */
export function openWaiter(link: BullmqLink, queue: Queue, events: QueueEvents, producer: QueueEventsProducer): Waiter {
  const pending = new Map<string, Pending>()
  const tidying = new Set<Promise<unknown>>()
  const tidy = (work: Promise<unknown>): void => {
    const done = Promise.race([work, link.lost]).catch(link.complain).finally(() => tidying.delete(done))
    tidying.add(done)
  }
  const look = async (id: string): Promise<void> => {
    const entry = pending.get(id)
    if (entry === undefined) return
    if (entry.look !== 'none') {
      entry.look = 'again'
      return
    }
    do {
      entry.look = 'under way'
      if (!(await settled(queue, entry))) continue
      pending.delete(id)
      tidy(queue.remove(id))
    } while (entry.look === ('again' as Pending['look']) && pending.has(id))
    entry.look = 'none'
  }
  const lookAt = (id: string): void => void look(id).catch((error: unknown) => pending.get(id)?.reject(error))
  events.on('completed', ({ jobId }) => lookAt(jobId)).on('failed', ({ jobId }) => lookAt(jobId))
  events.on('progress', ({ jobId, data }) => void (typeof data === 'number' && pending.get(jobId)?.report(data)))
  const timer = setInterval(() => [...pending.keys()].forEach(lookAt), LOOK_EVERY_MS)
  const takeBack = async (id: string): Promise<void> => {
    // 0: a worker holds it.
    if ((await queue.remove(id)) === 0) await producer.publishEvent({ eventName: CANCEL, jobId: id })
  }
  return {
    async wait(job, { report = () => {}, signal }) {
      if (signal?.aborted === true) throw jobCancelled(job)
      if (pending.has(job.id)) throw new RangeError(`Job ${job.id} is in the queue already`)
      const { promise, resolve, reject } = Promise.withResolvers<unknown>()
      const cancel = (): void => {
        pending.delete(job.id)
        takeBack(job.id).then(() => reject(jobCancelled(job)), reject)
      }
      signal?.addEventListener('abort', cancel, { once: true })
      pending.set(job.id, { job, report, resolve, reject, look: 'none' })
      try {
        await add(queue, job)
        return await promise
      } finally {
        pending.delete(job.id)
        signal?.removeEventListener('abort', cancel)
      }
    },
    async close() {
      clearInterval(timer)
      await Promise.all(tidying)
      await link.leave(events, producer)
    },
  }
}

/** Adds a job, unless the queue has it. */
async function add(queue: Queue, { kind, id, data }: Job): Promise<void> {
  const keep = { age: KEEP_SECONDS }
  await queue.add(kind, data, { jobId: id, attempts: ATTEMPTS, backoff: { type: 'fixed', delay: RETRY_PAUSE_MS }, removeOnComplete: keep, removeOnFail: keep })
}

/** Whether the job has ended; whoever waits has been told. */
async function settled(queue: Queue, { job, resolve, reject }: Pending): Promise<boolean> {
  // The state is asked for first: what is read of the job afterwards is no older.
  const state = await queue.getJobState(job.id)
  const found = state === 'completed' || state === 'failed' ? await queue.getJob(job.id) : undefined
  if (state === 'unknown') {
    // A server that came back without its last second has lost the job, or never had it.
    await add(queue, job)
    return false
  }
  if (found === undefined) return false
  if (state === 'completed') resolve(found.returnvalue)
  else reject(jobFailed(job, STALLED.test(found.failedReason ?? '') ? 'its worker was lost each time while it ran' : (found.failedReason ?? 'none was given')))
  return true
}
