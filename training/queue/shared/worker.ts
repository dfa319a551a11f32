import { once } from 'node:events'
import { errorMessage } from '../../../configs/user-error.ts'
import { JobRefused, REFUSED_PAUSE_MS, type WorkOptions } from '../job-queue.ts'
import {
  LOCK_MS,
  type HeldJob,
  type JobEnd,
  type JobServer,
  type ServerWorker,
  type StoredJob,
  type Verdict,
} from './job-server.ts'
import { ABANDONED, every, ownerAndData, shown, untilGone } from './owner.ts'
import type { Refusal } from './waiter.ts'

/** Why a worker ends a job that somebody takes back, and one that another worker has been given. */
const TAKEN_BACK = 'it was taken back'
const LOST = 'another worker has it'

/** A run of a job in this worker. A job that was lost and came back has two for a while. */
interface Run {
  id: string
  /** Aborted with the reason for which the run must end. */
  ended: AbortController
}

/** Serves the queue of a server. Ends jobs that are taken back, and jobs that another worker has been given. */
export async function serve(server: JobServer, options: WorkOptions): Promise<void> {
  const { signal } = options
  if (signal.aborted) return
  // The signal may be aborted before events are heard.
  const stopped = once(signal, 'abort')
  const runs = new Set<Run>()
  await using _events = await server.listen({
    cancelled: (cancelled) => {
      for (const { id, ended } of runs) if (id === cancelled) ended.abort(TAKEN_BACK)
    },
  })
  const worker = openWorker(server, options, runs)
  try {
    await Promise.race([stopped, server.lost])
    await Promise.race([worker.finish(), server.lost])
  } finally {
    // Either all jobs are finished, or the server is lost, and then other workers will run the jobs still in hand.
    for (const { ended } of runs) ended.abort(LOST)
    await worker.leave()
  }
}

function openWorker(server: JobServer, options: WorkOptions, runs: Set<Run>): ServerWorker {
  const { concurrency, tell = () => {} } = options
  return server.work({
    concurrency,
    async run(job) {
      const run = { id: job.id, ended: new AbortController() }
      runs.add(run)
      try {
        return await runWatched(server, options, job, run.ended)
      } finally {
        runs.delete(run)
      }
    },
    started: (job) => tell({ job: shown(job), state: 'started' }),
    settled: (job, end) => tellEnd(tell, job, end),
  })
}

/** Runs a job until its end, or until it is ended: by whoever takes it back, or because lock or owner are gone. */
async function runWatched(
  server: JobServer,
  options: WorkOptions,
  job: HeldJob,
  ended: AbortController,
): Promise<Verdict> {
  using _lock = keepLock(server, job, () => ended.abort(LOST))
  using watch = await watchOwner(server, job, () => ended.abort(ABANDONED))
  if (!watch.alive) return { state: 'dropped', reason: ABANDONED }
  return await runOnce(server, options, job, ended.signal)
}

/** Renews the lock of a job until it is disposed of, and calls `lost` when the lock has run out. */
function keepLock(server: JobServer, job: HeldJob, lost: () => void): Disposable {
  const over = new AbortController()
  const renew = async (): Promise<void> => {
    if (!(await job.renew())) lost()
  }
  void every(server, LOCK_MS / 3, over.signal, () => void renew().catch((error: Error) => server.complain(error)))
  return { [Symbol.dispose]: () => over.abort() }
}

/**
 * Looks whether the owner of a job is alive, and calls `gone` when that changes later. A job without an owner is
 * everybody's. Disposing ends the watch.
 */
async function watchOwner(server: JobServer, job: HeldJob, gone: () => void): Promise<Disposable & { alive: boolean }> {
  const over = new AbortController()
  const { owner } = ownerAndData(job.content)
  const alive = owner === undefined || (await server.isOwnerKnown(owner.id))
  // It rejects when the job has ended first, and when the server is lost, which the server tells.
  if (owner !== undefined && alive) untilGone(server, owner, over.signal).then(gone, () => undefined)
  return { alive, [Symbol.dispose]: () => over.abort() }
}

async function runOnce(server: JobServer, options: WorkOptions, job: HeldJob, ended: AbortSignal): Promise<Verdict> {
  const report = (share: number): void => void job.say(share).catch((error: Error) => server.complain(error))
  try {
    return { state: 'done', result: await options.run(shown(job), report, ended) }
  } catch (error) {
    if (ended.aborted) return verdictOfEnded(ended.reason)
    const reason = errorMessage(error)
    if (!(error instanceof JobRefused) || ownerAndData(job.content).owner === undefined)
      return { state: 'failed', reason }
    options.tell?.({ job: shown(job), state: 'refused', reason })
    await job.say({ refused: reason } satisfies Refusal)
    return { state: 'returned', pauseMs: REFUSED_PAUSE_MS }
  }
}

/** A job that nobody waits for is dropped. One that was lost is given back, and the server will not have that. */
function verdictOfEnded(reason: unknown): Verdict {
  if (reason === TAKEN_BACK || reason === ABANDONED) return { state: 'dropped', reason }
  return { state: 'returned', pauseMs: 0 }
}

function tellEnd(tell: NonNullable<WorkOptions['tell']>, stored: StoredJob, end: JobEnd): void {
  const job = shown(stored)
  tell(end.state === 'dropped' ? { job, state: 'cancelled', reason: end.reason } : { job, ...end })
}
