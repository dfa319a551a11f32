import type { Queue, QueueEvents, QueueEventsProducer } from 'bullmq'
import { ATTEMPTS, jobCancelled, jobFailed, RETRY_PAUSE_MS, type Job, type SubmitOptions } from '../job-queue.ts'
import { CANCEL, type BullmqLink } from './link.ts'

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
  const tidy = (id: string): void => {
    const done = Promise.race([queue.remove(id), link.lost])
      .catch(link.complain)
      .finally(() => tidying.delete(done))
    tidying.add(done)
  }
  const look = (id: string): void =>
    void lookAt(queue, pending, tidy, id).catch((error: unknown) => pending.get(id)?.reject(error))
  events.on('completed', ({ jobId }) => look(jobId)).on('failed', ({ jobId }) => look(jobId))
  events.on('progress', ({ jobId, data }) => void (typeof data === 'number' && pending.get(jobId)?.report(data)))
  const timer = setInterval(() => [...pending.keys()].forEach(look), LOOK_EVERY_MS)
  const takeBack = async (id: string): Promise<void> => {
    // 0: a worker holds it.
    if ((await queue.remove(id)) === 0) await producer.publishEvent({ eventName: CANCEL, jobId: id })
  }
  return {
    wait: (job, options) => wait(queue, pending, takeBack, job, options),
    async close() {
      clearInterval(timer)
      await Promise.all(tidying)
      await link.leave(events, producer)
    },
  }
}

async function wait(
  queue: Queue,
  pending: Map<string, Pending>,
  takeBack: (id: string) => Promise<void>,
  job: Job,
  { report = () => {}, signal }: SubmitOptions,
): Promise<unknown> {
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
    // Together: a job that is taken back while it is added must not reject unheard.
    const [answer] = await Promise.all([promise, add(queue, job)])
    return answer
  } finally {
    pending.delete(job.id)
    signal?.removeEventListener('abort', cancel)
  }
}

/** Looks at a job, one look at a time. When it has ended, its removal is under way before whoever waits is told, and may close the queue. */
async function lookAt(
  queue: Queue,
  pending: Map<string, Pending>,
  tidy: (id: string) => void,
  id: string,
): Promise<void> {
  const entry = pending.get(id)
  if (entry === undefined) return
  if (entry.look !== 'none') {
    entry.look = 'again'
    return
  }
  try {
    do {
      entry.look = 'under way'
      const tell = await ending(queue, entry)
      if (tell === undefined) continue
      pending.delete(id)
      tidy(id)
      tell()
      return
      // An event that came meanwhile may be news that this look was too early for.
    } while (entry.look === ('again' as Pending['look']))
  } finally {
    entry.look = 'none'
  }
}

/** Adds a job, unless the queue has it. */
async function add(queue: Queue, { kind, id, data }: Job): Promise<void> {
  const keep = { age: KEEP_SECONDS }
  await queue.add(kind, data, {
    jobId: id,
    attempts: ATTEMPTS,
    backoff: { type: 'fixed', delay: RETRY_PAUSE_MS },
    removeOnComplete: keep,
    removeOnFail: keep,
  })
}

/** How to tell whoever waits, when the job has ended. */
async function ending(queue: Queue, { job, resolve, reject }: Pending): Promise<(() => void) | undefined> {
  // The state is asked for first: what is read of the job afterwards is no older.
  const state = await queue.getJobState(job.id)
  // A server that came back without its last second has lost the job, or never had it.
  if (state === 'unknown') await add(queue, job)
  if (state !== 'completed' && state !== 'failed') return undefined
  const found = await queue.getJob(job.id)
  if (found === undefined) return undefined
  if (state === 'completed') return () => resolve(found.returnvalue)
  const reason = STALLED.test(found.failedReason ?? '')
    ? 'its worker was lost each time while it ran'
    : (found.failedReason ?? 'none was given')
  return () => reject(jobFailed(job, reason))
}
