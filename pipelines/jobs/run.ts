import { withoutPassword } from '../../configs/url.ts'
import { UserError } from '../../configs/user-error.ts'
import type { JobEvent, JobKind, JobQueue } from '../../training/queue/job-queue.ts'
import { sameCommand } from '../console/command-line.ts'
import { cutShort } from '../console/command.ts'
import type { OpenProgress, Output } from '../console/output.ts'
import { startWorkers } from './workers.ts'

/** A job queue as one command uses it: workers of its own, and every `fd worker` of the same URL. */
export interface QueueUse {
  /** `local:`, or the URL of a queue that others can share. */
  url: string
  /** Workers that the command starts. */
  workers: number
  /** The `--config` of the command, for its workers. */
  configFile: string | undefined
  /** Time between two signs of life of the command, ms. */
  heartbeatMs: number
}

/** Jobs of one command. */
export interface JobPlan<Data, Result> {
  kind: JobKind<Data, Result>
  jobs: { id: string; data: Data }[]
  /** Label of the progress. */
  label: string
  /** Steps that the progress counts for each job. */
  steps: number
  /** The first failure takes all other jobs back. */
  together: boolean
  /** Takes all jobs back. */
  signal: AbortSignal
}

/** After this long, a command whose jobs have no worker says so. */
const PATIENCE_MS = 5_000

/**
 * Opens the configured queue for a command.
 *
 * @throws UserError when the queue cannot be used, or when nobody could do its jobs.
 */
export async function openQueue({ url, workers, heartbeatMs }: QueueUse, note: Output['note']): Promise<JobQueue> {
  if (workers === 0 && url === 'local:') {
    throw new UserError(
      '--workers 0 leaves the jobs to others, and the job queue is local: there are none. ' +
        'Give --workers 1 or more, or share a queue: FD_JOB_QUEUE=redis://HOST:PORT',
    )
  }
  const { openJobQueue } = await import('../../training/open.ts')
  const queue = await openJobQueue(url, note, heartbeatMs)
  try {
    await removeAbandoned(queue, note)
    return queue
  } catch (error) {
    await queue[Symbol.asyncDispose]()
    throw error
  }
}

/** Removes the jobs of commands that are gone, and says so. */
export async function removeAbandoned(queue: JobQueue, note: Output['note']): Promise<void> {
  const removed = await queue.removeAbandoned()
  if (removed > 0) note(`${removed} jobs of commands that are gone are removed from the job queue.`)
}

/**
 * Puts the jobs into the queue and waits until each is done or has failed for good. Results stand in the order of the
 * jobs.
 *
 * @throws UserError when the signal of the plan was aborted.
 */
export async function runJobs<Data, Result>(
  queue: JobQueue,
  { url, workers, configFile }: QueueUse,
  plan: JobPlan<Data, Result>,
  { note, progress: openProgress }: Output,
): Promise<PromiseSettledResult<Result>[]> {
  await using _workers =
    workers === 0
      ? undefined
      : await startWorkers(queue, { concurrency: workers, configFile, tell: (event) => noteFailure(note, event) })
  const enough = new AbortController()
  const signal = AbortSignal.any([plan.signal, enough.signal])
  const progress = jobsProgress(plan, openProgress)
  const refused = noteRefusals(note)
  const one = async (job: { id: string; data: Data }, at: number): Promise<Result> => {
    try {
      const report = (share: number): void => progress.update(at, share)
      const result = await queue.submit(plan.kind, job, { signal, report, refused })
      progress.done(at)
      return result
    } catch (error) {
      if (plan.together) enough.abort()
      throw error
    }
  }
  const jobs = Promise.allSettled(plan.jobs.map(one))
  const patience = setTimeout(() => void noteAbsence(queue, url, note), PATIENCE_MS)
  const settled = await jobs
  clearTimeout(patience)
  progress.end()
  if (plan.signal.aborted) {
    throw cutShort(plan.signal, `Jobs that were not done are taken back. To do all again, run: ${sameCommand()}`)
  }
  return settled
}

/** One bar for all jobs of a plan. Jobs are named by their place in it. */
function jobsProgress(
  { label, jobs, steps }: JobPlan<unknown, unknown>,
  openProgress: OpenProgress,
): { update(job: number, share: number): void; done(job: number): void; end(): void } {
  const shares = jobs.map(() => 0)
  let done = 0
  const progress = openProgress(label, jobs.length * steps)
  const update = (job: number, share: number): void => {
    shares[job] = share
    progress.update(
      Math.round(shares.reduce((sum, each) => sum + each, 0) * steps),
      `${done} of ${jobs.length} jobs done`,
    )
  }
  return {
    update,
    done: (job) => {
      done++
      update(job, 1)
    },
    end: () => progress.end(),
  }
}

function noteFailure(note: Output['note'], event: JobEvent): void {
  if (event.state !== 'failed' || !event.again) return
  note(`Job ${event.job.id} failed and will be tried again: ${event.reason}`)
}

/** Says once for each reason that jobs wait because a worker must not do them. */
function noteRefusals(note: Output['note']): (reason: string) => void {
  const told = new Set<string>()
  return (reason) => {
    if (told.has(reason)) return
    told.add(reason)
    note(`Jobs wait for another worker. ${reason}`)
  }
}

async function noteAbsence(queue: JobQueue, url: string, note: Output['note']): Promise<void> {
  // When the queue itself has failed, the jobs that were submitted to it reject with the reason.
  const [workers] = await Promise.allSettled([queue.workers()])
  if (workers.status === 'rejected' || workers.value > 0) return
  note(
    `Nobody serves the job queue ${withoutPassword(url)} yet; the jobs wait. ` +
      'Start a worker, here or elsewhere, with the same queue: fd worker',
  )
}

/** The results of all jobs. @throws the first failure that is not merely the consequence of another. */
export function allOf<Result>(settled: PromiseSettledResult<Result>[]): Result[] {
  const failures = settled.flatMap((each) => (each.status === 'rejected' ? [each.reason as unknown] : []))
  if (failures.length > 0) {
    throw failures.find((reason) => !wasTakenBack(reason)) ?? failures[0]
  }
  return settled.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
}

/** Whether a job failed because another one did, so that its own failure says nothing. */
function wasTakenBack(reason: unknown): boolean {
  return reason instanceof Error && / was taken back /.test(reason.message)
}
