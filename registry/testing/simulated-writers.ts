import { UserError } from '../../configs/user-error.ts'
import { randomStream, type Random } from '../../datasets/random/random.ts'
import { SimulatedFault, Simulation, type SimulatedProcess } from '../../datasets/testing/simulation.ts'
import { modelCardTags } from '../model-card.ts'
import type { Gate } from '../promotion/gate.ts'
import { promote, register, rollback } from '../promotion/promotion.ts'
import { setThreshold } from '../promotion/threshold.ts'
import type { Registry } from '../registry.ts'
import { expectHistoryTrue, type Done, type Request } from './history-promises.ts'
import { immediate, mlflowWorld, sqliteWorld, type RegistryWorld } from './registry-worlds.ts'
import { sampleCard } from './sample-card.ts'

const NAME = 'm'
const MOST_STEPS = 60_000
const CARD = sampleCard()
const CALM = { refused: 0, unanswered: 0 }

/** What may happen in a schedule. Without a word, a seed chooses. */
export interface WritersWeather {
  driver: 'sqlite' | 'mlflow'
  writers: number
  requests: number
  refused: number
  unanswered: number
  /** How likely a kill is at a step. */
  kill: number
  /** Of the calls of a killed writer that still arrive, the share that does so late. */
  late: number
}

function weatherOf(random: Random): WritersWeather {
  const sometimes = (most: number): number => (random.integer(2) === 0 ? 0 : random.uniform() * most)
  return {
    driver: random.integer(4) === 0 ? 'sqlite' : 'mlflow',
    writers: 2 + random.integer(3),
    requests: 3 + random.integer(6),
    refused: sometimes(0.03),
    unanswered: sometimes(0.05),
    kill: sometimes(0.02),
    late: sometimes(1),
  }
}

/** The gates of all simulations: passes by the numbers of both versions alone, and takes a while. */
function numberGate(process: Pick<SimulatedProcess, 'call'>): Gate {
  return {
    name: 'numbers',
    judge: (candidate, champion) =>
      process.call('judge', () => {
        const other = champion?.version.version ?? 0
        return { gate: 'numbers', passed: passes(candidate.version.version, other), detail: `against ${other}` }
      }),
  }
}

function passes(candidate: number, champion: number): boolean {
  return (candidate * 7 + champion * 5) % 4 !== 0
}

interface Writer {
  process: SimulatedProcess
  over: boolean
  failed?: { error: unknown }
}

/**
 * Writers of one model's history under one schedule, as `seed` decides: processes that register, promote by the gate
 * and by force, roll back and set thresholds, whose calls fail, lose their answers and overtake each other, and who are
 * killed between any two steps. What a killed one had sent may still arrive. Then one more writer comes, in a calm, and
 * the history must be true. Throws where it is not.
 *
 * @returns the number of steps.
 */
export async function simulateWriters(
  seed: number,
  weather?: Partial<WritersWeather>,
  trace?: string[],
): Promise<number> {
  const race = new Race(seed, weather, trace)
  await race.run()
  return race.steps
}

class Race {
  steps = 0
  readonly #random: Random
  readonly #weather: WritersWeather
  readonly #simulation: Simulation
  readonly #world: RegistryWorld
  readonly #waiting: Request[]
  readonly #done: Done[] = []
  readonly #changes: string[] = []
  #writers: Writer[] = []
  #started = 0
  #source = ''
  /** Versions that somebody may promote. */
  #versions = 3
  /** Counts beginnings and ends of requests. */
  #time = 0

  constructor(seed: number, weather: Partial<WritersWeather> = {}, trace?: string[]) {
    this.#random = randomStream(seed)
    this.#weather = { ...weatherOf(this.#random), ...weather }
    this.#simulation = new Simulation(this.#random, 1_000, trace)
    Object.assign(this.#simulation.rates, { refused: this.#weather.refused, unanswered: this.#weather.unanswered })
    this.#simulation.late = this.#weather.late
    this.#world = this.#weather.driver === 'sqlite' ? sqliteWorld() : mlflowWorld()
    this.#world.onChange = (what) => void this.#changes.push(what)
    this.#waiting = Array.from({ length: this.#weather.requests }, (_, number) => this.#request(number))
  }

  #request(number: number): Request {
    const random = this.#random
    const kind = (['promote', 'promote', 'promote', 'roll back', 'roll back', 'threshold', 'register'] as const)[
      random.integer(7)
    ]
    const alias = random.integer(4) === 0 ? 'challenger' : 'champion'
    const version = 1 + random.integer(3)
    return { id: `request ${number}`, kind, alias, version, force: random.integer(3) === 0, threshold: number / 64 }
  }

  async run(): Promise<void> {
    const registry = this.#world.open(immediate)
    this.#source = await this.#world.logModel()
    await registry.createRegisteredModel(NAME)
    for (let n = 0; n < this.#versions; n++)
      await registry.createModelVersion({ name: NAME, source: this.#source, tags: modelCardTags(CARD) })
    while (this.#waiting.length > 0 || this.#running().length > 0) {
      this.#act()
      await this.#step()
    }
    // What dead writers had sent arrives now or never.
    while (await this.#simulation.step());
    await this.#last()
    await expectHistoryTrue(registry, NAME, this.#done)
  }

  async #step(): Promise<void> {
    const happened = await this.#simulation.step()
    if (this.#changes.length > 0) throw new Error(`Entries changed: ${this.#changes.join(', ')}`)
    for (const { failed } of this.#writers) if (failed !== undefined) throw failed.error
    if (!happened && this.#running().length > 0) throw new Error('A writer waits for nothing')
    if (++this.steps > MOST_STEPS) throw new Error('The writers do not end')
  }

  /** One more writer, whom nothing disturbs. It writes no move, so that any repair is none of its own business. */
  async #last(): Promise<void> {
    Object.assign(this.#simulation.rates, CALM)
    this.#waiting.push({ ...this.#request(this.#weather.requests), kind: 'threshold' })
    this.#start()
    while (this.#running().length > 0) await this.#step()
    if (this.#done.at(-1)?.outcome !== 'told') throw new Error('The last writer could not write')
  }

  #running(): Writer[] {
    return this.#writers.filter(({ over }) => !over)
  }

  /** What comes from outside between two steps. */
  #act(): void {
    const running = this.#running()
    const few = running.length < this.#weather.writers && this.#waiting.length > 0
    if (few && (running.length === 0 || this.#random.uniform() < 0.2)) this.#start()
    if (running.length === 0) return
    const victim = running[this.#random.integer(running.length)]
    // A write that is under way makes the worst moment.
    const worse = this.#simulation.busy(victim.process, 'POST') ? 4 : 1
    if (this.#random.uniform() >= worse * this.#weather.kill) return
    this.#simulation.tell(`kill of ${victim.process.name}`)
    victim.over = true
    victim.process.kill()
  }

  #start(): void {
    const process = this.#simulation.process(`writer ${++this.#started}`)
    const writer: Writer = { process, over: false }
    this.#writers.push(writer)
    void this.#write(process).then(
      () => (writer.over = true),
      (error: unknown) => (writer.failed = { error }),
    )
  }

  /** Does a few of the requests, one after the other. */
  async #write(process: SimulatedProcess): Promise<void> {
    const registry = this.#world.open(process)
    for (let more = 1 + this.#random.integer(3); more > 0; more--) {
      const request = this.#waiting.shift()
      if (request === undefined) return
      const done: Done = { request, began: this.#time++, ended: Infinity, outcome: 'killed' }
      this.#done.push(done)
      this.#simulation.tell(`${process.name} begins ${JSON.stringify(request)}`)
      try {
        done.told = await this.#perform(registry, process, request)
        done.outcome = 'told'
      } catch (error) {
        if (!(error instanceof SimulatedFault) && !isNothingToRollBack(error)) throw error
        done.outcome = error instanceof SimulatedFault ? 'unknown' : 'told'
      }
      done.ended = this.#time++
      this.#simulation.tell(`${process.name} ends ${request.id}: ${done.outcome} ${JSON.stringify(done.told)}`)
    }
  }

  async #perform(registry: Registry, process: SimulatedProcess, request: Request): Promise<Done['told']> {
    const { kind, alias, id, force, threshold } = request
    const common = { name: NAME, by: process.name, reason: id, now: process.now() }
    const version = request.version
    if (kind === 'promote') {
      const gates = [numberGate(process)]
      const verdict = await promote(registry, { ...common, version, alias, gates, force })
      const moved = verdict.outcome === 'promoted' || verdict.outcome === 'forced'
      return moved ? { version, from: verdict.previous, forced: verdict.outcome === 'forced' } : undefined
    }
    if (kind === 'roll back') {
      const { from, to } = await rollback(registry, { ...common, alias })
      return { version: to, from }
    }
    if (kind === 'threshold') {
      const before = await setThreshold(registry, { ...common, version, card: CARD, threshold })
      return { version, from: before.value }
    }
    const made = await register(registry, { ...common, source: this.#source, card: CARD })
    return { version: made.version }
  }
}

function isNothingToRollBack(error: unknown): boolean {
  return error instanceof UserError && error.message.startsWith('Nothing to roll back to')
}
