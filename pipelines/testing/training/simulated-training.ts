import { randomStream, type Random } from '../../../datasets/random/random.ts'
import { Simulation, type SimulatedProcess } from '../../../datasets/testing/simulation.ts'
import { cardFraud } from '../../../features/definition/card-fraud.ts'
import { immediate, mlflowWorld } from '../../../registry/testing/registry-worlds.ts'
import { Pruned } from '../../../training/fit/report.ts'
import { abandonedRuns, closeAbandoned, sweepRuns } from '../../../training/ownership/abandoned.ts'
import type { RunOwnership } from '../../../training/ownership/heartbeat.ts'
import { ownerTags } from '../../../training/ownership/run-owner.ts'
import { giveSigns } from '../../../training/ownership/signs-of-life.ts'
import { ATTEMPTS, type Job, type RunJob } from '../../../training/queue/job-queue.ts'
import { openSharedQueue } from '../../../training/queue/shared/queue.ts'
import { openMemoryJobServer } from '../../../training/testing/memory-job-server.ts'
import { MemoryJobs } from '../../../training/testing/memory-jobs.ts'
import { runCandidate } from '../../jobs/candidate-job.ts'
import { trainCandidates, type CandidatePlan, type TrainedCandidates } from '../../jobs/candidates.ts'
import { trainCandidateKind, type TrainCandidate } from '../../jobs/kinds.ts'
import { candidateOf, code, dataset, metricOf, silent, subject, valueOf } from './stand-ins.ts'
import { expectTrained, type AskedTraining } from './training-promises.ts'
import { trainingWeather, type TrainingWeather } from './training-weather.ts'

const TROUBLE_MS = 40_000
const QUIET_MS = 400_000
const CHUNK_MS = 400

/** A process, and what becomes of it. */
interface Party {
  process: SimulatedProcess
  kind: 'command' | 'worker' | 'job'
  over: boolean
  stop: AbortController
  /** Of a worker: the processes of its jobs, which end with it. */
  jobs: Party[]
}

/**
 * Commands of `fd train` with several candidates, and workers with processes of jobs, under one schedule, as `seed`
 * decides: each is killed between any two steps, or stopped for so long that others take it for dead. Then one looks
 * after the runs of the dead, and all must be true: who lived has the leaderboard that an undisturbed command has, and
 * its run ended once; no run is left that nobody ends, and no job. Throws where it is not.
 *
 * @returns the number of steps.
 */
export async function simulateTraining(
  seed: number,
  weather?: Partial<TrainingWeather>,
  trace?: string[],
): Promise<number> {
  const schedule = new Schedule(seed, weather, trace)
  await schedule.run()
  return schedule.steps
}

class Schedule {
  steps = 0
  readonly #random: Random
  readonly #weather: TrainingWeather
  readonly #simulation: Simulation
  readonly #jobs: MemoryJobs
  readonly #world = mlflowWorld()
  readonly #parties: Party[] = []
  readonly #asked: AskedTraining[] = []
  #failed: Error | undefined
  #started = 0
  #frozen = false
  /** Deaths of jobs alone. Each is a failed attempt. */
  #deaths = 0

  constructor(seed: number, weather: Partial<TrainingWeather> = {}, trace?: string[]) {
    this.#random = randomStream(seed)
    this.#weather = { ...trainingWeather(this.#random), ...weather }
    this.#simulation = new Simulation(this.#random, 1_000, trace, { timed: true })
    this.#simulation.tell(JSON.stringify(this.#weather))
    this.#jobs = new MemoryJobs(() => this.#simulation.now)
  }

  async run(): Promise<void> {
    const end = this.#simulation.now + TROUBLE_MS
    while (this.#asked.length < this.#weather.commands || this.#running('command') > 0) {
      if (this.#simulation.now < end || this.#asked.length < this.#weather.commands) this.#act()
      else if (this.#running('worker') === 0) this.#start('worker')
      await this.#step()
      if (this.#simulation.now > end + QUIET_MS) throw new Error('The commands do not end')
    }
    await this.#tidyUp()
    const trouble = { stopped: this.#frozen, deadly: this.#deaths >= ATTEMPTS }
    await expectTrained(this.#world.open(immediate), this.#jobs, this.#asked, trouble)
  }

  /** Somebody comes, with a worker, and looks after what the dead have left. */
  async #tidyUp(): Promise<void> {
    this.#start('worker')
    const party = this.#party('command')
    const { process } = party
    const registry = this.#world.open(process)
    const look = async (): Promise<void> => {
      // Each job that is still in a worker's hands leaves it meanwhile.
      await process.wait(60_000)
      await openSharedQueue(openMemoryJobServer(this.#jobs, process), 1_000).removeAbandoned()
      for await (const found of abandonedRuns(registry, { pause: (ms) => process.wait(ms) }))
        await closeAbandoned(registry, found)
      party.over = true
    }
    look().catch((error: unknown) => (this.#failed = error as Error))
    const latest = this.#simulation.now + QUIET_MS
    while (!party.over) {
      await this.#step()
      if (this.#simulation.now > latest) throw new Error('Nobody can tidy up')
    }
  }

  async #step(): Promise<void> {
    const happened = await this.#simulation.step()
    if (this.#failed !== undefined) throw this.#failed
    if (!happened && this.#parties.some(({ over }) => !over)) throw new Error('Everybody waits for nothing')
    this.steps++
  }

  #running(kind: Party['kind']): number {
    return this.#parties.filter((party) => party.kind === kind && !party.over).length
  }

  #act(): void {
    const { workers, commands, kill, freeze } = this.#weather
    if (this.#asked.length < commands && this.#chance(this.#running('command') === 0 ? 0.2 : 0.005)) this.#ask()
    if (this.#running('worker') < workers && this.#chance(0.05)) this.#start('worker')
    const living = this.#parties.filter(({ over }) => !over)
    if (living.length === 0) return
    const victim = living[this.#random.integer(living.length)]
    if (this.#chance(kill)) {
      if (victim.kind === 'job') this.#deaths++
      this.#kill(victim)
    }
    if (!victim.over && this.#chance(freeze)) {
      const ms = this.#random.integer(20_000)
      this.#frozen = true
      for (const party of [victim, ...(this.#random.integer(2) === 0 ? victim.jobs : [])]) {
        this.#simulation.tell(`${party.process.name} is stopped for ${ms} ms`)
        party.process.freeze(ms)
      }
    }
  }

  #kill(party: Party): void {
    if (party.over) return
    this.#simulation.tell(`kill of ${party.process.name}`)
    party.over = true
    party.process.kill()
    for (const job of party.jobs) this.#kill(job)
  }

  #chance(rate: number): boolean {
    return rate > 0 && this.#random.uniform() < rate
  }

  #party(kind: Party['kind']): Party {
    const process = this.#simulation.process(`${kind} ${++this.#started}`)
    return { process, kind, over: false, stop: new AbortController(), jobs: [] }
  }

  #start(kind: 'worker'): void {
    const party = this.#party(kind)
    this.#parties.push(party)
    this.#work(party).then(
      () => (party.over = true),
      (error: unknown) => (this.#failed = error as Error),
    )
  }

  async #work(worker: Party): Promise<void> {
    const { process, stop } = worker
    const registry = this.#world.open(process)
    await using queue = openSharedQueue(openMemoryJobServer(this.#jobs, process), this.#weather.heartbeatMs)
    await using sweep = sweepRuns(registry, (line) => this.#simulation.tell(line), pauseOf(process))
    await queue.removeAbandoned()
    const run: RunJob = (job, _report, signal) => this.#inProcess(worker, job, signal)
    const tell = ({ state }: { state: string }): void => {
      if (state === 'failed' || state === 'cancelled') sweep.again()
    }
    await queue.work({ concurrency: this.#weather.concurrency, run, signal: stop.signal, tell })
  }

  /** Runs a job in a process of its own, which ends with the worker or when the signal is aborted. */
  async #inProcess(worker: Party, job: Job, signal: AbortSignal): Promise<unknown> {
    signal.throwIfAborted()
    const own = this.#party('job')
    worker.jobs.push(own)
    this.#parties.push(own)
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    signal.addEventListener('abort', () => {
      this.#kill(own)
      reject(new Error('it was cancelled'))
    })
    // The worker hears of the end of its process, however that came.
    const ended = async (): Promise<void> => {
      while (!own.over) await worker.process.wait(100)
      reject(new Error('its process ended with SIGKILL'))
    }
    const answered = (settle: () => void): void => {
      worker.process.notify('answer of a job', () => {
        settle()
        own.over = true
      })
    }
    this.#train(own.process, trainCandidateKind.data.parse(job.data)).then(
      (result) => answered(() => resolve(result)),
      (error: unknown) => answered(() => reject(error)),
    )
    void ended()
    return promise
  }

  #train(process: SimulatedProcess, data: TrainCandidate): Promise<{ runId: string }> {
    this.#simulation.tell(`${process.name} trains candidate ${data.candidate} of ${data.parentRunId}`)
    return runCandidate(this.#world.open(process), data, {
      code,
      ownership: this.#ownership(process),
      now: () => process.now(),
      history: async () => ({ dataset, service: cardFraud }),
      train: async (_, closed) => {
        for (let left = this.#weather.trainingMs; left > 0; left -= CHUNK_MS) {
          await process.wait(CHUNK_MS)
          if (closed.aborted) throw new Pruned(0, 0)
        }
        return candidateOf({ [metricOf(data.purpose)]: valueOf(data.seed, data.purpose) })
      },
    })
  }

  #ask(): void {
    const party = this.#party('command')
    const seeds = 1 + this.#random.integer(this.#weather.candidates)
    const first = this.#random.integer(100)
    const plans = Array.from({ length: seeds }, (_, n) => ({ estimator: 'boosting', params: {}, seed: first + n }))
    const asked: AskedTraining = { name: party.process.name, plans }
    this.#parties.push(party)
    this.#asked.push(asked)
    this.#command(party, plans).then(
      (trained) => this.#told(party, asked, { trained }),
      (error: unknown) => this.#told(party, asked, { error }),
    )
  }

  #told(party: Party, asked: AskedTraining, told: NonNullable<AskedTraining['told']>): void {
    asked.told = told
    party.over = true
    this.#simulation.tell(`${asked.name} is told ${'error' in told ? String(told.error) : 'all'}`)
  }

  async #command({ process, stop }: Party, plans: CandidatePlan[]): Promise<TrainedCandidates> {
    const registry = this.#world.open(process)
    const { heartbeatMs } = this.#weather
    await using queue = openSharedQueue(openMemoryJobServer(this.#jobs, process), heartbeatMs)
    await queue.removeAbandoned()
    await using _sweep = sweepRuns(registry, (line) => this.#simulation.tell(line), pauseOf(process))
    const request = { subject, plans, alertsPerDay: 1, ownership: this.#ownership(process), signal: stop.signal }
    const use = { url: 'memory:', workers: 0, configFile: undefined, heartbeatMs }
    return await trainCandidates(registry, { queue, use }, request, silent)
  }

  #ownership(process: SimulatedProcess): RunOwnership {
    const { heartbeatMs: everyMs } = this.#weather
    const owner = { host: 'simulated', place: 'simulated', pid: ++this.#started, started: '1', everyMs }
    return {
      tags: { ...ownerTags(everyMs), 'fd.owner': JSON.stringify(owner) },
      begin: (runId) => {
        const closed = new AbortController()
        let over = false
        const pause = (ms: number): Promise<unknown> => (over ? new Promise(() => {}) : process.wait(ms))
        void giveSigns(async () => this.#world.open(process), runId, everyMs, pause).then(() => over || closed.abort())
        return {
          closed: closed.signal,
          async [Symbol.asyncDispose]() {
            over = true
          },
        }
      },
    }
  }
}

function pauseOf(process: SimulatedProcess): (ms: number, signal?: AbortSignal) => Promise<unknown> {
  return (ms, signal) => process.wait(ms, undefined, signal)
}
