import { once } from 'node:events'
import { DelayedError, QueueEvents, UnrecoverableError, Worker } from 'bullmq'
import type { Job as BullmqJob, QueueEventsListener } from 'bullmq'
import { errorMessage } from '../../../configs/user-error.ts'
import { ATTEMPTS, JobRefused, REFUSED_PAUSE_MS, type Job, type WorkOptions } from '../job-queue.ts'
import { CANCEL, QUEUE, type BullmqLink } from './link.ts'
import { ABANDONED, isAlive, ownerAndData, untilGone } from './owner.ts'
import type { Refusal } from './waiter.ts'

/** How long a worker that gives no sign of life keeps its jobs, ms. */
const LOCK_MS = 3_000
/**
 * How often each worker looks for jobs of a silent one, ms. A second run starts after the lock and two looks at the
 * latest.
 */
const LOOK_EVERY_MS = 1_000
/**
 * How often a job may lose its worker. There must be a limit, for a job that takes the machine down with it. It is
 * high, so that jobs survive a fleet that is restarted again and again.
 */
const LOST_WORKERS = 20
const RETRY_MS = 1_000

interface Cancellations extends QueueEventsListener {
  [CANCEL]: (event: { jobId: string }, id: string) => void
}

/** Serves the queue as a BullMQ worker. Ends jobs that are taken back, and jobs that another worker has been given. */
export async function workBullmq(link: BullmqLink, options: WorkOptions): Promise<void> {
  const { signal } = options
  if (signal.aborted) return
  const events = new QueueEvents(QUEUE, link.options)
  const takenBack = new Set<string>()
  const worker = openWorker(link, options, takenBack)
  endCancelled(link, events, worker, takenBack)
  tellEvents(link, worker, takenBack, options.tell)
  try {
    await Promise.race([once(signal, 'abort'), link.lost])
    await Promise.race([worker.close(), link.lost])
  } finally {
    // Either all jobs are finished, or the server is lost, and then other workers will run the jobs still in hand.
    worker.cancelAllJobs('the job queue is gone')
    await link.leave(events, { close: () => worker.close(true), disconnect: () => worker.disconnect() })
  }
}

function openWorker(link: BullmqLink, options: WorkOptions, takenBack: Set<string>): Worker {
  const { concurrency, run, signal, tell } = options
  const worker: Worker = new Worker(
    QUEUE,
    // BullMQ counts the parameters of this function: only with three can a job be cancelled.
    async (job, token, ended) => {
      using _watch = await endAbandoned(link, worker, job, takenBack)
      try {
        return await run(shown(job), (share) => void job.updateProgress(share).catch(link.complain), ended ?? signal)
      } catch (error) {
        if (ended?.aborted === true) throw new UnrecoverableError(errorMessage(ended.reason))
        if (error instanceof JobRefused && ownerAndData(job.data).owner !== undefined) {
          tell?.({ job: shown(job), state: 'refused', reason: error.message })
          await giveBack(job, token, error.message)
        }
        throw error
      }
    },
    {
      ...link.options,
      concurrency,
      lockDuration: LOCK_MS,
      stalledInterval: LOOK_EVERY_MS,
      maxStalledCount: LOST_WORKERS,
      runRetryDelay: RETRY_MS,
    },
  )
  return worker
}

/**
 * Ends a job whose owner is gone: at once when it is gone already, otherwise when that comes to light. The job is then
 * removed, as one that was taken back.
 *
 * @throws UnrecoverableError when it is gone already.
 */
async function endAbandoned(link: BullmqLink, worker: Worker, job: BullmqJob, ids: Set<string>): Promise<Disposable> {
  const over = new AbortController()
  const { owner } = ownerAndData(job.data)
  const id = idOf(job)
  if (owner !== undefined) {
    if (!(await isAlive(link, owner))) {
      ids.add(id)
      throw new UnrecoverableError(ABANDONED)
    }
    const end = (): void => void (worker.cancelJob(id, ABANDONED) && ids.add(id))
    // It rejects when the job has ended first, and when the server is lost, which the link tells.
    untilGone(link, owner, over.signal).then(end, () => undefined)
  }
  return { [Symbol.dispose]: () => over.abort() }
}

/** Lets another worker have the job, after a pause, and tells whoever waits for it. The attempt does not count. */
async function giveBack(job: BullmqJob, token: string | undefined, reason: string): Promise<never> {
  await job.updateProgress({ refused: reason } satisfies Refusal)
  await job.moveToDelayed(Date.now() + REFUSED_PAUSE_MS, token)
  throw new DelayedError()
}

/** Ends jobs that are taken back, noting their ids in `takenBack`, and jobs whose lock another worker has. */
function endCancelled(link: BullmqLink, events: QueueEvents, worker: Worker, takenBack: Set<string>): void {
  events.on('error', link.complain).on<Cancellations>(CANCEL, ({ jobId }: { jobId: string }) => {
    if (worker.cancelJob(jobId, 'it was taken back')) takenBack.add(jobId)
  })
  worker
    .on('error', link.complain)
    .on('lockRenewalFailed', (ids) => ids.forEach((id) => worker.cancelJob(id, 'another worker has it')))
}

/** Tells what happens to the worker's jobs, and removes those that were taken back once they have ended. */
function tellEvents(
  link: BullmqLink,
  worker: Worker,
  takenBack: Set<string>,
  tell: WorkOptions['tell'] = () => {},
): void {
  worker.on('active', (job) => tell({ job: shown(job), state: 'started' }))
  worker.on('completed', (job) => tell({ job: shown(job), state: 'done' }))
  worker.on('failed', (job, error) => {
    if (job === undefined) return
    if (error instanceof UnrecoverableError) tell({ job: shown(job), state: 'cancelled', reason: error.message })
    else tell({ job: shown(job), state: 'failed', reason: error.message, again: job.attemptsMade < ATTEMPTS })
    // Nobody waits for a job that was taken back.
    if (takenBack.delete(idOf(job))) job.remove().catch(link.complain)
  })
}

/** A job of BullMQ as a job of the queue. */
export function shown(job: Pick<BullmqJob, 'name' | 'id' | 'data'>): Job {
  return { kind: job.name, id: idOf(job), data: ownerAndData(job.data).data }
}

function idOf(job: { id?: string }): string {
  if (job.id === undefined) throw new TypeError('A job of the queue has no id')
  return job.id
}
