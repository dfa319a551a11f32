import type { z } from 'zod'
import { UserError } from '../../configs/user-error.ts'

/**
 * A kind of job: its name, what goes in (`data`) and what comes out (`result`). Both are plain JSON (no NaN, no
 * dates, no undefined) and small: ids and references, never the things themselves. Each side checks what it receives.
 */
export interface JobKind<Data, Result> {
  name: string
  data: z.ZodType<Data>
  result: z.ZodType<Result>
}

/** One job as it stands in a queue. */
export interface Job {
  /** Name of its kind. */
  kind: string
  /** Letters, digits, `.`, `_` and `-`. Unique within the queue. */
  id: string
  data: unknown
}

/**
 * Runs a job and resolves to its result. The job calls `report` with how much is done, from 0 to 1. When `signal` is
 * aborted the work ends at once: somebody cancelled the job, or another worker runs it by now.
 */
export type RunJob = (job: Job, report: (share: number) => void, signal: AbortSignal) => Promise<unknown>

/** What happens to a job that a worker has taken. `again`: the job failed and will be tried once more. */
export type JobEvent = { job: Job } & (
  | { state: 'started' | 'done' }
  | { state: 'cancelled' | 'refused'; reason: string }
  | { state: 'failed'; reason: string; again: boolean }
)

export interface WorkOptions {
  /** Most jobs run at one time, 1 or more. */
  concurrency: number
  /**
   * Runs one job. It must leave the event loop free: a worker that does not answer for 3 s loses its jobs to others.
   * `job-process.ts` runs each job in a process of its own.
   */
  run: RunJob
  /** Ends the work: the worker takes no further job and finishes those it has. */
  signal: AbortSignal
  tell?: (event: JobEvent) => void
}

/**
 * A queue of jobs that other processes run. It makes the promises of BullMQ.
 *
 * # What a job is
 *
 * An id, the name of a kind, and small JSON data (`JobKind`). A job runs at least once, and may run twice at the same
 * time. So a job must be idempotent, and its result must not depend on how often it ran. Jobs start in the order of
 * `submit` and end in any order.
 *
 * # Retries
 *
 * A job that fails runs again after `RETRY_PAUSE_MS`, `ATTEMPTS` times in all. Then it has failed for good, and the
 * reason of the last failure goes to whoever waits for it. Other jobs go on.
 *
 * # Cancelling
 *
 * Whoever submits a job can take it back by the signal of `SubmitOptions`. A waiting job then never runs, and a running
 * one is ended. The signal of `WorkOptions` cancels no job: it only ends the worker, which first finishes the jobs it
 * has.
 *
 * # Refusing
 *
 * A worker that must not run a job throws `JobRefused`. On a shared queue that is no attempt: the job goes back for
 * another worker, after `REFUSED_PAUSE_MS`, however often. Whoever waits for it hears of it by `SubmitOptions`.
 *
 * # Abandoned jobs
 *
 * A job belongs to the command that waits for it. On a shared queue the command gives signs of life. When they cease,
 * a waiting job never runs, and a running one is ended. A command that was only stopped adds its jobs again when it
 * goes on. The jobs of the local queue end with their process.
 *
 * # Ownership and lost workers
 *
 * A job belongs to the worker that took it. Several workers may serve one queue. When a worker or the process of a job
 * is killed with −9, the job runs again within seconds. A worker that is only cut off from the queue loses its jobs
 * too; they may then run in two places until it notices, which is why a job may run twice at the same time.
 *
 * # Errors
 *
 * `submit` and `work` reject with a `UserError` for whatever the user can act on: a job that failed for good or was
 * taken back, a worker of another version, a queue that is gone for good. A `RangeError` is a bug of the caller.
 */
export interface JobQueue extends AsyncDisposable {
  /**
   * Adds a job and waits for its result. `options` can receive the job's progress and take the job back.
   *
   * @throws UserError with the job's own reason when it failed for good, or when it was taken back.
   */
  submit<Data, Result>(
    kind: JobKind<Data, Result>,
    job: { id: string; data: Data },
    options?: SubmitOptions,
  ): Promise<Result>

  /**
   * Takes jobs and runs them until the signal of `options` is aborted.
   *
   * @throws UserError when the queue is gone for good.
   */
  work(options: WorkOptions): Promise<void>

  /** How many workers serve this queue now. */
  workers(): Promise<number>
  /** The jobs whose command is gone, in no order. */
  abandoned(): Promise<Job[]>
  /** Removes abandoned jobs that no worker runs. @returns how many. */
  removeAbandoned(): Promise<number>
}

export interface SubmitOptions {
  /** Called now and then with the progress of the job, from 0 to 1. */
  report?: (share: number) => void
  /** Called each time that a worker refuses the job, with its reason. */
  refused?: (reason: string) => void
  /** Aborting it takes the job back. */
  signal?: AbortSignal
}

/** How often a job runs in all if it fails. Most causes fail every time; the rest is a network that faltered. */
export const ATTEMPTS = 3
/** Pause between a failure and the next attempt, ms. */
export const RETRY_PAUSE_MS = 500

/** Pause before a job that was refused is offered again, ms. */
export const REFUSED_PAUSE_MS = 1_000

/** This worker must not run the job, and another one may. */
export class JobRefused extends UserError {}

/**
 * A job as it goes into the queue.
 *
 * @throws RangeError for an id that no queue takes. ZodError for data that are not of the kind. Both are bugs.
 */
export function checkedJob<Data>(kind: JobKind<Data, unknown>, { id, data }: { id: string; data: Data }): Job {
  if (!/^[\w.-]+$/.test(id)) throw new RangeError(`"${id}" is no id of a job`)
  return { kind: kind.name, id, data: kind.data.parse(data) }
}

/**
 * A result as it comes out of the queue.
 *
 * @throws UserError when a worker of another version has answered.
 */
export function checkedResult<Result>(kind: JobKind<unknown, Result>, id: string, answer: unknown): Result {
  const result = kind.result.safeParse(answer)
  if (result.success) return result.data
  throw new UserError(
    `Job ${id} (${kind.name}) came back with a result that is not of its kind. ` +
      'Stop every fd worker of another version of fd, and run the command again.',
    { cause: result.error },
  )
}

/** The error of a job that has failed for good. */
export function jobFailed(job: Pick<Job, 'kind' | 'id'>, reason: string): UserError {
  return new UserError(`Job ${job.id} (${job.kind}) failed ${ATTEMPTS} times. The last reason: ${reason}`)
}

/** The error of a job that whoever submitted it has taken back. */
export function jobCancelled(job: Pick<Job, 'kind' | 'id'>): UserError {
  return new UserError(`Job ${job.id} (${job.kind}) was taken back before it was done.`)
}
