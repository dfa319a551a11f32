import type { SimulatedProcess } from '../../datasets/testing/simulation.ts'
import { ATTEMPTS } from '../queue/job-queue.ts'
import { ABANDONED, ownerAndData } from '../queue/shared/owner.ts'
import type { MemoryJob, MemoryJobs, Witnessed } from './memory-jobs.ts'

/** Reasons of attempts that failed by themselves. */
export const NO_GOOD = 'no good'
/** How long it takes at most until a worker hears that it has lost a job, or that one was taken back, ms. */
const HEARD_MS = 7_000
/** How long it takes at most until it sees that an owner is gone, ms, besides two signs of life. */
const SEEN_MS = 6_000

/** What a command asked for. */
export interface AskedJob {
  id: string
  command: SimulatedProcess
  /** How often it fails before it is done. */
  failures: number
  heartbeatMs: number
  /** When it was taken back, EpochMs. */
  takenBack?: number
  /** What the command was told of it. */
  told?: { value: unknown } | { error: string }
}

/** One run of a job in a worker. */
export interface JobRun {
  number: number
  id: string
  process: SimulatedProcess
  token: string
  /** Since when its worker has not held the job, and since when nobody has waited for it, EpochMs. */
  since: { notHeld: number; takenBack: number; abandoned: number }
}

/** A job from when it was added until it was removed or forgotten. */
interface Addition {
  /** When it was taken last, by the count of the server's commands. */
  taken: number
  token?: string
  /** How often each has happened. */
  takes: number
  failures: number
  returns: number
}

/**
 * Watches a job server and those who use it, and throws where a promise of the queue is broken:
 *
 * - A job ends once for its owner, with the result of the run that held it last, or with the reason of its failure.
 * - It uses up its attempts by its own failures alone.
 * - A job whose owner waits is never removed, and never ended for another reason.
 * - An owner that was never stopped is never taken for gone; and where all are healthy, no job is taken twice.
 * - Nobody goes on for long with a job that he has lost, or that nobody waits for.
 */
export class QueuePromises {
  broken: Error | undefined
  /** By id. */
  readonly asked = new Map<string, AskedJob>()
  readonly runs: JobRun[] = []
  #forgotten = false
  /** Tokens of taken jobs that are not run yet, by process and id. */
  readonly #tokens = new Map<string, string>()
  readonly #additions = new Map<string, Addition>()
  /** Runs whose results the server has accepted. */
  readonly #results = new Set<number>()
  readonly #frozen = new Set<SimulatedProcess>()
  readonly #jobs: MemoryJobs
  readonly #now: () => number
  readonly #healthy: boolean

  /** @param healthy whether nobody dies or is stopped, and the network never fails. */
  constructor(jobs: MemoryJobs, now: () => number, healthy: boolean) {
    this.#healthy = healthy
    this.#jobs = jobs
    this.#now = now
    jobs.witness = (seen) => this.#guarded(() => this.#see(seen))
  }

  /** The server came back empty. */
  forgot(): void {
    this.#forgotten = true
    this.#additions.clear()
  }

  froze(process: SimulatedProcess): void {
    this.#frozen.add(process)
  }

  begin(process: SimulatedProcess, id: string): JobRun {
    const token = this.#tokens.get(`${process.name} ${id}`) ?? ''
    const run = {
      number: this.runs.length,
      id,
      process,
      token,
      since: { notHeld: Infinity, takenBack: Infinity, abandoned: Infinity },
    }
    this.runs.push(run)
    this.#guarded(() => check(token !== '', `${process.name} runs ${id}, which it has not taken`))
    return run
  }

  /** A run goes on. */
  goesOn(run: JobRun): void {
    const { since, id, process } = run
    const job = this.#jobs.jobs.get(id)
    const owner = job && ownerAndData(job.content).owner
    const known = owner !== undefined && this.#jobs.isOwnerKnown(owner.id)
    const { takenBack, command, heartbeatMs } = this.#job(id)
    const sinceWhen = (holds: boolean, before: number): number => (holds ? Math.min(before, this.#now()) : Infinity)
    since.notHeld = sinceWhen(this.#jobs.holder(id) !== run.token, since.notHeld)
    since.abandoned = sinceWhen(!known, since.abandoned)
    // A command that is gone takes nothing back. That it is gone is seen instead.
    since.takenBack = sinceWhen(takenBack !== undefined && known && !command.dead, since.takenBack)
    const goesOn = (from: number): number => this.#now() - Math.max(from, process.frozenUntil, command.frozenUntil)
    this.#guarded(() => {
      check(goesOn(since.notHeld) < HEARD_MS, `${process.name} goes on with ${id}, which it has lost`)
      check(goesOn(since.takenBack) < HEARD_MS, `${process.name} goes on with ${id}, which was taken back`)
      const seenMs = SEEN_MS + 2 * heartbeatMs
      check(goesOn(since.abandoned) < seenMs, `${process.name} goes on with ${id}, whose owner is gone`)
    })
  }

  /** Whether this run has to fail. */
  mustFail({ id }: JobRun): boolean {
    return (this.#additions.get(id)?.failures ?? 0) < this.#job(id).failures
  }

  told(asked: AskedJob, told: NonNullable<AskedJob['told']>): void {
    this.#guarded(() => {
      check(asked.told === undefined, `${asked.id} has ended twice`)
      asked.told = told
      if ('error' in told) this.#expectFailure(asked, told.error)
      else this.#expectResult(asked, told.value)
    })
  }

  /** When all has ended: nothing is left. */
  expectEnd(): void {
    const left = [...this.#jobs.jobs.values()].map(({ id, place }) => `${id} ${place}`)
    check(left.length === 0, `Jobs are left: ${left.join(', ')}`)
  }

  #expectResult({ id, failures }: AskedJob, value: unknown): void {
    const { number } = value as { number: number }
    const run = this.runs[number]
    check(run?.id === id, `${id} has the result of ${run?.id}`)
    check(failures < ATTEMPTS, `${id} is done, though it fails every time`)
    check(this.#results.has(number), `${id} has a result that was never accepted`)
  }

  #expectFailure({ id, failures, takenBack }: AskedJob, error: string): void {
    if (/was taken back/.test(error)) return check(takenBack !== undefined, `${id} ended as taken back: ${error}`)
    if (/is gone/.test(error)) return check(this.#jobs.gone, `${id} ended as if the server were gone`)
    check(error.includes(NO_GOOD) && failures >= ATTEMPTS, `${id} should have been done: ${error}`)
  }

  #see(seen: Witnessed): void {
    const { what, job } = seen
    const { id } = job
    if (what === 'added') {
      check(this.#job(id).told === undefined, `${id} is added, though its command has been told of its end`)
      this.#additions.set(id, { taken: Infinity, takes: 0, failures: 0, returns: 0 })
      return
    }
    const addition = this.#additions.get(id)
    if (addition === undefined) throw new Error(`${id} was never added`)
    if (what === 'taken') {
      Object.assign(addition, { token: seen.token, taken: this.#jobs.commands })
      const { failures, returns } = addition
      check(!this.#healthy || addition.takes++ === failures + returns, `${id} is taken once more, for no reason`)
      this.#tokens.set(`${seen.token?.split(':')[0]} ${id}`, seen.token ?? '')
    } else if (what === 'removed') {
      this.#additions.delete(id)
      this.#expectRemovable(job, seen.by)
    } else {
      check(
        seen.token === addition.token,
        `${id} is ${what} by ${seen.token}, and ${addition.token} has taken it since`,
      )
      if (what === 'completed') this.#results.add((job.result as { number: number }).number)
      if (what === 'retried' || what === 'failed') this.#expectFair(job, addition, what)
      if (what === 'returned') addition.returns++
      if (what === 'dropped') {
        this.#additions.delete(id)
        this.#expectUnwanted(job, addition)
      }
    }
  }

  /**
   * A job may go when its command has read its end, when nobody waits for it, or when its owner seemed gone. Between
   * the look at the owner and the removal it may have been added again. Then it goes all the same, and its owner, who
   * looks for it, adds it once more.
   */
  #expectRemovable(job: MemoryJob, by: string): void {
    const { id, place } = job
    const ended = place === 'completed' || place === 'failed'
    if (this.#waits(id) && !(ended && by === this.#job(id).command.name)) this.#expectGone(job, -Infinity, 'removed')
  }

  /** A failure is the job's own, and the last one ends it. */
  #expectFair({ id, reason = '' }: MemoryJob, addition: Addition, what: 'retried' | 'failed'): void {
    check(reason === NO_GOOD, `${id} ${what}: ${reason}`)
    addition.failures++
    check(addition.failures >= ATTEMPTS === (what === 'failed'), `${id} ${what} after ${addition.failures} failures`)
  }

  /** Nobody waits for the job, or its owner has seemed gone since it was taken. */
  #expectUnwanted(job: MemoryJob, { taken }: Addition): void {
    const { id, reason } = job
    if (reason !== ABANDONED) check(this.#job(id).takenBack !== undefined, `${id} was dropped: ${reason}`)
    else if (this.#waits(id)) this.#expectGone(job, taken, 'dropped')
  }

  /** The owner of a job was missing at some time after so many commands, and had reason to be. */
  #expectGone(job: MemoryJob, since: number, what: string): void {
    const owner = ownerAndData(job.content).owner?.id ?? ''
    check(this.#jobs.wasOwnerMissing(owner, since), `${job.id} was ${what}, and its owner was never missing`)
    const stopped = this.#frozen.has(this.#job(job.id).command) || this.#forgotten
    check(stopped, `${job.id} was ${what}, and its owner was never stopped`)
  }

  /** Whether the command still waits for the job. */
  #waits(id: string): boolean {
    const { command, told, takenBack } = this.#job(id)
    return !command.dead && told === undefined && takenBack === undefined
  }

  #job(id: string): AskedJob {
    const asked = this.asked.get(id)
    if (asked === undefined) throw new Error(`Nobody asked for ${id}`)
    return asked
  }

  /** What breaks inside of a step must not become an error of the code that is watched. */
  #guarded(watch: () => void): void {
    try {
      watch()
    } catch (error) {
      this.broken ??= error as Error
    }
  }
}

function check(holds: boolean, otherwise: string): void {
  if (!holds) throw new Error(otherwise)
}
