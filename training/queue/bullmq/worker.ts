import { once } from 'node:events'
import { QueueEvents, UnrecoverableError, Worker, type QueueEventsListener } from 'bullmq'
import { errorMessage } from '../../../configs/user-error.ts'
import { ATTEMPTS, type WorkOptions } from '../job-queue.ts'
import { CANCEL, QUEUE, type BullmqLink } from './link.ts'

/** How long a silent worker keeps its jobs, ms. */
const LOCK_MS = 3_000
/** How often each worker looks for jobs of a silent one, ms: two looks and the lock are the longest wait for a second run. */
const LOOK_EVERY_MS = 1_000
/** How often a job may lose its worker: one that takes the machine down must end too, while a fleet that is restarted again and again gets through. */
const LOST_WORKERS = 20
const RETRY_MS = 1_000

interface Cancellations extends QueueEventsListener {
  [CANCEL]: (event: { jobId: string }, id: string) => void
}

/** A BullMQ worker whose jobs are ended when they are taken back, or when another worker has been given them. */
export async function workBullmq(
  link: BullmqLink,
  { concurrency, run, signal, tell = () => {} }: WorkOptions,
): Promise<void> {
  if (signal.aborted) return
  const events = new QueueEvents(QUEUE, link.options)
  const worker = new Worker(
    QUEUE,
    // BullMQ counts the parameters: with three, a job can be cancelled.
    async (job, _token, ended) => {
      try {
        return await run(
          { kind: job.name, id: idOf(job), data: job.data },
          (share) => void job.updateProgress(share).catch(link.complain),
          ended ?? signal,
        )
      } catch (error) {
        throw ended?.aborted === true ? new UnrecoverableError(errorMessage(ended.reason)) : error
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
  const takenBack = new Set<string>()
  events.on('error', link.complain).on<Cancellations>(CANCEL, ({ jobId }: { jobId: string }) => {
    if (worker.cancelJob(jobId, 'it was taken back')) takenBack.add(jobId)
  })
  worker
    .on('error', link.complain)
    .on('lockRenewalFailed', (ids) => ids.forEach((id) => worker.cancelJob(id, 'another worker has it')))
  worker.on('active', (job) => tell({ job: { kind: job.name, id: idOf(job), data: job.data }, state: 'started' }))
  worker.on('completed', (job) => tell({ job: { kind: job.name, id: idOf(job), data: job.data }, state: 'done' }))
  worker.on('failed', (job, error) => {
    if (job === undefined) return
    const shown = { kind: job.name, id: idOf(job), data: job.data }
    if (error instanceof UnrecoverableError) tell({ job: shown, state: 'cancelled' })
    else tell({ job: shown, state: 'failed', reason: error.message, again: job.attemptsMade < ATTEMPTS })
    // Nobody waits for it any more.
    if (takenBack.delete(idOf(job))) job.remove().catch(link.complain)
  })
  try {
    await Promise.race([once(signal, 'abort'), link.lost])
    await Promise.race([worker.close(), link.lost])
  } finally {
    // Nothing is left to do, or nobody to give it to: those of a lost server's jobs that others have are theirs.
    worker.cancelAllJobs('the job queue is gone')
    await link.leave(events, { close: () => worker.close(true), disconnect: () => worker.disconnect() })
  }
}

function idOf(job: { id?: string }): string {
  if (job.id === undefined) throw new TypeError('A job of the queue has no id')
  return job.id
}
