import { z } from 'zod'
import { errorMessage, UserError } from '../../configs/user-error.ts'
import { randomStream, type Random } from '../../datasets/random/random.ts'
import { Simulation, type SimulatedProcess } from '../../datasets/testing/simulation.ts'
import { JobRefused, type Job, type JobKind, type RunJob } from '../queue/job-queue.ts'
import { openSharedQueue } from '../queue/shared/queue.ts'
import { openMemoryJobServer } from './memory-job-server.ts'
import { MemoryJobs } from './memory-jobs.ts'
import { NO_GOOD, QueuePromises, type AskedJob } from './queue-promises.ts'
import { CALM, isHealthy, queueWeather, type QueueWeather } from './queue-weather.ts'

/** After so much time nothing goes wrong any more, and after so much more all must have ended, ms. */
const TROUBLE_MS = 40_000
const QUIET_MS = 300_000
/** Longer than any worker, lock and owner that is gone is waited for, ms. */
const SETTLE_MS = 45_000
const CHUNK_MS = 400

const training: JobKind<{ ms: number }, { number: number }> = {
  name: 'train',
  data: z.object({ ms: z.number() }),
  result: z.object({ number: z.number() }),
}

/** A process that works or waits at the queue. */
interface Party {
  process: SimulatedProcess
  kind: 'worker' | 'foreign' | 'command'
  over: boolean
  /** Of a worker: ends its work. */
  stop: AbortController
  /** Of a command: its jobs, and what takes each back. */
  jobs: { asked: AskedJob; back: AbortController }[]
}

/**
 * Commands and workers at one queue under one schedule, as `seed` decides: they are killed between any two steps,
 * stopped for a time, and cut off from a server that may come back empty or not at all. Jobs fail, are refused, and are
 * taken back. Then all is quiet, one more command comes, and every promise must have held (`QueuePromises`). Throws
 * where one has not.
 *
 * @returns the number of steps until all was quiet.
 */
export async function simulateQueue(seed: number, weather?: Partial<QueueWeather>, trace?: string[]): Promise<number> {
  const schedule = new Schedule(seed, weather, trace)
  return schedule.run()
}

class Schedule {
  #steps = 0
  readonly #random: Random
  readonly #weather: QueueWeather
  readonly #simulation: Simulation
  readonly #jobs: MemoryJobs
  readonly #promises: QueuePromises
  readonly #parties: Party[] = []
  #started = 0
  #commands = 0

  constructor(seed: number, weather: Partial<QueueWeather> = {}, trace?: string[]) {
    this.#random = randomStream(seed)
    this.#weather = { ...queueWeather(this.#random), ...weather }
    this.#simulation = new Simulation(this.#random, 1_000, trace, { timed: true })
    const { refused, unanswered } = this.#weather
    Object.assign(this.#simulation.rates, { refused, unanswered })
    this.#simulation.tell(JSON.stringify(this.#weather))
    this.#jobs = new MemoryJobs(() => this.#simulation.now)
    this.#promises = new QueuePromises(this.#jobs, () => this.#simulation.now, isHealthy(this.#weather))
  }

  async run(): Promise<number> {
    const end = this.#simulation.now + TROUBLE_MS
    while (this.#simulation.now < end && (this.#commands < this.#weather.commands || this.#running('command') > 0)) {
      this.#act()
      await this.#step()
    }
    const steps = this.#steps
    this.#calm()
    await this.#until('all commands have ended', () => this.#running('command') === 0)
    if (this.#jobs.gone) await this.#until('all workers have ended', () => this.#parties.every(({ over }) => over))
    else await this.#last()
    return steps
  }

  /** Two more commands, long after all others: the second finds nothing. */
  async #last(): Promise<void> {
    const later = this.#simulation.now + SETTLE_MS
    await this.#until('time has passed', () => this.#simulation.now >= later)
    this.#startCommand()
    await this.#until('the last command has ended', () => this.#running('command') === 0)
    for (const { stop } of this.#parties) stop.abort()
    await this.#until('all workers have ended', () => this.#parties.every(({ over }) => over))
    this.#promises.expectEnd()
  }

  #calm(): void {
    Object.assign(this.#weather, CALM)
    Object.assign(this.#simulation.rates, { refused: 0, unanswered: 0 })
    delete this.#weather.killAt
    // Whoever runs may have been told to stop.
    this.#start('worker')
  }

  async #until(what: string, reached: () => boolean): Promise<void> {
    const latest = this.#simulation.now + QUIET_MS
    while (!reached()) {
      await this.#step()
      if (this.#simulation.now > latest) throw new Error(`In vain it is waited until ${what}`)
    }
  }

  async #step(): Promise<void> {
    const happened = await this.#simulation.step()
    if (this.#promises.broken !== undefined) throw this.#promises.broken
    if (!happened && this.#parties.some(({ over }) => !over)) throw new Error('Everybody waits for nothing')
    this.#steps++
  }

  #running(kind: Party['kind']): number {
    return this.#parties.filter((party) => party.kind === kind && !party.over).length
  }

  /** What comes from outside between two steps. */
  #act(): void {
    const { workers, commands, foreign, killAt, goAway, forget } = this.#weather
    if (this.#commands < commands && this.#chance(this.#running('command') === 0 ? 0.2 : 0.01)) this.#startCommand()
    if (this.#running('worker') < workers && this.#chance(0.05)) this.#start('worker')
    if (foreign && this.#running('foreign') === 0 && this.#chance(0.02)) this.#start('foreign')
    if (this.#chance(forget) && !this.#jobs.gone) {
      this.#simulation.tell('the server comes back empty')
      this.#promises.forgot()
      this.#jobs.forget()
    }
    if (this.#chance(goAway) && !this.#jobs.gone) {
      this.#simulation.tell('the server goes away')
      this.#jobs.goAway()
    }
    const living = this.#parties.filter(({ over }) => !over)
    if (living.length > 0) this.#strike(living[this.#random.integer(living.length)])
    if (killAt?.step === this.#steps) {
      const victim = living.find(({ kind }) => kind === killAt.of)
      if (victim !== undefined) this.#kill(victim)
    }
  }

  #strike(victim: Party): void {
    const { process, stop, jobs } = victim
    // The moments at which the end of a job is on its way are the worst.
    const worse = ['complete', 'fail', 'take', 'return'].some((name) => this.#simulation.busy(process, name)) ? 4 : 1
    if (this.#chance(worse * this.#weather.kill)) return this.#kill(victim)
    if (this.#chance(worse * this.#weather.freeze)) {
      const ms = this.#random.integer(20_000)
      this.#simulation.tell(`${process.name} is stopped for ${ms} ms`)
      this.#promises.froze(process)
      process.freeze(ms)
    }
    if (victim.kind !== 'command' && this.#chance(this.#weather.stop)) process.notify('signal', () => stop.abort())
    for (const { asked, back } of jobs) {
      if (!this.#chance(this.#weather.takeBack)) continue
      process.notify(`taking back of ${asked.id}`, () => {
        if (asked.told === undefined) asked.takenBack ??= this.#simulation.now
        back.abort()
      })
    }
  }

  #kill(victim: Party): void {
    this.#simulation.tell(`kill of ${victim.process.name}`)
    victim.over = true
    victim.process.kill()
  }

  #chance(rate: number): boolean {
    return rate > 0 && this.#random.uniform() < rate
  }

  #start(kind: Party['kind'], jobs: Party['jobs'] = [], process = this.#process(kind)): void {
    const party: Party = { process, kind, over: false, stop: new AbortController(), jobs }
    this.#parties.push(party)
    const life = kind === 'command' ? this.#command(party) : this.#worker(party)
    life.then(
      () => (party.over = true),
      (error: unknown) => {
        party.over = true
        if (!this.#jobs.gone) this.#promises.broken ??= new Error(`${process.name} has failed`, { cause: error })
      },
    )
  }

  #process(kind: Party['kind']): SimulatedProcess {
    return this.#simulation.process(`${kind} ${++this.#started}`)
  }

  #startCommand(): void {
    const process = this.#process('command')
    const { heartbeatMs } = this.#weather
    const jobs = Array.from({ length: 1 + this.#random.integer(this.#weather.jobs) }, (_, number) => {
      const failures =
        this.#weather.failures > 0 ? Math.max(0, this.#random.integer(2 * this.#weather.failures) - 2) : 0
      const asked: AskedJob = { id: `${this.#commands}-${number}`, command: process, failures, heartbeatMs }
      this.#promises.asked.set(asked.id, asked)
      return { asked, back: new AbortController() }
    })
    this.#commands++
    this.#start('command', jobs, process)
  }

  async #command({ process, jobs }: Party): Promise<void> {
    await using queue = openSharedQueue(openMemoryJobServer(this.#jobs, process), this.#weather.heartbeatMs)
    await queue.removeAbandoned()
    await Promise.all(
      jobs.map(async ({ asked, back }) => {
        const job = { id: asked.id, data: { ms: this.#random.integer(this.#weather.trainingMs) } }
        const told = await queue.submit(training, job, { signal: back.signal }).then(
          (value) => ({ value }),
          (error: unknown) => ({ error: errorMessage(error) }),
        )
        this.#simulation.tell(`${process.name} is told of ${asked.id}: ${JSON.stringify(told)}`)
        this.#promises.told(asked, told)
      }),
    )
  }

  async #worker({ process, kind, stop }: Party): Promise<void> {
    await using queue = openSharedQueue(openMemoryJobServer(this.#jobs, process), this.#weather.heartbeatMs)
    await queue.removeAbandoned()
    const run: RunJob = (job, report, signal) => this.#train(process, kind === 'foreign', job, report, signal)
    await queue.work({ concurrency: this.#weather.concurrency, run, signal: stop.signal })
  }

  async #train(
    process: SimulatedProcess,
    foreign: boolean,
    { id, data }: Job,
    report: (share: number) => void,
    signal: AbortSignal,
  ): Promise<{ number: number }> {
    const run = this.#promises.begin(process, id)
    const { ms } = training.data.parse(data)
    this.#simulation.tell(`${process.name} begins run ${run.number} of ${id}`)
    if (foreign) {
      await process.wait(10)
      throw new JobRefused('of other code')
    }
    const chunks = 1 + Math.floor(ms / CHUNK_MS)
    const bad = this.#promises.mustFail(run)
    for (let chunk = 0; chunk < chunks; chunk++) {
      await process.wait(Math.min(CHUNK_MS, ms), undefined, signal)
      if (signal.aborted) throw new UserError('it was cancelled')
      this.#promises.goesOn(run)
      if (chunk % 8 === 1) report(chunk / chunks)
    }
    if (bad) throw new UserError(NO_GOOD)
    return { number: run.number }
  }
}
