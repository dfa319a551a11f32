/** A job as the server keeps it. `content` is its owner and its data (`owner.ts`). */
export interface StoredJob {
  kind: string
  id: string
  content: unknown
}

/** Where a job stands. `open`: it waits, or a worker holds it. */
export type Standing = { state: 'open' } | { state: 'completed'; result: unknown } | { state: 'failed'; reason: string }

/** A job that a worker holds. */
export interface HeldJob extends StoredJob {
  /** Tells all who listen how the job goes on. Plain JSON. */
  say(progress: unknown): Promise<void>
  /** Holds the job for `LOCK_MS` from now. @returns false when it is held no more, for the lock has run out. */
  renew(): Promise<boolean>
}

/** How long a worker that gives no sign of life keeps its jobs, ms. */
export const LOCK_MS = 3_000

/** How a job that a worker held has ended. `again`: it is offered again after a pause, for another attempt. */
export type JobEnd =
  | { state: 'done' }
  | { state: 'failed'; reason: string; again: boolean }
  | { state: 'dropped'; reason: string }

/**
 * What becomes of a job that a worker held. `failed` uses one attempt, and `returned` none: the job is offered again
 * after a pause. `dropped`: nobody waits for it, so it is removed.
 */
export type Verdict =
  | { state: 'done'; result: unknown }
  | { state: 'failed' | 'dropped'; reason: string }
  | { state: 'returned'; pauseMs: number }

/** What a worker does. */
export interface WorkerRules {
  /** Most jobs held at one time. */
  concurrency: number
  /**
   * Runs a job, and renews its lock meanwhile. Anything that it throws is a verdict `failed`. A worker that has lost a
   * job may get it again, and then runs it twice.
   */
  run(job: HeldJob): Promise<Verdict>
  /** A job was taken. */
  started(job: StoredJob): void
  /** The server has accepted a verdict other than `returned`, or has ended a job that lost its workers too often. */
  settled(job: StoredJob, end: JobEnd): void
}

/** A worker at work. It returns the jobs of silent workers to the queue. */
export interface ServerWorker {
  /** Takes no more jobs. Resolves when those in hand have ended. */
  finish(): Promise<void>
  /** Ends the worker at once. Others will run the jobs in hand. */
  leave(): Promise<void>
}

export interface Listener {
  /** A job is completed, or has failed for good. */
  ended?(id: string): void
  /** Somebody said how a job goes on. */
  progress?(id: string, said: unknown): void
  /** Whoever holds the job should end it. */
  cancelled?(id: string): void
}

/**
 * The server of a shared queue, as one process uses it. It keeps jobs, and who holds which; the rules of who may do
 * what stand in this folder. Events may be lost.
 *
 * Only who holds the lock of a job can end it. A lock runs out when its worker is silent, and the job goes to another.
 * Calls wait for a server that is away, and may then happen twice.
 */
export interface JobServer extends AsyncDisposable {
  /** Rejects when the server has been away for too long, or when the connection is closed. */
  lost: Promise<never>
  /** The result of a call. Rejects with what a user can act on, and when the server is lost. */
  guard<T>(call: Promise<T>): Promise<T>
  /** Takes errors that concern nobody in particular. */
  complain(error: Error): void
  /** @throws when `signal` is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>

  /** Adds a job for `ATTEMPTS` attempts, unless there is one of the same id in any state. */
  add(job: StoredJob): Promise<void>
  /** Undefined when there is no such job. */
  find(id: string): Promise<Standing | undefined>
  /** @returns false when a worker holds the job; true when it is gone, or was never there. */
  remove(id: string): Promise<boolean>
  /** All jobs in any state. */
  jobs(): Promise<StoredJob[]>
  /** How many workers there are. */
  workers(): Promise<number>
  /** Tells all who listen that a job should end. */
  cancel(id: string): Promise<void>
  /** Resolves when `listener` hears what happens from now on. Disposing ends that. */
  listen(listener: Listener): Promise<AsyncDisposable>
  work(rules: WorkerRules): ServerWorker

  /** Makes an owner known for `ms`, by the clock of the server. */
  renewOwner(id: string, ms: number): Promise<void>
  /** Makes it known again each time that a lost server is back, before anything else. Disposing ends that. */
  renewOnReturn(id: string, ms: number): Disposable
  isOwnerKnown(id: string): Promise<boolean>
  forgetOwner(id: string): Promise<void>
}
