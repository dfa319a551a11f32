import { setImmediate } from 'node:timers'
import type { Random } from '../random/random.ts'
import type { Scheduler } from './scheduler.ts'

/** An error that the simulation throws where a disk or a network would have failed. */
export class SimulatedFault extends Error {}

/** How likely a step is to fail. The simulation may change it at any time. */
export interface FaultRates {
  /** A call fails and has no effect. */
  refused: number
  /** A call has its effect, and fails. */
  unanswered: number
}

/** What may happen next: the effect of a call, or the answer to it. */
export interface Step {
  process: SimulatedProcess
  name: string
  run: () => void
  /** An effect may outlive its process: it is on its way already. An answer may not. */
  kind: 'effect' | 'answer'
  slow: boolean
  /** When it was planned, and when it may happen at the earliest. */
  planned: number
  due: number
  /** Happens long after the others that it could have happened before. */
  late?: boolean
}

/** A step without its times. By default it may happen at once, and the simulation decides whether it is slow. */
export type PlannedStep = Omit<Step, 'slow' | 'due' | 'planned'> & {
  slow?: boolean | undefined
  due?: number | undefined
}

/**
 * Microtasks between two steps. Most code waits for a step by then. What does not is overtaken by one, as happens to a
 * slow process.
 */
const TURNS = 12
const NOW = Promise.resolve()

/** The share of steps that are slow, and how likely one is passed over when it is drawn. */
const SLOW = 0.1
const PASSED_OVER = 0.95
/** How long a step that may happen waits for others at most, ms. Only where time counts. */
const LONGEST_WAIT_MS = 1_000
/** How likely a step that is late has to wait for all others. */
const LEFT_BEHIND = 0.99

/** The longest that one step takes, in ms of the simulated clock. */
const LONGEST_STEP_MS = 4

/**
 * Processes whose calls have their effects and their answers one at a time, in an order that the random stream decides.
 * Between two steps the code of the processes runs for a number of microtasks. So a schedule follows from the stream
 * alone, and runs again in the same way from the same seed. Nothing else may make that code run: no timer, no thread.
 */
export class Simulation {
  readonly rates: FaultRates = { refused: 0, unanswered: 0 }
  /** Of the calls of a dead process that still arrive, the share that does so late. */
  late = 0
  /**
   * Whether time counts. Then a wait lasts as long as it says, each call happens within a second or so, and the clock
   * jumps to what happens next when nothing else does. Otherwise a wait may end at any step.
   */
  readonly timed: boolean
  readonly #random: Random
  readonly #trace: string[] | undefined
  #clock: number
  #steps: Step[] = []

  /** @param trace is given what happens, to be printed when a schedule fails. */
  constructor(random: Random, start: number, trace?: string[], { timed = false } = {}) {
    this.timed = timed
    this.#random = random
    this.#clock = start
    this.#trace = trace
  }

  /** Wall clock of all processes, EpochMs. */
  get now(): number {
    return this.#clock
  }

  process(name: string, rates: FaultRates = this.rates): SimulatedProcess {
    return new SimulatedProcess(name, this, this.#random, rates)
  }

  /** Whether something that the process asked for is on its way; with `name`, calls whose name begins so. */
  busy(process: SimulatedProcess, name = ''): boolean {
    return this.#steps.some((step) => step.process === process && step.name.startsWith(name))
  }

  tell(what: string): void {
    this.#trace?.push(what)
  }

  /** Puts a step among those that may happen next. For `SimulatedProcess`. */
  plan({ slow = this.#random.uniform() < SLOW, due = this.#clock, ...step }: PlannedStep): Step {
    const planned = { ...step, slow, due, planned: this.#clock }
    this.#steps.push(planned)
    return planned
  }

  /** Has the process hear of nothing until then. What it has asked for happens all the same. */
  freeze(process: SimulatedProcess, until: number): void {
    for (const step of this.#steps)
      if (step.process === process && step.kind === 'answer') step.due = Math.max(step.due, until)
  }

  /**
   * Lets code run for some turns, then has one step happen.
   *
   * @returns false when there was none, and all code waits.
   */
  async step(): Promise<boolean> {
    for (let turn = 0; turn < TURNS; turn++) await NOW
    if (this.#steps.length === 0) await settled()
    if (this.#steps.length === 0) return false
    const at = this.timed ? await this.#drawDue() : this.#draw()
    if (at === undefined) return false
    const [step] = this.#steps.splice(at, 1)
    this.#clock += this.#random.integer(LONGEST_STEP_MS + 1)
    this.tell(`${step.process.name} ${step.kind === 'effect' ? '' : 'hears of '}${step.name}`)
    step.run()
    return true
  }

  /** The place of the next step where time counts; undefined when nothing will ever happen again. */
  async #drawDue(): Promise<number | undefined> {
    let places = this.#dueNow()
    if (places.length === 0) {
      await settled()
      const next = this.#steps.reduce((first, { due }) => Math.min(first, due), Infinity)
      if (next === Infinity) return undefined
      this.#clock = Math.max(this.#clock, next)
      places = this.#dueNow()
    }
    const since = (place: number): number => Math.max(this.#steps[place].planned, this.#steps[place].due)
    const oldest = places.reduce((first, place) => (since(place) < since(first) ? place : first))
    if (this.#clock - since(oldest) >= LONGEST_WAIT_MS) return oldest
    const at = places[this.#random.integer(places.length)]
    const passed = this.#steps[at].slow && this.#random.uniform() < PASSED_OVER
    return passed ? places[this.#random.integer(places.length)] : at
  }

  #dueNow(): number[] {
    return this.#steps.flatMap(({ due }, place) => (due <= this.#clock ? [place] : []))
  }

  /** The place of the next step. A slow one is passed over for a while; one that is not due, until nothing else is. */
  #draw(): number {
    const due = this.#dueNow()
    const places = due.length > 0 ? due : [...this.#steps.keys()]
    const any = (some: number[]): number => some[this.#random.integer(some.length)]
    if (this.late > 0 && this.#random.uniform() < LEFT_BEHIND) {
      const others = places.filter((place) => this.#steps[place].late !== true)
      if (others.length < places.length && others.length > 0) return any(others)
    }
    const at = any(places)
    return this.#steps[at].slow && this.#random.uniform() < PASSED_OVER ? any(places) : at
  }

  /** Takes a dead process out. Of what it had asked for, each call is either forgotten or still on its way. */
  bury(process: SimulatedProcess): void {
    this.#steps = this.#steps.filter(
      (step) => step.process !== process || (step.kind === 'effect' && this.#random.integer(2) === 0),
    )
    if (this.late === 0) return
    for (const step of this.#steps) if (step.process === process) step.late = this.#random.uniform() < this.late
  }
}

/** All microtasks have run when the loop turns. */
function settled(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve))
}

/** A process: the scheduler of the drivers that it has open. */
export class SimulatedProcess implements Scheduler {
  readonly name: string
  readonly #simulation: Simulation
  readonly #random: Random
  readonly #rates: FaultRates
  #dead = false
  #frozenUntil = -Infinity

  constructor(name: string, simulation: Simulation, random: Random, rates: FaultRates) {
    this.#rates = rates
    this.name = name
    this.#simulation = simulation
    this.#random = random
  }

  now(): number {
    return this.#simulation.now
  }

  /**
   * Ends the process as kill -9 does. Nothing that it waits for ever resolves, so its code never runs again. Calls on
   * their way may have their effects later.
   */
  kill(): void {
    this.#dead = true
    this.#simulation.bury(this)
  }

  /** Stops the process for a time, as SIGSTOP does. What it has asked for happens, and it hears of nothing. */
  freeze(ms: number): void {
    this.#frozenUntil = Math.max(this.#frozenUntil, this.now() + ms)
    this.#simulation.freeze(this, this.#frozenUntil)
  }

  get dead(): boolean {
    return this.#dead
  }

  /** When it goes on; a time that is over when it is not stopped. */
  get frozenUntil(): number {
    return this.#frozenUntil
  }

  /** Has something happen to the process that it did not ask for, at once or at a time. */
  notify(name: string, run: () => void, due = this.now()): Step | undefined {
    if (this.#dead) return undefined
    return this.#simulation.plan({
      process: this,
      name,
      kind: 'answer',
      run,
      slow: false,
      due: Math.max(due, this.#frozenUntil),
    })
  }

  call<T>(name: string, effect: () => T, slow?: boolean): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    if (!this.#dead) {
      const run = (): void => this.#happen(name, effect, resolve, reject)
      this.#simulation.plan({ process: this, name, kind: 'effect', run, slow })
    }
    return promise
  }

  wait(timeoutMs: number, woken?: Promise<void>, signal?: AbortSignal): Promise<boolean> {
    if (!this.#simulation.timed) return this.call(`wait of ${timeoutMs} ms`, () => true, true)
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const timer = this.notify(`wait of ${timeoutMs} ms`, () => resolve(true), this.now() + timeoutMs)
    if (timer === undefined) return promise
    const endNow = (late: boolean): void => {
      timer.run = () => resolve(late)
      timer.due = Math.max(Math.min(timer.due, this.now()), this.#frozenUntil)
    }
    void woken?.then(() => endNow(false))
    signal?.addEventListener('abort', () => endNow(true), { once: true })
    if (signal?.aborted === true) endNow(true)
    return promise
  }

  #happen<T>(name: string, effect: () => T, resolve: (value: T) => void, reject: (error: unknown) => void): void {
    const rates = this.#rates
    const chance = this.#random.uniform()
    const refused = chance < rates.refused
    const unanswered = !refused && chance < rates.refused + rates.unanswered
    if (refused) return this.#answer(name, () => reject(new SimulatedFault(`${name} was refused`)))
    try {
      const result = effect()
      this.#answer(name, unanswered ? () => reject(new SimulatedFault(`${name} had no answer`)) : () => resolve(result))
    } catch (error) {
      this.#answer(name, () => reject(error))
    }
  }

  /** The answer comes at once or as a step of its own. A dead process hears none. */
  #answer(name: string, run: () => void): void {
    if (this.#dead) return
    const frozen = this.#frozenUntil > this.now()
    if (!frozen && this.#random.integer(2) === 0) run()
    else
      this.#simulation.plan({ process: this, name, kind: 'answer', run, due: Math.max(this.now(), this.#frozenUntil) })
  }
}
