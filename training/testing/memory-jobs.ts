import type { StoredJob } from '../queue/shared/job-server.ts'

/** A job as the server keeps it, with what the scripts of BullMQ keep of it. */
export interface MemoryJob extends StoredJob {
  place: 'waiting' | 'delayed' | 'active' | 'completed' | 'failed'
  /** Attempts that have failed. */
  failures: number
  /** How often its worker was lost. */
  losses: number
  /** Why the next worker that takes it must end it. */
  deferred?: string
  /** When a delayed job is offered again, EpochMs. */
  until: number
  lock?: { token: string; until: number }
  result?: unknown
  reason?: string
}

export type MemoryEvent = { name: 'ended' | 'cancelled'; id: string } | { name: 'progress'; id: string; said: unknown }

/** A call that the server refuses, as a script of BullMQ does. No failure of the network, so nobody sends it again. */
export class ScriptError extends Error {}

/** What happened to a job at the server, for whoever watches the server from outside. */
export type Witnessed =
  | { what: 'added'; job: MemoryJob }
  | { what: 'taken'; job: MemoryJob; token: string }
  | { what: 'removed'; job: MemoryJob; by: string }
  | { what: 'completed' | 'retried' | 'failed' | 'dropped' | 'returned'; job: MemoryJob; token: string }

/**
 * A job server in memory: its state, and its commands, each of which happens at once. They do what the scripts of
 * BullMQ do, in as far as `training/queue` uses them.
 */
export class MemoryJobs {
  /** By id. */
  readonly jobs = new Map<string, MemoryJob>()
  readonly listeners = new Set<(event: MemoryEvent) => void>()
  readonly workers = new Set<object>()
  /** Called when the server goes away for good. */
  readonly onGone = new Set<() => void>()
  /** Rises when the server comes back empty. */
  session = 0
  gone = false
  /** Resolves when there may be a job to take. */
  changed: Promise<void>
  witness: (seen: Witnessed) => void = () => {}
  /** When the key of each owner runs out. */
  readonly #owners = new Map<string, number>()
  /** When the key of an owner was missing last, by the count of commands, though the owner had come before. */
  readonly #missed = new Map<string, number>()
  #commands = 0
  /** Ids of waiting jobs, the next one first. */
  #waiting: string[] = []
  /** Jobs that were active at the last look for silent workers, and whose lock has not been renewed since. */
  #suspects = new Set<string>()
  #nextLook = -Infinity
  #ring: () => void
  readonly #now: () => number

  constructor(now: () => number) {
    this.#now = now
    ;({ promise: this.changed, resolve: this.#ring } = Promise.withResolvers<void>())
  }

  add(job: StoredJob): void {
    if (this.jobs.has(job.id)) return
    const added: MemoryJob = { ...sent(job), place: 'waiting', failures: 0, losses: 0, until: 0 }
    this.jobs.set(job.id, added)
    this.#commands++
    this.#waiting.push(job.id)
    this.witness({ what: 'added', job: added })
    this.#changed()
  }

  /** The next job, held by `token` for `lockMs`. */
  take(token: string, lockMs: number): MemoryJob | undefined {
    this.#promote()
    const id = this.#waiting.shift()
    if (id === undefined) return undefined
    const job = this.#existing(id)
    this.#commands++
    job.place = 'active'
    job.lock = { token, until: this.#now() + lockMs }
    this.witness({ what: 'taken', job, token })
    return { ...job }
  }

  /** When the next delayed job is offered again. */
  nextDelayed(): number {
    return [...this.jobs.values()].reduce((next, { place, until }) => Math.min(next, offered(place, until)), Infinity)
  }

  /** @returns false when the lock has run out, or is another's. */
  extend(id: string, token: string, lockMs: number): boolean {
    const job = this.jobs.get(id)
    if (job === undefined || this.#lockOf(job) !== token) return false
    job.lock = { token, until: this.#now() + lockMs }
    this.#suspects.delete(id)
    return true
  }

  complete(id: string, token: string, result: unknown): void {
    const job = this.#release(id, token)
    Object.assign(job, { place: 'completed', result: sent(result) })
    this.witness({ what: 'completed', job, token })
    this.publish({ name: 'ended', id })
  }

  /** Counts a failure. With a pause, the job is offered again after it; without, it has failed for good. */
  fail(id: string, token: string, reason: string, pauseMs?: number): void {
    const job = this.#release(id, token)
    job.failures++
    job.reason = reason
    if (pauseMs === undefined) {
      job.place = 'failed'
      delete job.deferred
      this.publish({ name: 'ended', id })
    } else this.#delay(job, pauseMs)
    this.witness({ what: pauseMs === undefined ? 'failed' : 'retried', job, token })
  }

  /** Ends the job, and removes it in the same step. */
  drop(id: string, token: string, reason: string): void {
    const job = this.#release(id, token)
    this.jobs.delete(id)
    this.witness({ what: 'dropped', job: { ...job, reason }, token })
    this.publish({ name: 'ended', id })
  }

  /** Offers the job again after a pause. That is no failure. */
  giveBack(id: string, token: string, pauseMs: number): void {
    const job = this.#release(id, token)
    this.#delay(job, pauseMs)
    this.witness({ what: 'returned', job, token })
  }

  /**
   * Offers the jobs again whose lock has run out, if they were active at the last look too. Nothing when somebody has
   * looked less than `everyMs` ago.
   */
  returnStalled(mostLosses: number, everyMs: number): void {
    if (this.#now() < this.#nextLook) return
    this.#nextLook = this.#now() + everyMs
    for (const id of this.#suspects) {
      const job = this.jobs.get(id)
      if (job?.place !== 'active' || this.#lockOf(job) !== undefined) continue
      if (++job.losses > mostLosses) job.deferred = 'its worker was lost each time while it ran'
      job.place = 'waiting'
      this.#waiting.unshift(id)
      this.#changed()
    }
    this.#suspects = new Set([...this.jobs.values()].flatMap(({ place, id }) => (place === 'active' ? [id] : [])))
  }

  /** Whoever says it need not hold the job. */
  say(id: string, said: unknown): void {
    this.#existing(id)
    this.publish({ name: 'progress', id, said: sent(said) })
  }

  /** @param by the process that wants it. @returns false when a worker holds it. */
  remove(id: string, by: string): boolean {
    const job = this.jobs.get(id)
    if (job === undefined) return true
    if (this.#lockOf(job) !== undefined) return false
    this.jobs.delete(id)
    this.#waiting = this.#waiting.filter((other) => other !== id)
    this.witness({ what: 'removed', job, by })
    return true
  }

  renewOwner(id: string, ms: number): void {
    this.#commands++
    if (!this.isOwnerKnown(id)) this.#missed.set(id, this.#commands)
    this.#owners.set(id, this.#now() + ms)
  }

  isOwnerKnown(id: string): boolean {
    return this.#now() < (this.#owners.get(id) ?? -Infinity)
  }

  forgetOwner(id: string): void {
    this.#owners.delete(id)
  }

  /** How many commands have come that change jobs or owners. */
  get commands(): number {
    return this.#commands
  }

  /** Whether the key of an owner has been missing at some time after so many commands. */
  wasOwnerMissing(id: string, since: number): boolean {
    return !this.isOwnerKnown(id) || (this.#missed.get(id) ?? -Infinity) > since
  }

  publish(event: MemoryEvent): void {
    for (const listener of this.listeners) listener(event)
  }

  /** The server crashes and comes back empty. */
  forget(): void {
    this.session++
    this.jobs.clear()
    this.#owners.clear()
    this.#waiting = []
    this.#suspects.clear()
    this.#changed()
  }

  /** The server goes away for good. */
  goAway(): void {
    this.gone = true
    this.session++
    for (const hear of this.onGone) hear()
  }

  #promote(): void {
    for (const job of this.jobs.values()) {
      if (offered(job.place, job.until) > this.#now()) continue
      job.place = 'waiting'
      this.#waiting.push(job.id)
    }
  }

  #delay(job: MemoryJob, pauseMs: number): void {
    job.place = 'delayed'
    job.until = this.#now() + pauseMs
    this.#changed()
  }

  /** Takes the lock from an active job. */
  #release(id: string, token: string): MemoryJob {
    const job = this.#existing(id)
    const lock = this.#lockOf(job)
    if (lock !== token) throw new ScriptError(`${lock === undefined ? 'Missing lock' : 'Lock mismatch'} for job ${id}`)
    delete job.lock
    this.#suspects.delete(id)
    if (job.place !== 'active') throw new ScriptError(`Job ${id} is not in the active state`)
    return job
  }

  #existing(id: string): MemoryJob {
    const job = this.jobs.get(id)
    if (job === undefined) throw new ScriptError(`Missing key for job ${id}`)
    return job
  }

  /** The token that holds the job. */
  holder(id: string): string | undefined {
    const job = this.jobs.get(id)
    return job && this.#lockOf(job)
  }

  #lockOf({ lock }: MemoryJob): string | undefined {
    return lock !== undefined && this.#now() < lock.until ? lock.token : undefined
  }

  #changed(): void {
    this.#ring()
    ;({ promise: this.changed, resolve: this.#ring } = Promise.withResolvers<void>())
  }
}

/** A thing as it arrives at the other end. */
function sent<T>(thing: T): T {
  return JSON.parse(JSON.stringify(thing)) as T
}

function offered(place: MemoryJob['place'], until: number): number {
  return place === 'delayed' ? until : Infinity
}
