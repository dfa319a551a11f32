import { setTimeout as sleep } from 'node:timers/promises'
import { Queue, QueueEvents, QueueEventsProducer } from 'bullmq'
import type { Job as BullmqJob, QueueEventsListener } from 'bullmq'
import { redisFault } from '../../../configs/connections/redis-fault.ts'
import type { RedisAddress, SessionCheck } from '../../../configs/connections/redis.ts'
import { ATTEMPTS, RETRY_PAUSE_MS } from '../job-queue.ts'
import type { JobServer, Listener, Standing } from '../shared/job-server.ts'
import { CANCEL, openLink, QUEUE, type BullmqLink } from './link.ts'
import { openBullmqWorker, stored } from './worker.ts'

/** All states that a job of the queue can be in. */
const STATES = ['waiting', 'active', 'delayed', 'prioritized', 'completed', 'failed'] as const
/** How long a finished job whose waiter is gone is kept. */
const KEEP = { age: 24 * 60 * 60 }
/** BullMQ's reason for a job that lost its worker too often while it ran. */
const STALLED = /stalled more than allowable limit/

interface Cancellations extends QueueEventsListener {
  [CANCEL]: (event: { jobId: string }, id: string) => void
}

/**
 * The job server on Redis, by BullMQ. `tell` gets a line when the server is lost, when it is back, and when BullMQ has
 * an error of another kind.
 *
 * @throws UserError when the server cannot be reached or refuses us.
 */
export async function openBullmqServer(address: RedisAddress, tell: (line: string) => void): Promise<JobServer> {
  const link = await openLink(address, tell)
  const queue = new Queue(QUEUE, link.options)
  queue.on('error', link.complain)
  let producer: QueueEventsProducer | undefined
  return {
    lost: link.lost,
    complain: link.complain,
    sleep: (ms, signal) => sleep(ms, undefined, { signal }),
    async guard(call) {
      try {
        return await Promise.race([call, link.lost])
      } catch (error) {
        throw redisFault(error, address.shown)
      }
    },
    ...storedJobs(queue),
    async cancel(id) {
      producer ??= new QueueEventsProducer(QUEUE, link.options).on('error', link.complain)
      await producer.publishEvent({ eventName: CANCEL, jobId: id })
    },
    listen: (listener) => listen(link, listener),
    work: (rules) => openBullmqWorker(link, rules),
    ...owners(link),
    async [Symbol.asyncDispose]() {
      await link.leave(queue, ...(producer === undefined ? [] : [producer]))
      await link[Symbol.asyncDispose]()
    },
  }
}

/** The jobs of a queue of BullMQ. */
function storedJobs(queue: Queue): Pick<JobServer, 'add' | 'find' | 'remove' | 'jobs' | 'workers'> {
  return {
    async add({ kind, id, content }) {
      await queue.add(kind, content, {
        jobId: id,
        attempts: ATTEMPTS,
        backoff: { type: 'fixed', delay: RETRY_PAUSE_MS },
        removeOnComplete: KEEP,
        removeOnFail: KEEP,
      })
    },
    find: (id) => find(queue, id),
    remove: async (id) => (await queue.remove(id)) === 1,
    async jobs() {
      // A job that was removed since its id was read is undefined.
      const found = (await queue.getJobs([...STATES])) as (BullmqJob | undefined)[]
      return found.flatMap((job) => (job === undefined ? [] : [stored(job)]))
    },
    workers: () => queue.getWorkersCount(),
  }
}

async function find(queue: Queue, id: string): Promise<Standing | undefined> {
  // The state is read first, so that the job read afterwards is at least as new.
  const state = await queue.getJobState(id)
  if (state === 'unknown') return undefined
  if (state !== 'completed' && state !== 'failed') return { state: 'open' }
  const job = (await queue.getJob(id)) as BullmqJob | undefined
  if (job === undefined) return undefined
  // The job that had ended was removed, and has been added again.
  if (job.finishedOn === undefined) return { state: 'open' }
  if (state === 'completed') return { state, result: job.returnvalue as unknown }
  const reason = job.failedReason ?? 'none was given'
  return { state, reason: STALLED.test(reason) ? 'its worker was lost each time while it ran' : reason }
}

async function listen(link: BullmqLink, { ended, progress, cancelled }: Listener): Promise<AsyncDisposable> {
  const events = new QueueEvents(QUEUE, link.options)
  events.on('error', link.complain)
  if (ended !== undefined) events.on('completed', ({ jobId }) => ended(jobId)).on('failed', ({ jobId }) => ended(jobId))
  if (progress !== undefined) events.on('progress', ({ jobId, data }) => progress(jobId, data))
  if (cancelled !== undefined) events.on<Cancellations>(CANCEL, ({ jobId }: { jobId: string }) => cancelled(jobId))
  await events.waitUntilReady()
  return { [Symbol.asyncDispose]: () => link.leave(events) }
}

/** The keys of owners, on the connection of the link. */
function owners({
  connection,
  options,
}: BullmqLink): Pick<JobServer, 'renewOwner' | 'renewOnReturn' | 'isOwnerKnown' | 'forgetOwner'> {
  const key = (id: string): string => `${options.prefix}:owner:${id}`
  const renewal =
    (id: string, ms: number): SessionCheck =>
    async (redis) =>
      void (await redis.set(key(id), 'alive', 'PX', ms))
  return {
    renewOwner: (id, ms) => connection.run(renewal(id, ms)),
    renewOnReturn: (id, ms) => connection.onReconnect(renewal(id, ms)),
    isOwnerKnown: async (id) => (await connection.run((redis) => redis.exists(key(id)))) === 1,
    forgetOwner: async (id) => void (await connection.run((redis) => redis.unlink(key(id)))),
  }
}
