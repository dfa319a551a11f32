import { errorMessage } from '../../configs/user-error.ts'
import type { Random } from '../../datasets/random/random.ts'
import type { SimulatedProcess, Simulation } from '../../datasets/testing/simulation.ts'
import type { MemoryServer } from '../../features/testing/memory-store.ts'
import type { Beginning } from './promises.ts'
import { SimulatedHistory } from './simulated-history.ts'
import { SimulatedRegistry } from './simulated-registry.ts'
import { JUDGE } from './stand-in.ts'
import { EMPTY } from './undisturbed.ts'
import type { Weather } from './weather.ts'

/** Champions that change and bases that are replaced, while scorers run. */
export class SimulatedChanges {
  /** How many processes are not done with their changes. */
  pending = 0
  registry: SimulatedRegistry | undefined
  #history: SimulatedHistory | undefined
  readonly #weather: Weather
  readonly #random: Random
  readonly #onViolation: (what: string) => void

  constructor(weather: Weather, random: Random, onViolation: (what: string) => void) {
    this.#weather = weather
    this.#random = random
    this.#onViolation = onViolation
  }

  /** Puts in place what is there from the start, and starts the processes that change it. */
  async begin(simulation: Simulation, server: MemoryServer, start: number): Promise<void> {
    const { promotions, bases } = this.#weather
    if (bases > 0) {
      const history = await SimulatedHistory.before(start, this.#random)
      await history.begin(server)
      this.#history = history
      this.#run(simulation, 'backfill', (process) => history.publish(server, process, this.#random, bases - 1))
    }
    if (promotions > 0) {
      const registry = new SimulatedRegistry()
      await registry.fill()
      registry.onViolation = this.#onViolation
      this.registry = registry
      this.#run(simulation, 'promoter', (process) => registry.change(process, this.#random, promotions))
    }
  }

  /** Who may have decided, and what was before the log. */
  async beginning(): Promise<Beginning> {
    return { judges: (await this.registry?.judges()) ?? [JUDGE], start: this.#history?.state ?? EMPTY }
  }

  /** Runs changes in a process of their own, whose calls do not fail. */
  #run(simulation: Simulation, name: string, changes: (process: SimulatedProcess) => Promise<void>): void {
    this.pending++
    void changes(simulation.process(name, { refused: 0, unanswered: 0 })).then(
      () => this.pending--,
      (error: unknown) => this.#onViolation(`${name} fails: ${errorMessage(error)}`),
    )
  }
}
