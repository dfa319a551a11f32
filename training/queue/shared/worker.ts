import { once } from 'node:events'
import { errorMessage } from '../../../configs/user-error.ts'
import { JobRefused, REFUSED_PAUSE_MS, RETRY_PAUSE_MS, type WorkOptions } from '../job-queue.ts'
import type { HeldJob, JobEnd, JobServer, ServerWorker, StoredJob, Verdict } from './job-server.ts'
import { ABANDONED, ownerAndData, shown, untilGone } from './owner.ts'
import type { Refusal } from './waiter.ts'

/** Why a worker ends a job that somebody takes back, and one that another worker has been given. */
const TAKEN_BACK = 'it was taken back'
const LOST = 'another worker has it'

/** Serves the queue of a server. Ends jobs that are taken back, and jobs that another worker has been given. */
export async function serve(server: JobServer, options: WorkOptions): Promise<void> {
  const { signal } = options
  if (signal.aborted) return
  // The signal may be aborted before events are heard.
  const stopped = once(signal, 'abort')
  let worker: ServerWorker | undefined
  await using _events = await server.listen({ cancelled: (id) => void worker?.cancel(id, TAKEN_BACK) })
  worker = openWorker(server, options)
  try {
    await Promise.race([stopped, server.lost])
    await Promise.race([worker.finish(), server.lost])
  } finally {
    // Either all jobs are finished, or the server is lost, and then other workers will run the jobs still in hand.
    await worker.leave()
  }
}

function openWorker(server: JobServer, options: WorkOptions): ServerWorker {
  const { concurrency, tell = () => {} } = options
  /** The run of each job that is in hand. */
  const inHand = new Map<string, AbortController>()
  const worker: ServerWorker = server.work({
    concurrency,
    async run(job, ended) {
      const earlier = inHand.get(job.id)
      if (earlier !== undefined) {
        // This worker had lost the job, and has it again before its first run has ended. That one must end first.
        earlier.abort(LOST)
        return { state: 'returned', pauseMs: RETRY_PAUSE_MS }
      }
      const own = new AbortController()
      inHand.set(job.id, own)
      try {
        return await runWatched(server, options, job, own, ended)
      } finally {
        inHand.delete(job.id)
      }
    },
    started: (job) => tell({ job: shown(job), state: 'started' }),
    settled: (job, end) => tellEnd(tell, job, end),
    lost: (id) => void worker.cancel(id, LOST),
  })
  return worker
}

/** Runs a job until its end, or until `ended` or `own` is aborted. The latter is when its owner is gone. */
async function runWatched(
  server: JobServer,
  options: WorkOptions,
  job: HeldJob,
  own: AbortController,
  ended: AbortSignal,
): Promise<Verdict> {
  using watch = await watchOwner(server, job, () => own.abort(ABANDONED))
  if (!watch.alive) return { state: 'dropped', reason: ABANDONED }
  return await runOnce(server, options, job, AbortSignal.any([own.signal, ended]))
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

/**
 * A job that nobody waits for is dropped. Any other one is given back: if another worker has it, the server will not
 * have this verdict; and if this one has it anew, it runs again.
 */
function verdictOfEnded(reason: unknown): Verdict {
  if (reason === TAKEN_BACK || reason === ABANDONED) return { state: 'dropped', reason }
  return { state: 'returned', pauseMs: 0 }
}

function tellEnd(tell: NonNullable<WorkOptions['tell']>, stored: StoredJob, end: JobEnd): void {
  const job = shown(stored)
  tell(end.state === 'dropped' ? { job, state: 'cancelled', reason: end.reason } : { job, ...end })
}
