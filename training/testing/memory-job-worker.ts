import { errorMessage } from '../../configs/user-error.ts'
import { ATTEMPTS, RETRY_PAUSE_MS } from '../queue/job-queue.ts'
import {
  LOCK_MS,
  type HeldJob,
  type JobEnd,
  type ServerWorker,
  type Verdict,
  type WorkerRules,
} from '../queue/shared/job-server.ts'
import type { MemoryConnection } from './memory-connection.ts'
import { ScriptError, type MemoryJob } from './memory-jobs.ts'

/** Those of `bullmq/worker.ts`, and what BullMQ makes of them. */
const LOOK_EVERY_MS = 1_000
const LOST_WORKERS = 20
/** How long an idle worker waits before it looks for a job without being told, ms. */
const IDLE_MS = 5_000

/** Works as the worker of BullMQ does. One difference: it takes the next job in a step of its own. */
export function openMemoryWorker(connection: MemoryConnection, rules: WorkerRules): ServerWorker {
  return new MemoryWorker(connection, rules)
}

class MemoryWorker implements ServerWorker {
  readonly #connection: MemoryConnection
  readonly #rules: WorkerRules
  readonly #closing = new AbortController()
  readonly #slots: Promise<unknown>
  #tokens = 0
  #left = false

  constructor(connection: MemoryConnection, rules: WorkerRules) {
    this.#connection = connection
    this.#rules = rules
    connection.jobs.workers.add(this)
    this.#slots = Promise.all(Array.from({ length: rules.concurrency }, () => this.#serve()))
    void this.#lookForSilent()
  }

  async finish(): Promise<void> {
    this.#closing.abort()
    await this.#slots
    this.#connection.jobs.workers.delete(this)
  }

  async leave(): Promise<void> {
    this.#left = true
    this.#closing.abort()
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
    const { call, jobs } = this.#connection
    const held: HeldJob = {
      id,
      kind,
      content,
      say: (said) => call('say', () => jobs.say(id, said)),
      renew: () => call('extend lock', () => jobs.extend(id, token, LOCK_MS)),
    }
    this.#rules.started(held)
    const verdict = deferred === undefined ? await this.#run(held, token) : failed(deferred)
    if (!this.#left) await this.#report(job, token, verdict)
  }

  async #run(job: HeldJob, token: string): Promise<Verdict> {
    const { call, jobs } = this.#connection
    try {
      const verdict = await this.#rules.run(job)
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
