import { DelayedError, UnrecoverableError, Worker } from 'bullmq'
import type { Job as BullmqJob } from 'bullmq'
import { ATTEMPTS } from '../job-queue.ts'
import {
  LOCK_MS,
  type HeldJob,
  type ServerWorker,
  type StoredJob,
  type Verdict,
  type WorkerRules,
} from '../shared/job-server.ts'
import { QUEUE, type BullmqLink } from './link.ts'

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

/** Works by the rules as a BullMQ worker. */
export function openBullmqWorker(link: BullmqLink, rules: WorkerRules): ServerWorker {
  const worker = new Worker(QUEUE, async (job, token = '') => answer(job, token, await rules.run(held(job, token))), {
    ...link.options,
    concurrency: rules.concurrency,
    lockDuration: LOCK_MS,
    // BullMQ renews locks by the id of their job, so that a run that has ended takes the lock from another one.
    skipLockRenewal: true,
    stalledInterval: LOOK_EVERY_MS,
    maxStalledCount: LOST_WORKERS,
    runRetryDelay: RETRY_MS,
  })
  worker
    .on('error', link.complain)
    .on('active', (job) => rules.started(stored(job)))
    .on('completed', (job) => rules.settled(stored(job), { state: 'done' }))
    .on('failed', (job, { message: reason }) => {
      if (job === undefined) return
      const dropped = job.opts.removeOnFail === true
      // By now BullMQ has counted this attempt.
      const again = job.deferredFailure === undefined && job.attemptsMade < ATTEMPTS
      rules.settled(stored(job), dropped ? { state: 'dropped', reason } : { state: 'failed', reason, again })
    })
  return {
    finish: () => worker.close(),
    leave: () => link.leave({ close: () => worker.close(true), disconnect: () => worker.disconnect() }),
  }
}

/** A verdict as BullMQ takes it. The error of a job that is returned says that it has been moved already. */
async function answer(job: BullmqJob, token: string, verdict: Verdict): Promise<unknown> {
  if (verdict.state === 'done') return verdict.result
  if (verdict.state === 'returned') {
    await job.moveToDelayed(Date.now() + verdict.pauseMs, token)
    throw new DelayedError()
  }
  if (verdict.state === 'failed') throw new Error(verdict.reason)
  // In the step in which it fails, so that nobody can add it again in between.
  job.opts.removeOnFail = true
  throw new UnrecoverableError(verdict.reason)
}

function held(job: BullmqJob, token: string): HeldJob {
  return {
    ...stored(job),
    say: (progress) => job.updateProgress(progress as Parameters<BullmqJob['updateProgress']>[0]),
    renew: async () => (await job.extendLock(token, LOCK_MS)) === 1,
  }
}

export function stored({ name, id, data }: Pick<BullmqJob, 'name' | 'id' | 'data'>): StoredJob {
  if (id === undefined) throw new TypeError('A job of the queue has no id')
  return { kind: name, id, content: data as unknown }
}
