import { errorMessage } from '../../configs/user-error.ts'
import type { NewRecord } from '../../datasets/log/event-log.ts'
import { randomStream, type Random } from '../../datasets/random/random.ts'
import { MemoryBroker } from '../../datasets/testing/memory-broker.ts'
import { openMemoryLog } from '../../datasets/testing/memory-log.ts'
import { SimulatedFault, Simulation, type SimulatedProcess } from '../../datasets/testing/simulation.ts'
import { planChain, type Stage } from '../../features/chain/chain.ts'
import type { ModelInput } from '../../features/chain/folded-batch.ts'
import { MemoryServer, openMemoryStore } from '../../features/testing/memory-store.ts'
import type { ScoredBatch } from '../scorer/batch.ts'
import { runChain, type ChainOptions } from '../scorer/chain.ts'
import { judgeBatch, score } from '../scorer/scorer.ts'
import { TRANSACTIONS } from '../topics.ts'
import { expectPromisesKept, type Told } from './promises.ts'
import { SimulatedChanges } from './simulated-changes.ts'
import { ALIAS, couldNotStart } from './simulated-registry.ts'
import { schema, service, smallStream } from './small-stream.ts'
import { GROUP, JUDGE, standIn } from './stand-in.ts'
import { weatherOf, type Weather } from './weather.ts'

const START = Date.UTC(2018, 3, 1)
/** A schedule of this many steps does not end. The longest seen had a tenth of them. */
const MOST_STEPS = 20_000
const MOST_STARTS = 200
const LONGEST_PAUSE_MS = 400
const CALM = { refused: 0, unanswered: 0 }

/**
 * Storm: whatever the weather brings. Live: nothing fails any more, and all must get scored while scorers run. Idle:
 * who has nothing left to do ends.
 */
type Phase = 'storm' | 'live' | 'idle'

/** A scorer process of the simulation. */
interface Scorer {
  process: SimulatedProcess
  stop: AbortController
  /** The topics of which it was given partitions. */
  topics: Set<string>
  outcome?: 'ended' | { error: unknown }
}

/**
 * The scorer under one schedule: processes that score, a producer, faults and kills, as `seed` decides; then a calm in
 * which all must be scored and end. Throws where a promise is broken.
 *
 * @returns the number of steps.
 */
export async function simulateScorer(seed: number, weather?: Partial<Weather>, trace?: string[]): Promise<number> {
  const cluster = new Cluster(seed, weather, trace)
  await cluster.run()
  return cluster.steps
}

class Cluster {
  steps = 0
  readonly broker = new MemoryBroker()
  readonly server = new MemoryServer()
  readonly told: Told = { scored: 0, labels: 0, rejected: 0, replayed: 0 }
  readonly weather: Weather
  readonly #random: Random
  readonly #simulation: Simulation
  readonly #producer: SimulatedProcess
  readonly #control: SimulatedProcess
  readonly #violations: string[] = []
  #records: NewRecord[]
  #scorers: Scorer[] = []
  #started = 0
  /** Whether something has happened after which records may have to be replayed. */
  #disturbed = false
  #phase: Phase = 'storm'
  #produced = false
  readonly #plan: Stage[]
  #last: Scorer | undefined
  readonly #changes: SimulatedChanges

  constructor(seed: number, weather: Partial<Weather> = {}, trace?: string[]) {
    this.#random = randomStream(seed)
    // Of its own, so that the rest of a schedule does not depend on whether there are promotions and backfills.
    const extra = randomStream(seed, 1)
    this.weather = { ...weatherOf(this.#random, extra), ...weather }
    this.#changes = new SimulatedChanges(this.weather, extra, (what) => void this.#violations.push(what))
    this.#simulation = new Simulation(this.#random, START, trace)
    Object.assign(this.#simulation.rates, { refused: this.weather.refused, unanswered: this.weather.unanswered })
    this.#disturbed = this.weather.refused + this.weather.unanswered > 0
    this.#producer = this.#simulation.process('producer', CALM)
    this.#control = this.#simulation.process('control', CALM)
    this.#plan = planChain(service, schema, { name: TRANSACTIONS, partitions: this.weather.partitions }, GROUP)
    this.#records = smallStream(this.#random, this.weather, START)
    this.broker.onCommit = ({ topic, owners }, partition, next) => {
      const { committed } = owners[partition]
      if (next < committed) this.#violations.push(`${topic}/${partition} goes back from ${committed} to ${next}`)
    }
    this.server.onCheckpoint = ({ group, topic, partition }, { offset }) => {
      const { committed } = this.broker.group(group, topic).owners[partition]
      if (offset > committed)
        this.#violations.push(`State of ${topic}/${partition} is at ${offset}, its outputs are at ${committed}`)
    }
  }

  async run(): Promise<void> {
    this.broker.ensure(TRANSACTIONS, { partitions: this.weather.partitions })
    void this.#produce()
    await this.#changes.begin(this.#simulation, this.server, START)
    if (this.weather.bases > 1) this.#disturbed = true
    for (;;) {
      this.#act()
      if (!(await this.#simulation.step()) && this.#ended()) break
      if (this.#violations.length > 0) throw new Error(this.#violations.join('; '))
      if (++this.steps > MOST_STEPS) throw new Error(`Does not end: ${this.#running().length} scorers go on`)
    }
    if (!this.#disturbed && this.told.replayed > 0) throw new Error(`${this.told.replayed} records were replayed`)
    await expectPromisesKept(this.broker, this.server, this.told, await this.#changes.beginning())
  }

  /**
   * Nothing is left to happen. Whether that is the end: after the others, who may each have ended before another passed
   * records on, one more scorer must have ended well.
   */
  #ended(): boolean {
    this.#reap()
    for (const { process } of this.#running()) throw new Error(`${process.name} waits for nothing`)
    if (this.#phase !== 'idle') return false
    if (this.#last?.outcome === 'ended') return true
    this.#last = this.#start()
    return false
  }

  /** Appends the records in pieces, whenever it is its turn. */
  async #produce(): Promise<void> {
    const log = openMemoryLog(this.broker, this.#producer)
    while (this.#records.length > 0)
      await log.append(TRANSACTIONS, this.#records.splice(0, 1 + this.#random.integer(6)))
    this.#produced = true
  }

  /** What comes from outside between two steps. */
  #act(): void {
    const { weather } = this
    this.#reap()
    if (this.#phase === 'storm' && this.#produced && this.#changes.pending === 0 && this.#random.uniform() < 0.02)
      this.#becomeCalm()
    if (this.#phase === 'live' && this.#allScored()) this.#become('idle')
    if (this.#phase === 'idle') return
    const running = this.#running()
    if (running.length === 0 || (running.length < weather.members && this.#random.uniform() < 0.1)) this.#start()
    if (running.length === 0 || this.#phase !== 'storm') return
    const victim = running[this.#random.integer(running.length)]
    if (weather.killAt === undefined ? this.#random.uniform() < weather.kill : this.steps === weather.killAt)
      this.#kill(victim)
    else if (this.#random.uniform() < weather.evict) this.#evict()
    else if (this.#random.uniform() < weather.stop) victim.stop.abort()
    else if (weather.pause > 0 && this.#random.uniform() < weather.pause) void this.#pause(victim)
  }

  #running(): Scorer[] {
    return this.#scorers.filter(({ outcome }) => outcome === undefined)
  }

  #become(phase: Phase): void {
    this.#phase = phase
    this.#simulation.tell(phase)
  }

  /** From here on nothing fails. */
  #becomeCalm(): void {
    this.#become('live')
    Object.assign(this.#simulation.rates, CALM)
  }

  /** Whether the outputs of every record are written, in all stages. */
  #allScored(): boolean {
    const groups = [...this.broker.groups.values()]
    return (
      groups.length === this.#plan.length &&
      groups.every(({ topic, owners }) => {
        const { partitions } = this.broker.require(topic)
        return owners.every(({ committed }, partition) => committed === partitions[partition].length)
      })
    )
  }

  #start(): Scorer {
    if (++this.#started > MOST_STARTS) throw new Error('Scorers are started again and again')
    const process = this.#simulation.process(`scorer ${this.#started}`)
    const scorer: Scorer = { process, stop: new AbortController(), topics: new Set() }
    this.#scorers.push(scorer)
    this.#simulation.tell(`start of ${process.name}`)
    void this.#score(scorer).then(
      () => (scorer.outcome = 'ended'),
      (error: unknown) => (scorer.outcome = { error }),
    )
    return scorer
  }

  #score({ process, stop, topics }: Scorer): Promise<void> {
    const { weather, told } = this
    const parts = { log: openMemoryLog(this.broker, process), store: openMemoryStore(this.server, process) }
    const options = {
      group: GROUP,
      partitions: weather.partitions,
      maxBatch: weather.maxBatch,
      maxAhead: Infinity,
      checkpointEveryMs: weather.checkpointEveryMs,
      signal: stop.signal,
      now: () => process.now(),
      endWhenIdle: () => this.#phase === 'idle',
      onAssigned: (topic: string) => void topics.add(topic),
      onBatch: ({ scored, labels, rejected, replayed }: ScoredBatch) => {
        told.replayed += replayed
        told.scored += scored
        told.labels += labels
        told.rejected += rejected
      },
    }
    const { registry } = this.#changes
    if (registry !== undefined) {
      const champions = registry.championsOf(process)
      const watch = { model: JUDGE.name, alias: ALIAS, championEveryMs: 1, onSwap: champions.onSwap }
      return score({ ...parts, registry: registry.open(process), champions }, { ...options, ...watch })
    }
    const model = { score: ({ numbers, rows }: ModelInput) => process.call('model', () => standIn(numbers, rows)) }
    const finish: ChainOptions['finish'] = (folded) => judgeBatch(folded, { service, schema }, JUDGE, model)
    return runChain({ ...parts, ...options, service, schema, finish })
  }

  /** Looks after scorers that have ended. An error must have a cause. */
  #reap(): void {
    for (const scorer of this.#scorers) {
      if (scorer.outcome === undefined) continue
      this.#expectGoodEnd(scorer)
      void this.#bury(scorer)
    }
    this.#scorers = this.#running()
  }

  /** An error must have a cause, and an end a reason. No commit may be under way any more. */
  #expectGoodEnd({ process, outcome, stop, topics }: Scorer): void {
    if (this.#simulation.busy(process, 'commit')) throw new Error(`${process.name} ends while a commit is under way`)
    if (outcome !== 'ended' && outcome !== undefined) {
      this.#simulation.tell(`${process.name} ends: ${errorMessage(outcome.error)}`)
      if (!this.#hasReason(outcome.error)) throw outcome.error
    } else if (!stop.signal.aborted && (this.#phase !== 'idle' || topics.size < this.#plan.length))
      throw new Error(`${process.name} ends without a reason`)
  }

  /** Whether an error may end a scorer. One that came while it closed must have a reason of its own. */
  #hasReason(error: unknown): boolean {
    if (error instanceof SuppressedError) return this.#hasReason(error.error) && this.#hasReason(error.suppressed)
    const replaced = this.weather.bases > 2 && /newer backfills have replaced/.test(errorMessage(error))
    return replaced || couldNotStart(error) || error instanceof SimulatedFault
  }

  #kill(victim: Scorer): void {
    this.#simulation.tell(`kill of ${victim.process.name}`)
    this.#disturbed = true
    void this.#bury(victim)
    this.#scorers = this.#scorers.filter((scorer) => scorer !== victim)
  }

  /** A process that is no more. The others learn of it some time later, when its session is over. */
  async #bury({ process }: Scorer): Promise<void> {
    process.kill()
    // What is still on its way may make it a member once more.
    for (let busy = true; busy;) {
      busy = this.#simulation.busy(process)
      await this.#expire(process)
    }
  }

  #expire(process: SimulatedProcess): Promise<void> {
    return this.#control.call(`end of the session of ${process.name}`, () => {
      for (const group of this.broker.groups.values())
        this.broker.evict(group, (member) => member.process === process.name)
    })
  }

  /** A process is stopped for a while, in which its session ends. */
  async #pause({ process }: Scorer): Promise<void> {
    this.#simulation.tell(`${process.name} is stopped`)
    this.#disturbed = true
    process.freeze(this.#random.integer(LONGEST_PAUSE_MS))
    await this.#control.wait(0)
    await this.#expire(process)
  }

  /** One member is taken for dead, though it is not. */
  #evict(): void {
    const groups = [...this.broker.groups.values()].filter(({ members }) => members.length > 0)
    if (groups.length === 0) return
    const group = groups[this.#random.integer(groups.length)]
    const { number, process } = group.members[this.#random.integer(group.members.length)]
    this.#simulation.tell(`eviction of ${process} from ${group.topic}`)
    this.#disturbed = true
    this.broker.evict(group, (member) => member.number === number)
  }
}
