import type { z } from 'zod'
import { UserError } from '../../configs/user-error.ts'

/**
 * A kind of work: its name, what goes in and what comes out. Both are plain JSON (no NaN, no dates, no undefined) and small:
 * ids and references, never data. Each side checks what it gets.
 */
export interface JobKind<Data, Result> {
  name: string
  data: z.ZodType<Data>
  result: z.ZodType<Result>
}

/** One piece of work as it stands in a queue. */
export interface Job {
  /** Name of its kind. */
  kind: string
  /** Letters, digits, `.`, `_` and `-`; no other job of the queue has it. */
  id: string
  data: unknown
}

/**
 * Does a job and resolves to its result. `report` hears how much is done, from 0 to 1. When `signal` is aborted the work ends at once:
 * somebody has cancelled it, or it is done elsewhere by now.
 */
export type RunJob = (job: Job, report: (share: number) => void, signal: AbortSignal) => Promise<unknown>

/** What happens to a job that a worker has taken. `again`: it failed and will be tried once more. */
export type JobEvent = { job: Job } & (
  | { state: 'started' | 'done' | 'cancelled' }
  | { state: 'failed'; reason: string; again: boolean }
)

export interface WorkOptions {
  /** Jobs run at one time, 1 or more. */
  concurrency: number
  /** Must leave the event loop free: a worker that does not answer for 3 s loses its jobs to others. See `job-process.ts`. */
  run: RunJob
  /** Ends the work: no further job is taken, those in hand are finished. */
  signal: AbortSignal
  tell?: (event: JobEvent) => void
}

/**
 * Work that other processes do. After BullMQ, whose promises it keeps:
 *
 * - At least once: a job whose process or worker is killed with −9 runs again, within seconds; one that was cut off from the queue
 *   may run twice at a time. So a job must be idempotent, and its result must not depend on how often it ran.
 * - A job that fails runs `ATTEMPTS` times in all. The reason of the last failure reaches whoever waits for it; other jobs go on.
 * - Jobs begin in the order of `submit`, and end in any.
 */
export interface JobQueue extends AsyncDisposable {
  /**
   * Adds a job and waits for its result. `report` hears its progress, from 0 to 1, now and then. When `signal` is aborted the job is
   * taken back: one that waits never runs, one that runs is ended.
   *
   * @throws UserError with the job's own reason when it has failed for good, or was taken back.
   */
  submit<Data, Result>(
    kind: JobKind<Data, Result>,
    job: { id: string; data: Data },
    options?: SubmitOptions,
  ): Promise<Result>
  /** Takes jobs and has them run until `signal` is aborted. Several may work at one queue. @throws UserError when the queue is gone for good. */
  work(options: WorkOptions): Promise<void>
  /** How many work at this queue now. */
  workers(): Promise<number>
}

export interface SubmitOptions {
  report?: (share: number) => void
  signal?: AbortSignal
}

/** How often a job may fail: most of what makes it fail does so each time, the rest is a network that faltered. */
export const ATTEMPTS = 3
/** Between a failure and the next attempt, ms. */
export const RETRY_PAUSE_MS = 500

/** What goes into the queue. @throws RangeError for an id that no queue takes, or data that are not of the kind: bugs, both. */
export function checkedJob<Data>(kind: JobKind<Data, unknown>, { id, data }: { id: string; data: Data }): Job {
  if (!/^[\w.-]+$/.test(id)) throw new RangeError(`"${id}" is no id of a job`)
  return { kind: kind.name, id, data: kind.data.parse(data) }
}

/** What came out. @throws UserError when a worker of another version has answered. */
export function checkedResult<Result>(kind: JobKind<unknown, Result>, id: string, answer: unknown): Result {
  const result = kind.result.safeParse(answer)
  if (result.success) return result.data
  throw new UserError(
    `Job ${id} (${kind.name}) came back with a result that is not of its kind. Stop every fd worker of another version of fd, and run the command again.`,
    { cause: result.error },
  )
}

export function jobFailed(job: Pick<Job, 'kind' | 'id'>, reason: string): UserError {
  return new UserError(`Job ${job.id} (${job.kind}) failed ${ATTEMPTS} times. The last reason: ${reason}`)
}

export function jobCancelled(job: Pick<Job, 'kind' | 'id'>): UserError {
  return new UserError(`Job ${job.id} (${job.kind}) was taken back before it was done.`)
}
