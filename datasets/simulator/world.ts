import type { Random } from '../random/random.ts'
import { randomStream } from '../random/random.ts'
import type { SimulatorOptions } from './options.ts'
import type { TerminalMap } from './terminal-map.ts'
import { MAP_SIDE, terminalMap } from './terminal-map.ts'

/** First counter of each family of random streams; the map of terminals has 0. */
const CUSTOMER = 1
const PURCHASES = 2

export const SECONDS_A_DAY = 86_400

/** The customers and terminals of a simulation, and the frauds under way on the day that is simulated. */
export interface World {
  options: Required<SimulatorOptions>
  map: TerminalMap
  /** By customer: place on the map. */
  x: Float64Array
  y: Float64Array
  /** By customer: mean amount in cents. */
  meanAmount: Float64Array
  /** By customer: mean transactions a day; 0 where no terminal is in reach. */
  rate: Float64Array
  /** By terminal: the first day on which it is sound again. */
  compromisedUntil: Int32Array
  /**
   * By day, then customer: which of the customer's purchases of that day are scenario 3. A number occurs once for each
   * time it was drawn.
   */
  stolen: Map<number, Map<number, number[]>>
  /** One stream object for all draws; each restarts it with counters of its own. */
  random: Random
}

/** A world with its terminals and customers, before the first fraud. */
export function populate(options: Required<SimulatorOptions>): World {
  const { customers, terminals, seed, radius } = options
  const random = randomStream(seed)
  const map = terminalMap(terminals, radius, random)
  const [x, y] = [new Float64Array(customers), new Float64Array(customers)]
  const [meanAmount, rate] = [new Float64Array(customers), new Float64Array(customers)]
  for (let customer = 0; customer < customers; customer++) {
    random.restart(CUSTOMER, customer)
    x[customer] = random.uniform() * MAP_SIDE
    y[customer] = random.uniform() * MAP_SIDE
    meanAmount[customer] = 500 + random.uniform() * 9500
    const wanted = random.uniform() * 4
    rate[customer] = map.reaches(x[customer], y[customer]) ? wanted : 0
  }
  const compromisedUntil = new Int32Array(terminals)
  return { options, map, x, y, meanAmount, rate, compromisedUntil, stolen: new Map(), random }
}

/** Draws one customer's purchases of one day, always the same ones. Returns their number. */
export function drawPurchases(
  world: World,
  customer: number,
  day: number,
  visit: (second: number, cents: number, terminal: number) => void,
): number {
  const { random, meanAmount, rate, map, x, y } = world
  if (rate[customer] === 0) return 0
  random.restart(PURCHASES, customer, day)
  const mean = meanAmount[customer]
  let count = 0
  for (let attempts = random.poisson(rate[customer]); attempts > 0; attempts--) {
    const second = Math.trunc(random.normal(SECONDS_A_DAY / 2, 20_000))
    const amount = random.normal(mean, mean / 2)
    const redrawn = amount < 0 ? random.uniform() * 2 * mean : amount
    if (second <= 0 || second >= SECONDS_A_DAY) continue
    visit(second, Math.round(redrawn), map.draw(x[customer], y[customer], random))
    count++
  }
  return count
}
