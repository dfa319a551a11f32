import { UserError } from '../../configs/user-error.ts'
import type { EpochMs } from '../table/transaction.ts'
import { MAP_SIDE } from './terminal-map.ts'

/** A simulated world. The same options make the same transactions, on every machine. */
export interface SimulatorOptions {
  customers: number
  terminals: number
  days: number
  seed: number
  /** Midnight of the first day; default 2018-04-01, as in the Handbook. */
  start?: EpochMs
  /**
   * A customer uses the terminals at a distance strictly below this on the map of 100 × 100; default 5. A customer who
   * reaches none buys nothing.
   */
  radius?: number
  /** Terminals that fall to fraudsters each day; default 2 of 10,000, as in the Handbook, and at least 1. */
  compromisedTerminals?: number
  /** Customers whose card data leak each day; default 3 of 5,000, as in the Handbook, and at least 1. */
  compromisedCustomers?: number
}

const HANDBOOK_START = Date.UTC(2018, 3, 1)

/** The options with their defaults. @throws UserError for a number that is not possible. */
export function withDefaults(options: SimulatorOptions): Required<SimulatorOptions> {
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
