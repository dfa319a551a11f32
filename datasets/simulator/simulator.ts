import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import type { Config } from '../../configs/config.ts'
import { UserError } from '../../configs/user-error.ts'
import type { ParquetColumn, ParquetWriter } from '../table/parquet.ts'
import { DAY } from '../table/transaction.ts'
import { drawDay, inOrderOfTime, type SimulatedDay } from './day.ts'
import { beginFrauds } from './frauds.ts'
import { withDefaults, type SimulatorOptions } from './options.ts'
import { populate } from './world.ts'

const COLUMNS: ParquetColumn[] = [
  { name: 'TRANSACTION_ID', type: 'BIGINT' },
  { name: 'TX_DATETIME', type: 'TIMESTAMP' },
  { name: 'CUSTOMER_ID', type: 'INTEGER' },
  { name: 'TERMINAL_ID', type: 'INTEGER' },
  { name: 'TX_AMOUNT', type: 'DOUBLE' },
  { name: 'TX_FRAUD', type: 'INTEGER' },
  { name: 'TX_FRAUD_SCENARIO', type: 'INTEGER' },
]

/**
 * The transaction simulator of the Fraud Detection Handbook (chapter 3, "Simulator"), written anew from its
 * description, day by day.
 *
 * Each customer has a place, a mean amount (5 to 100) and a mean number of transactions a day (0 to 4), and buys at
 * terminals nearby. Then come the frauds; a later scenario overwrites an earlier one:
 *
 * 1. Every amount above 220 is a fraud.
 * 2. Each day some terminals are compromised: all their transactions of 28 days are frauds.
 * 3. Each day the card data of some customers leak: a third of their transactions of 14 days have five times their
 *    amount and are frauds.
 *
 * As in the Handbook, no fraud of scenarios 2 and 3 begins on the last day.
 *
 * Every customer's day has a random stream of its own. So scenario 3 looks 14 days ahead by drawing those days early,
 * and memory holds one day, whatever the number of days.
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

/** Where `fd datasets simulate` writes and the dataset `simulated` looks, unless they are given a file. */
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
  for (const simulated of simulate(options)) {
    made.transactions += simulated.size
    made.frauds += appendDay(writer, simulated)
    report?.(simulated.day + 1)
    // A turn of the event loop a day keeps Ctrl-C and a progress bar alive.
    await setImmediate()
  }
  if (made.transactions === 0) {
    const { customers, terminals, days } = options
    throw new UserError(
      `Nobody bought anything: ${customers} customers, ${terminals} terminals, ${days} days. ` +
        'Give more --customers, --terminals or --days.',
    )
  }
  await writer.close()
  return made
}

/** Appends one day's rows. Returns how many of them are frauds. */
function appendDay(writer: ParquetWriter, simulated: SimulatedDay): number {
  const { size, firstId, time, customer, terminal, amount, scenario } = simulated
  const ids = Float64Array.from({ length: size }, (_, row) => firstId + row)
  const fraud = scenario.map((number) => Math.min(number, 1))
  writer.append([ids, time, customer, terminal, amount.map((cents) => cents / 100), fraud, scenario], size)
  return fraud.reduce((sum, flag) => sum + flag, 0)
}
