import { withoutPassword } from '../../configs/url.ts'
import { UserError } from '../../configs/user-error.ts'
import type { JobEvent, JobKind, JobQueue } from '../../training/queue/job-queue.ts'
import { startWorkers } from '../commands/worker.ts'
import type { Context } from '../console/command.ts'

/** Jobs of one command, and who does them. */
export interface JobPlan<Data, Result> {
  kind: JobKind<Data, Result>
  jobs: { id: string; data: Data }[]
  /** Workers that this command starts; those of other `fd worker` help, where the queue has a URL. */
  workers: number
  /** The `--config` of this command, for its workers. */
  configFile: string | undefined
  /** What the progress counts: this many steps a job. */
  label: string
  steps: number
  /** The first failure takes all other jobs back. */
  together: boolean
  /** Takes all jobs back. */
  signal: AbortSignal
}

const PATIENCE_MS = 5_000

/**
 * Opens the configured queue for a command that starts `workers` of its own.
 *
 * @throws UserError when the queue cannot be used, or nobody could do its jobs.
 */
export async function openQueue({ config, output }: Context, workers: number): Promise<JobQueue> {
  if (workers === 0 && config.jobQueue === 'local:') {
    throw new UserError(
      '--workers 0 leaves the jobs to others, and the job queue is local: there are none. Give --workers 1 or more, or share a queue: FD_JOB_QUEUE=redis://HOST:PORT',
    )
  }
  const { openJobQueue } = await import('../../training/open.ts')
  return openJobQueue(config.jobQueue, output.note)
}

/** Puts the jobs into the queue and waits until each is done or has failed for good. @throws UserError when `signal` was aborted. */
export async function runJobs<Data, Result>(
  { config, output }: Context,
  queue: JobQueue,
  plan: JobPlan<Data, Result>,
): Promise<PromiseSettledResult<Result>[]> {
  await using _workers =
    plan.workers === 0
      ? undefined
      : await startWorkers(queue, plan.workers, plan.configFile, (event) => noteFailure(output.note, event))
  const enough = new AbortController()
  const signal = AbortSignal.any([plan.signal, enough.signal])
  const shares = plan.jobs.map(() => 0)
  let done = 0
  const progress = output.progress(plan.label, plan.jobs.length * plan.steps)
  const update = (at: number, share: number): void => {
    shares[at] = share
    progress.update(
      Math.round(shares.reduce((sum, each) => sum + each, 0) * plan.steps),
      `${done} of ${plan.jobs.length} jobs done`,
    )
  }
  const one = async (job: { id: string; data: Data }, at: number): Promise<Result> => {
    try {
      const result = await queue.submit(plan.kind, job, { signal, report: (share) => update(at, share) })
      done++
      update(at, 1)
      return result
    } catch (error) {
      if (plan.together) enough.abort()
      throw error
    }
  }
  const jobs = Promise.allSettled(plan.jobs.map(one))
  const patience = setTimeout(() => void noteAbsence(queue, config.jobQueue, output.note), PATIENCE_MS)
  const settled = await jobs
  clearTimeout(patience)
  progress.end()
  if (plan.signal.aborted) throw new UserError('Stopped. The jobs that were not done have been taken back.')
  return settled
}

function noteFailure(note: (line: string) => void, event: JobEvent): void {
  if (event.state === 'failed' && event.again)
    note(`Job ${event.job.id} failed and will be tried again: ${event.reason}`)
}

async function noteAbsence(queue: JobQueue, url: string, note: (line: string) => void): Promise<void> {
  // That a queue is gone is told to those who wait for its jobs.
  const [workers] = await Promise.allSettled([queue.workers()])
  if (workers.status === 'fulfilled' && workers.value === 0)
    note(
      `Nobody serves the job queue ${withoutPassword(url)} yet; the jobs wait. Start a worker, here or elsewhere, with the same queue: fd worker`,
    )
}

/** What all jobs came to. @throws the first failure that is not the consequence of another. */
export function allOf<Result>(settled: PromiseSettledResult<Result>[]): Result[] {
  const failures = settled.flatMap((each) => (each.status === 'rejected' ? [each.reason as unknown] : []))
  if (failures.length > 0)
    throw (
      failures.find((reason) => !(reason instanceof Error && / was taken back /.test(reason.message))) ?? failures[0]
    )
  return settled.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
}
