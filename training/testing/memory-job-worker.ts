import { errorMessage } from '../../configs/user-error.ts'
import { ATTEMPTS, RETRY_PAUSE_MS } from '../queue/job-queue.ts'
import type { HeldJob, JobEnd, ServerWorker, Verdict, WorkerRules } from '../queue/shared/job-server.ts'
import type { MemoryConnection } from './memory-connection.ts'
import { ScriptError, type MemoryJob } from './memory-jobs.ts'

/** Those of `bullmq/worker.ts`, and what BullMQ makes of them. */
const LOCK_MS = 3_000
const RENEW_MS = LOCK_MS / 2
const LOOK_EVERY_MS = 1_000
const LOST_WORKERS = 20
/** How long an idle worker waits before it looks for a job without being told, ms. */
const IDLE_MS = 5_000

/** A job that is run. */
interface Running {
  token: string
  /** When its lock was renewed last, EpochMs. */
  since: number
  ended: AbortController
}

/** Works as the worker of BullMQ does. One difference: it takes the next job in a step of its own. */
export function openMemoryWorker(connection: MemoryConnection, rules: WorkerRules): ServerWorker {
  return new MemoryWorker(connection, rules)
}

class MemoryWorker implements ServerWorker {
  readonly #connection: MemoryConnection
  readonly #rules: WorkerRules
  /** By the id of the job, as BullMQ has them: the second run of a job takes the place of the first. */
  readonly #running = new Map<string, Running>()
  readonly #closing = new AbortController()
  readonly #closed = new AbortController()
  readonly #slots: Promise<unknown>
  #tokens = 0
  #left = false

  constructor(connection: MemoryConnection, rules: WorkerRules) {
    this.#connection = connection
    this.#rules = rules
    connection.jobs.workers.add(this)
    this.#slots = Promise.all(Array.from({ length: rules.concurrency }, () => this.#serve()))
    void this.#renewLocks()
    void this.#lookForSilent()
  }

  cancel(id: string, reason: string): boolean {
    const running = this.#running.get(id)
    running?.ended.abort(reason)
    return running !== undefined
  }

  async finish(): Promise<void> {
    this.#closing.abort()
    await this.#slots
    this.#closed.abort()
    this.#connection.jobs.workers.delete(this)
  }

  async leave(): Promise<void> {
    this.#left = true
    this.#closing.abort()
    for (const { ended } of this.#running.values()) ended.abort('the job queue is gone')
    this.#closed.abort()
    this.#connection.jobs.workers.delete(this)
  }

  /** Takes jobs, one after the other. */
  async #serve(): Promise<void> {
    const { call, jobs, scheduler } = this.#connection
    const { signal } = this.#closing
    while (!signal.aborted) {
      const token = `${scheduler.name}:${this.#tokens++}`
      const changed = jobs.changed
      const job = await call('take', () => jobs.take(token, LOCK_MS))
      if (job !== undefined) await this.#process(job, token)
      else if (!signal.aborted) {
        const delayed = Math.max(1, jobs.nextDelayed() - scheduler.now())
        await scheduler.wait(Math.min(IDLE_MS, delayed), changed, signal)
      }
    }
  }

  async #process(job: MemoryJob, token: string): Promise<void> {
    const { id, kind, content, deferred } = job
    const { call, jobs, scheduler } = this.#connection
    const held: HeldJob = { id, kind, content, say: (said) => call('say', () => jobs.say(id, said)) }
    this.#rules.started(held)
    const ended = new AbortController()
    this.#running.set(id, { token, since: scheduler.now(), ended })
    const verdict = deferred === undefined ? await this.#run(held, token, ended.signal) : failed(deferred)
    this.#running.delete(id)
    if (!this.#left) await this.#report(job, token, verdict)
  }

  async #run(job: HeldJob, token: string, ended: AbortSignal): Promise<Verdict> {
    const { call, jobs } = this.#connection
    try {
      const verdict = await this.#rules.run(job, ended)
      if (verdict.state === 'returned') await call('return', () => jobs.giveBack(job.id, token, verdict.pauseMs))
      return verdict
    } catch (error) {
      return failed(errorMessage(error))
    }
  }

  async #report(job: MemoryJob, token: string, verdict: Verdict): Promise<void> {
    if (verdict.state === 'returned') return
    try {
      this.#rules.settled(job, await this.#settle(job, token, verdict))
    } catch (error) {
      if (!(error instanceof ScriptError)) throw error
      if (verdict.state !== 'done') return this.#connection.complain(error)
      await this.#report(job, token, failed(error.message))
    }
  }

  async #settle(
    { id, failures, deferred }: MemoryJob,
    token: string,
    verdict: Exclude<Verdict, { state: 'returned' }>,
  ): Promise<JobEnd> {
    const { call, jobs } = this.#connection
    if (verdict.state === 'done') {
      await call(`complete ${id}`, () => jobs.complete(id, token, verdict.result))
      return { state: 'done' }
    }
    const { state, reason } = verdict
    if (state === 'dropped') {
      await call(`fail ${id}, and drop it: ${reason}`, () => jobs.drop(id, token, reason))
      return { state, reason }
    }
    const again = deferred === undefined && failures + 1 < ATTEMPTS
    await call(`fail ${id}: ${reason}`, () => jobs.fail(id, token, reason, again ? RETRY_PAUSE_MS : undefined))
    return { state, reason, again }
  }

  async #renewLocks(): Promise<void> {
    const { call, jobs, scheduler, sleep } = this.#connection
    const { signal } = this.#closed
    for (;;) {
      await sleep(RENEW_MS / 2, signal).catch(() => undefined)
      if (signal.aborted) return
      const old = [...this.#running].filter(([, { since }]) => since + RENEW_MS / 2 < scheduler.now())
      if (old.length === 0) continue
      for (const [, running] of old) running.since = scheduler.now()
      const held = old.map(([id, { token }]) => ({ id, token }))
      for (const id of await call('extend locks', () => jobs.extend(held, LOCK_MS))) this.#rules.lost(id)
    }
  }

  async #lookForSilent(): Promise<void> {
    const { call, jobs, sleep } = this.#connection
    const { signal } = this.#closing
    while (!signal.aborted) {
      await call('look for silent workers', () => jobs.returnStalled(LOST_WORKERS, LOOK_EVERY_MS))
      await sleep(LOOK_EVERY_MS, signal).catch(() => undefined)
    }
  }
}

function failed(reason: string): Verdict {
  return { state: 'failed', reason }
}
