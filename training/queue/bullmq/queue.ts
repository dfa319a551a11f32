import { Queue, QueueEvents, QueueEventsProducer } from 'bullmq'
import { redisFault } from '../../../configs/connections/redis-fault.ts'
import { redisAddress } from '../../../configs/connections/redis.ts'
import { checkedJob, checkedResult, type JobQueue } from '../job-queue.ts'
import { abandonedJobs, removeAbandoned } from './abandoned.ts'
import { openLink, QUEUE, type BullmqLink } from './link.ts'
import { openOwner } from './owner.ts'
import { openWaiter, type Waiter } from './waiter.ts'
import { shown, workBullmq } from './worker.ts'

/**
 * Opens the queue on a Redis server. Whoever submits jobs gives a sign of life every `heartbeatMs`. `tell` gets a line
 * when the server is lost, when it is back, and when BullMQ has an error of another kind.
 *
 * @throws UserError when the server cannot be reached or refuses us.
 */
export async function openBullmqQueue(
  url: string,
  heartbeatMs: number,
  tell: (line: string) => void = () => {},
): Promise<JobQueue> {
  const address = redisAddress(url)
  const link = await openLink(address, tell)
  const queue = new Queue(QUEUE, link.options)
  queue.on('error', link.complain)
  let waiter: Promise<Waiter> | undefined
  const guarded = async <T>(call: Promise<T>): Promise<T> => {
    try {
      return await Promise.race([call, link.lost])
    } catch (error) {
      throw redisFault(error, address.shown)
    }
  }
  return {
    async submit(kind, given, options = {}) {
      const job = checkedJob(kind, given)
      waiter ??= newWaiter(queue, link, heartbeatMs)
      const { wait } = await guarded(waiter)
      return checkedResult(kind, job.id, await guarded(wait(job, options)))
    },
    work: (options) => guarded(workBullmq(link, options)),
    workers: () => guarded(queue.getWorkersCount()),
    abandoned: async () => (await guarded(abandonedJobs(queue, link))).map(shown),
    removeAbandoned: () => guarded(removeAbandoned(queue, link)),
    async [Symbol.asyncDispose]() {
      await (await waiter)?.close()
      await link.leave(queue)
      await link[Symbol.asyncDispose]()
    },
  }
}

async function newWaiter(queue: Queue, link: BullmqLink, heartbeatMs: number): Promise<Waiter> {
  const events = new QueueEvents(QUEUE, link.options)
  const producer = new QueueEventsProducer(QUEUE, link.options)
  events.on('error', link.complain)
  producer.on('error', link.complain)
  await events.waitUntilReady()
  return openWaiter({ link, queue, events, producer, owner: openOwner(link, heartbeatMs) })
}
