import type { Queue, QueueEvents, QueueEventsProducer } from 'bullmq'
import { z } from 'zod'
import { ATTEMPTS, jobCancelled, jobFailed, RETRY_PAUSE_MS, type Job, type SubmitOptions } from '../job-queue.ts'
import { CANCEL, type BullmqLink } from './link.ts'
import { ABANDONED, withOwner, type LivingOwner } from './owner.ts'

/** BullMQ's reason for a job that lost its worker too often while it ran. */
const STALLED = /stalled more than allowable limit/
/**
 * How often the waiter looks at the jobs themselves, ms. It must not rely on events alone: a server that crashes may
 * lose those of its last second.
 */
const LOOK_EVERY_MS = 2_000
/** How long a finished job whose waiter is gone is kept. */
const KEEP_SECONDS = 24 * 60 * 60

/** Progress of a job that a worker gives back. */
const refusal = z.object({ refused: z.string() })
export type Refusal = z.output<typeof refusal>

export interface Waiter {
  /** Adds a job and resolves to its worker's answer. The job is then removed from the queue. */
  wait(job: Job, options: SubmitOptions): Promise<unknown>
  close(): Promise<void>
}

/** A job whose end somebody waits for. */
interface Pending {
  job: Job
  report: (share: number) => void
  refused: (reason: string) => void
  resolve(answer: unknown): void
  reject(error: unknown): void
  /** `under way`: the job is being looked at. `again`: an event came meanwhile, so another look must follow. */
  look: 'none' | 'under way' | 'again'
}

/** What a waiter is made of. It closes events, producer and owner. */
interface WaiterParts {
  link: BullmqLink
  queue: Queue
  events: QueueEvents
  producer: QueueEventsProducer
  /** Who waits. */
  owner: LivingOwner
}

/** The queue as the owner of jobs uses it. */
interface OwnQueue {
  queue: Queue
  owner: LivingOwner
}

/** Waits for jobs by the events of their queue and, in case an event is lost, by looking at them now and then. */
export function openWaiter({ link, queue, events, producer, owner }: WaiterParts): Waiter {
  const pending = new Map<string, Pending>()
  const tidying = new Set<Promise<unknown>>()
  const tidy = (id: string): void => {
    const done = Promise.race([queue.remove(id), link.lost])
      .catch(link.complain)
      .finally(() => tidying.delete(done))
    tidying.add(done)
  }
  const look = (id: string): void =>
    void lookAt({ queue, owner }, pending, tidy, id).catch((error: unknown) => pending.get(id)?.reject(error))
  events.on('completed', ({ jobId }) => look(jobId)).on('failed', ({ jobId }) => look(jobId))
  events.on('progress', ({ jobId, data }) => {
    if (typeof data === 'number') pending.get(jobId)?.report(data)
    else pending.get(jobId)?.refused(refusal.parse(data).refused)
  })
  const timer = setInterval(() => [...pending.keys()].forEach(look), LOOK_EVERY_MS)
  const takeBack = async (id: string): Promise<void> => {
    // 0: a worker holds the job.
    if ((await queue.remove(id)) === 0) await producer.publishEvent({ eventName: CANCEL, jobId: id })
  }
  return {
    wait: (job, options) => wait({ queue, owner }, pending, takeBack, job, options),
    async close() {
      clearInterval(timer)
      await Promise.all(tidying)
      await owner[Symbol.asyncDispose]()
      await link.leave(events, producer)
    },
  }
}

async function wait(
  own: OwnQueue,
  pending: Map<string, Pending>,
  takeBack: (id: string) => Promise<void>,
  job: Job,
  { report = () => {}, refused = () => {}, signal }: SubmitOptions,
): Promise<unknown> {
  if (signal?.aborted === true) throw jobCancelled(job)
  if (pending.has(job.id)) throw new RangeError(`Job ${job.id} is in the queue already`)
  const { promise, resolve, reject } = Promise.withResolvers<unknown>()
  const cancel = (): void => {
    pending.delete(job.id)
    takeBack(job.id).then(() => reject(jobCancelled(job)), reject)
  }
  signal?.addEventListener('abort', cancel, { once: true })
  pending.set(job.id, { job, report, refused, resolve, reject, look: 'none' })
  try {
    // Both at once: a job may be taken back while it is added, and its rejection must have a listener by then.
    const [answer] = await Promise.all([promise, add(own, job)])
    return answer
  } finally {
    pending.delete(job.id)
    signal?.removeEventListener('abort', cancel)
  }
}

/**
 * Looks whether a job has ended, one look at a time. If so, starts its removal first and tells the waiter second: once
 * told, the waiter may close the queue.
 */
async function lookAt(
  own: OwnQueue,
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
      const tell = await ending(own, entry)
      if (tell === undefined) continue
      pending.delete(id)
      tidy(id)
      tell()
      return
      // An event that came during this look may tell of something that the look was too early to see.
    } while (entry.look === ('again' as Pending['look']))
  } finally {
    entry.look = 'none'
  }
}

/** Adds a job, unless the queue already has it. Its owner must be known first, or a worker would find it abandoned. */
async function add({ queue, owner }: OwnQueue, { kind, id, data }: Job): Promise<void> {
  await owner.known()
  const keep = { age: KEEP_SECONDS }
  await queue.add(kind, withOwner({ id: owner.id, everyMs: owner.everyMs }, data), {
    jobId: id,
    attempts: ATTEMPTS,
    backoff: { type: 'fixed', delay: RETRY_PAUSE_MS },
    removeOnComplete: keep,
    removeOnFail: keep,
  })
}

/** If the job has ended, a function that tells the waiter; otherwise undefined. */
async function ending(own: OwnQueue, { job, resolve, reject }: Pending): Promise<(() => void) | undefined> {
  // The state is read first, so that the job read afterwards is at least as new.
  const { queue } = own
  const state = await queue.getJobState(job.id)
  // A server that crashed and lost its last second may not have the job any more. And whoever took this process for
  // gone has removed it.
  if (state === 'unknown') await add(own, job)
  if (state !== 'completed' && state !== 'failed') return undefined
  const found = await queue.getJob(job.id)
  if (found === undefined) return undefined
  if (state === 'completed') return () => resolve(found.returnvalue)
  if (found.failedReason === ABANDONED) {
    await queue.remove(job.id)
    await add(own, job)
    return undefined
  }
  const reason = STALLED.test(found.failedReason ?? '')
    ? 'its worker was lost each time while it ran'
    : (found.failedReason ?? 'none was given')
  return () => reject(jobFailed(job, reason))
}
