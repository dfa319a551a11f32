import { z } from 'zod'
import { jobCancelled, jobFailed, type Job, type SubmitOptions } from '../job-queue.ts'
import type { JobServer } from './job-server.ts'
import { every, withOwner, type LivingOwner } from './owner.ts'

/**
 * How often the waiter looks at the jobs themselves, ms. It must not rely on events alone: a server that crashes may
 * lose those of its last second.
 */
const LOOK_EVERY_MS = 2_000
/** Progress of a job that a worker gives back. */
const refusal = z.object({ refused: z.string() })
export type Refusal = z.output<typeof refusal>

export interface Waiter {
  /** Adds a job and resolves to its worker's answer. The job is then removed from the queue. */
  wait(job: Job, options: SubmitOptions): Promise<unknown>
  close(): Promise<void>
}

/** A job whose end somebody waits for. */
interface Pending {
  job: Job
  report: (share: number) => void
  refused: (reason: string) => void
  resolve(answer: unknown): void
  reject(error: unknown): void
  /** `under way`: the job is being looked at. `again`: an event came meanwhile, so another look must follow. */
  look: 'none' | 'under way' | 'again'
  /** Resolves when nobody adds the job at this moment. */
  added: Promise<unknown>
  takenBack: boolean
}

/** The server as the owner of jobs uses it. */
interface OwnJobs {
  server: JobServer
  owner: LivingOwner
}

/**
 * Waits for jobs by the events of their server and, in case an event is lost, by looking at them now and then.
 *
 * @param owner who waits. The waiter disposes of it.
 */
export async function openWaiter(server: JobServer, owner: LivingOwner): Promise<Waiter> {
  const pending = new Map<string, Pending>()
  const tidying = new Set<Promise<unknown>>()
  const tidy = ({ job: { id }, added }: Pending): void => {
    // Else it could be added once more after it was removed.
    const done = Promise.race([added.then(() => server.remove(id)), server.lost])
      .catch((error: Error) => server.complain(error))
      .finally(() => tidying.delete(done))
    tidying.add(done)
  }
  const own = { server, owner }
  const look = (id: string): void =>
    void lookAt(own, pending, tidy, id).catch((error: unknown) => pending.get(id)?.reject(error))
  const events = await server.listen({
    ended: look,
    progress: (id, said) => {
      if (typeof said === 'number') pending.get(id)?.report(said)
      else pending.get(id)?.refused(refusal.parse(said).refused)
    },
  })
  const over = new AbortController()
  void every(server, LOOK_EVERY_MS, over.signal, () => [...pending.keys()].forEach(look))
  return {
    wait: (job, options) => wait(own, pending, over.signal, job, options),
    async close() {
      over.abort()
      await Promise.all(tidying)
      await owner[Symbol.asyncDispose]()
      await events[Symbol.asyncDispose]()
    },
  }
}

async function wait(
  own: OwnJobs,
  pending: Map<string, Pending>,
  closed: AbortSignal,
  job: Job,
  { report = () => {}, refused = () => {}, signal }: SubmitOptions,
): Promise<unknown> {
  if (signal?.aborted === true) throw jobCancelled(job)
  if (pending.has(job.id)) throw new RangeError(`Job ${job.id} is in the queue already`)
  const { promise, resolve, reject } = Promise.withResolvers<unknown>()
  const entry: Pending = {
    job,
    report,
    refused,
    resolve,
    reject,
    look: 'none',
    added: Promise.resolve(),
    takenBack: false,
  }
  const cancel = (): void => {
    entry.takenBack = true
    pending.delete(job.id)
    takeBack(own.server, entry, closed).then(() => reject(jobCancelled(job)), reject)
  }
  signal?.addEventListener('abort', cancel, { once: true })
  pending.set(job.id, entry)
  try {
    // Both at once: a job may be taken back while it is added, and its rejection must have a listener by then.
    const [answer] = await Promise.all([promise, add(own, entry)])
    return answer
  } finally {
    pending.delete(job.id)
    signal?.removeEventListener('abort', cancel)
  }
}

/**
 * Removes a job, or has the worker that holds it end it. Resolves when that was asked for once. An event can be lost,
 * and the worker too, so it is asked for until the job is gone or `closed` is aborted: then its owner will be gone.
 */
async function takeBack(server: JobServer, { job: { id }, added }: Pending, closed: AbortSignal): Promise<void> {
  // Else it could be added after it was removed.
  await added
  const ask = async (): Promise<boolean> => {
    const removed = await server.remove(id)
    if (!removed) await server.cancel(id)
    return removed
  }
  const askOn = async (): Promise<void> => {
    do await server.sleep(LOOK_EVERY_MS, closed)
    while (!(await ask()))
  }
  if (!(await ask())) askOn().catch((error: Error) => closed.aborted || server.complain(error))
}

/**
 * Looks whether a job has ended, one look at a time. If so, starts its removal first and tells the waiter second: once
 * told, the waiter may close the queue.
 */
async function lookAt(
  own: OwnJobs,
  pending: Map<string, Pending>,
  tidy: (entry: Pending) => void,
  id: string,
): Promise<void> {
  const entry = pending.get(id)
  if (entry === undefined) return
  if (entry.look !== 'none') {
    entry.look = 'again'
    return
  }
  try {
    do {
      entry.look = 'under way'
      const tell = await ending(own, entry)
      if (tell === undefined) continue
      pending.delete(id)
      tidy(entry)
      tell()
      return
      // An event that came during this look may tell of something that the look was too early to see.
    } while (entry.look === ('again' as Pending['look']))
  } finally {
    entry.look = 'none'
  }
}

/** Adds a job, unless the queue already has it. Its owner must be known first, or a worker would find it abandoned. */
function add({ server, owner }: OwnJobs, entry: Pending): Promise<void> {
  const { kind, id, data } = entry.job
  const content = withOwner({ id: owner.id, everyMs: owner.everyMs }, data)
  const added = owner.known().then(() => server.add({ kind, id, content }))
  entry.added = Promise.allSettled([entry.added, added])
  return added
}

/** If the job has ended, a function that tells the waiter; otherwise undefined. */
async function ending(own: OwnJobs, entry: Pending): Promise<(() => void) | undefined> {
  const { job, resolve, reject } = entry
  const standing = await own.server.find(job.id)
  // A server that crashed and lost its last second may not have the job any more. And whoever took this process for
  // gone has removed it.
  if (standing === undefined && !entry.takenBack) await add(own, entry)
  if (standing === undefined || standing.state === 'open') return undefined
  if (standing.state === 'completed') return () => resolve(standing.result)
  const { reason } = standing
  return () => reject(jobFailed(job, reason))
}
