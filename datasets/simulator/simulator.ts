import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import type { Config } from '../../configs/config.ts'
import { UserError } from '../../configs/user-error.ts'
import type { Random } from '../random/random.ts'
import { randomStream } from '../random/random.ts'
import type { ParquetColumn } from '../table/parquet.ts'
import { DAY, SECOND } from '../table/transaction.ts'
import type { EpochMs } from '../table/transaction.ts'
import type { TerminalMap } from './terminal-map.ts'
import { MAP_SIDE, terminalMap } from './terminal-map.ts'

/** A simulated world. The same options make the same transactions, on every machine. */
export interface SimulatorOptions {
  customers: number
  terminals: number
  days: number
  seed: number
  /** Midnight of the first day; default 2018-04-01, as in the Handbook. */
  start?: EpochMs
  /** A customer uses the terminals at a distance strictly below this on the map of 100 × 100; default 5. One who reaches none buys nothing. */
  radius?: number
  /** Terminals that fall to fraudsters each day; default 2 of 10,000, as in the Handbook, and at least 1. */
  compromisedTerminals?: number
  /** Customers whose card data leak each day; default 3 of 5,000, as in the Handbook, and at least 1. */
  compromisedCustomers?: number
}

/** The transactions of one day in order of time; equal seconds in order of customer. Every column has `size` entries. */
export interface SimulatedDay {
  day: number
  size: number
  /** TRANSACTION_ID of the first row; it counts up by one from row to row and day to day. */
  firstId: number
  time: Float64Array
  customer: Float64Array
  terminal: Float64Array
  /** Cents. */
  amount: Float64Array
  /** 0 genuine; 1, 2, 3 the fraud scenario that was applied last. */
  scenario: Uint8Array
}

const HANDBOOK_START = Date.UTC(2018, 3, 1)
const COLUMNS: ParquetColumn[] = [
  { name: 'TRANSACTION_ID', type: 'BIGINT' },
  { name: 'TX_DATETIME', type: 'TIMESTAMP' },
  { name: 'CUSTOMER_ID', type: 'INTEGER' },
  { name: 'TERMINAL_ID', type: 'INTEGER' },
  { name: 'TX_AMOUNT', type: 'DOUBLE' },
  { name: 'TX_FRAUD', type: 'INTEGER' },
  { name: 'TX_FRAUD_SCENARIO', type: 'INTEGER' },
]
const SECONDS_A_DAY = 86_400
const LARGE_AMOUNT = 220_00
const TERMINAL_DAYS = 28
const CUSTOMER_DAYS = 14
/** First counter of each family of random streams. */
const CUSTOMER = 1
const PURCHASES = 2
const TERMINAL_FRAUD = 3
const CUSTOMER_FRAUD = 4

interface World {
  options: Required<SimulatorOptions>
  map: TerminalMap
  /** By customer: place, mean amount in cents, mean transactions a day (0 where no terminal is in reach). */
  x: Float64Array
  y: Float64Array
  meanAmount: Float64Array
  rate: Float64Array
  /** By terminal: the first day on which it is sound again. */
  compromisedUntil: Int32Array
  /** By day, then customer: which of the customer's purchases of that day are scenario 3; a number occurs once for each time it was drawn. */
  stolen: Map<number, Map<number, number[]>>
  random: Random
}

/**
 * The transaction simulator of the Fraud Detection Handbook (chapter 3, "Simulator"), written anew from its description, day by day.
 *
 * Customers with a place, a mean amount (5 to 100) and a mean number of transactions a day (0 to 4) buy at terminals near them.
 * Then frauds, a later scenario overwriting an earlier: (1) every amount above 220; (2) each day some terminals are
 * compromised, and all their transactions of 28 days are frauds; (3) each day the card data of some customers leak, and a third
 * of their transactions of 14 days have five times their amount and are frauds. As in the Handbook, none begins on the last day.
 *
 * Every customer's day has a random stream of its own, so scenario 3 looks 14 days ahead by drawing those days early, and memory
 * holds one day, whatever the number of days.
 *
 * @throws UserError for a number that is not possible.
 */
export function* simulate(options: SimulatorOptions): Generator<SimulatedDay> {
  const world = populate(withDefaults(options))
  let firstId = 0
  for (let day = 0; day < options.days; day++) {
    if (day < options.days - 1) beginFrauds(world, day)
    const drawn = drawDay(world, day)
    world.stolen.delete(day)
    yield inOrderOfTime(world.options.start + day * DAY, day, firstId, drawn)
    firstId += drawn.second.length
  }
}

/** What a simulation made. */
export interface SimulationReport {
  transactions: number
  frauds: number
}

/** Where `fd datasets simulate` writes and the dataset `simulated` looks, when neither is told. */
export function simulatedFile(config: Config): string {
  return join(config.home, 'datasets', 'simulated.parquet')
}

/**
 * Simulates into a Parquet file with the Handbook's columns, in order of TRANSACTION_ID.
 *
 * @param report called after every day with the number of days done.
 * @throws UserError for a number that is not possible, or a file that cannot be written.
 */
export async function simulateToParquet(
  options: SimulatorOptions,
  file: string,
  report?: (days: number) => void,
): Promise<SimulationReport> {
  withDefaults(options)
  const { openParquetWriter } = await import('../table/parquet.ts')
  await using writer = await openParquetWriter(file, COLUMNS)
  const made: SimulationReport = { transactions: 0, frauds: 0 }
  for (const { day, size, firstId, time, customer, terminal, amount, scenario } of simulate(options)) {
    const ids = Float64Array.from({ length: size }, (_, row) => firstId + row)
    const fraud = scenario.map((number) => Math.min(number, 1))
    writer.append([ids, time, customer, terminal, amount.map((cents) => cents / 100), fraud, scenario], size)
    made.transactions += size
    made.frauds += fraud.reduce((sum, flag) => sum + flag, 0)
    report?.(day + 1)
    // A turn of the event loop a day keeps Ctrl-C and a progress bar alive.
    await setImmediate()
  }
  if (made.transactions === 0) {
    throw new UserError(
      `Nobody bought anything: ${options.customers} customers, ${options.terminals} terminals, ${options.days} days. Give more --customers, --terminals or --days.`,
    )
  }
  await writer.close()
  return made
}

function withDefaults(options: SimulatorOptions): Required<SimulatorOptions> {
  const { customers, terminals } = options
  const complete = {
    start: HANDBOOK_START,
    radius: 5,
    compromisedTerminals: Math.max(1, Math.round((2 * terminals) / 10_000)),
    compromisedCustomers: Math.max(1, Math.round((3 * customers) / 5_000)),
    ...options,
  }
  for (const name of ['customers', 'terminals', 'days'] as const) {
    const value = complete[name]
    if (!Number.isInteger(value) || value < 1 || value > 2 ** 31 - 1)
      throw new UserError(`--${name} is ${value}: give a whole number from 1 on, such as --${name} 100.`)
  }
  for (const name of ['seed', 'compromisedTerminals', 'compromisedCustomers'] as const) {
    if (!Number.isSafeInteger(complete[name]) || complete[name] < 0)
      throw new UserError(`The simulator's ${name} is ${complete[name]}: give a whole number from 0 on.`)
  }
  if (!(complete.radius > 0 && complete.radius <= 2 * MAP_SIDE))
    throw new UserError(`The simulator's radius is ${complete.radius}: give a number above 0, at most ${2 * MAP_SIDE}.`)
  if (!Number.isSafeInteger(complete.start))
    throw new UserError(`The simulator's start is not a date. Give one like 2018-04-01.`)
  return complete
}

function populate(options: Required<SimulatorOptions>): World {
  const { customers, terminals, seed, radius } = options
  const random = randomStream(seed)
  const map = terminalMap(terminals, radius, random)
  const [x, y, meanAmount, rate] = [
    new Float64Array(customers),
    new Float64Array(customers),
    new Float64Array(customers),
    new Float64Array(customers),
  ]
  for (let customer = 0; customer < customers; customer++) {
    random.restart(CUSTOMER, customer)
    x[customer] = random.uniform() * MAP_SIDE
    y[customer] = random.uniform() * MAP_SIDE
    meanAmount[customer] = 500 + random.uniform() * 9500
    const wanted = random.uniform() * 4
    rate[customer] = map.reaches(x[customer], y[customer]) ? wanted : 0
  }
  return {
    options,
    map,
    x,
    y,
    meanAmount,
    rate,
    compromisedUntil: new Int32Array(terminals),
    stolen: new Map(),
    random,
  }
}

function beginFrauds(world: World, day: number): void {
  const { options, random, compromisedUntil } = world
  random.restart(TERMINAL_FRAUD, day)
  for (const terminal of distinct(random, options.compromisedTerminals, options.terminals))
    compromisedUntil[terminal] = day + TERMINAL_DAYS
  random.restart(CUSTOMER_FRAUD, day)
  const victims = distinct(random, options.compromisedCustomers, options.customers)
  const chance = randomStream(options.seed, CUSTOMER_FRAUD, day, 1)
  for (const customer of victims) steal(world, customer, day, chance)
}

/** Marks a third of the customer's purchases of the coming 14 days. */
function steal(world: World, customer: number, from: number, chance: Random): void {
  const ahead: { day: number; purchase: number }[] = []
  const until = Math.min(from + CUSTOMER_DAYS, world.options.days)
  for (let day = from; day < until; day++) {
    const count = purchases(world, customer, day, () => undefined)
    for (let purchase = 0; purchase < count; purchase++) ahead.push({ day, purchase })
  }
  for (const index of distinct(chance, Math.floor(ahead.length / 3), ahead.length)) {
    const { day, purchase } = ahead[index]
    const victims = world.stolen.get(day) ?? new Map<number, number[]>()
    world.stolen.set(day, victims)
    victims.set(customer, [...(victims.get(customer) ?? []), purchase])
  }
}

/** Draws one customer's purchases of one day, always the same ones; gives their number. */
function purchases(
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

interface DrawnDay {
  second: number[]
  customer: number[]
  terminal: number[]
  amount: number[]
  scenario: number[]
}

function drawDay(world: World, day: number): DrawnDay {
  const { options, compromisedUntil } = world
  const drawn: DrawnDay = { second: [], customer: [], terminal: [], amount: [], scenario: [] }
  const stolenToday = world.stolen.get(day)
  for (let customer = 0; customer < options.customers; customer++) {
    const first = drawn.second.length
    purchases(world, customer, day, (second, cents, terminal) => {
      drawn.second.push(second)
      drawn.customer.push(customer)
      drawn.terminal.push(terminal)
      drawn.amount.push(cents)
      drawn.scenario.push(day < compromisedUntil[terminal] ? 2 : cents > LARGE_AMOUNT ? 1 : 0)
    })
    for (const purchase of stolenToday?.get(customer) ?? []) {
      drawn.amount[first + purchase] *= 5
      drawn.scenario[first + purchase] = 3
    }
  }
  return drawn
}

/** A stable counting sort by second. */
function inOrderOfTime(midnight: EpochMs, day: number, firstId: number, drawn: DrawnDay): SimulatedDay {
  const size = drawn.second.length
  const place = new Uint32Array(SECONDS_A_DAY + 1)
  for (const second of drawn.second) place[second + 1]++
  for (let second = 0; second < SECONDS_A_DAY; second++) place[second + 1] += place[second]
  const sorted = {
    time: new Float64Array(size),
    customer: new Float64Array(size),
    terminal: new Float64Array(size),
    amount: new Float64Array(size),
    scenario: new Uint8Array(size),
  }
  for (let row = 0; row < size; row++) {
    const to = place[drawn.second[row]]++
    sorted.time[to] = midnight + drawn.second[row] * SECOND
    sorted.customer[to] = drawn.customer[row]
    sorted.terminal[to] = drawn.terminal[row]
    sorted.amount[to] = drawn.amount[row]
    sorted.scenario[to] = drawn.scenario[row]
  }
  return { day, size, firstId, ...sorted }
}

/** `count` different numbers below `below`, or all of them when there are fewer, by Floyd's sampling. */
function distinct(random: Random, count: number, below: number): Set<number> {
  const chosen = new Set<number>()
  for (let last = Math.max(0, below - count); last < below; last++) {
    const drawn = random.integer(last + 1)
    chosen.add(chosen.has(drawn) ? last : drawn)
  }
  return chosen
}
