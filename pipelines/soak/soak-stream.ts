import { randomStream, type Random } from '../../datasets/random/random.ts'
import { DAY, HOUR, type EpochMs } from '../../datasets/table/transaction.ts'
import { badValue } from './bad-record.ts'

/**
 * What a record of the stream is. `repeat` is an earlier transaction sent again, byte for byte. `bad` is no event of
 * the schema.
 */
export type SoakKind = 'transaction' | 'label' | 'repeat' | 'bad'

export interface SoakRecord {
  kind: SoakKind
  key: string
  value: string | Uint8Array
}

/** A disturbed stream: disorder, repeats, records that are no events, and labels that come days later. */
export interface SoakStream {
  /** Record n of the stream, from 0. The same for a seed, and made without the ones before it. */
  record(n: number): SoakRecord
  kind(n: number): SoakKind
  /** The id that the transaction of record n has, or refers to. */
  id(n: number): number
}

interface SoakStreamOptions {
  seed: number
  /** Records of the whole stream. */
  events: number
  /** The time of the first transactions. */
  start: EpochMs
}

/**
 * A record's timestamp is this plus its number in the stream, in ms. So a producer that was killed, and a checker,
 * find a record's number in the log itself. It lies after all times of the stream.
 */
export const FIRST_TIMESTAMP: EpochMs = Date.UTC(2024, 0, 1)

/** Bounded, whatever the length of the stream: so must be the memory of who folds it. */
const CUSTOMERS = 2_000
const TERMINALS = 4_000
/** A long stream is spread over this time, so that windows of weeks are full for most of it. */
const LONGEST_DAYS = 400
/** A short stream still has so many records a day, so that labels and repeats find their transactions in the rings. */
const LEAST_A_DAY = 1024

/** Ids from here on, so that none is one of the history's. */
const FIRST_ID = 1_000_000_000
/** The first records are transactions, for labels and repeats to refer to. */
const PLAIN = 64

/** Shares of the kinds, added up. The rest are transactions. */
const BAD = 0.005
const REPEATS = BAD + 0.01
const LABELS = REPEATS + 0.015

const FARTHEST_REPEAT = 1_500
const LONGEST_LABEL_DELAY_DAYS = 14

/** Independent draws of one record. */
const KIND = 0
const FIELDS = 1
const SOURCE = 2
const FAULT = 3

/** How many records a day such a stream has. */
export function recordsADay(events: number): number {
  return Math.max(LEAST_A_DAY, events / LONGEST_DAYS)
}

export function soakStream({ seed, events, start }: SoakStreamOptions): SoakStream {
  const random = randomStream(seed)
  const aDay = recordsADay(events)
  const timeOf = (n: number): EpochMs => Math.round(start + (n / aDay) * DAY)
  const kind = (n: number): SoakKind => {
    // The last record is a transaction, so that the last prediction is known.
    if (n < PLAIN || n === events - 1) return 'transaction'
    random.restart(KIND, n)
    const drawn = random.uniform()
    return drawn < BAD ? 'bad' : drawn < REPEATS ? 'repeat' : drawn < LABELS ? 'label' : 'transaction'
  }
  const longestDelay = Math.round(aDay * LONGEST_LABEL_DELAY_DAYS)
  /** The transaction that record n is, or refers to. */
  const source = (n: number): number => {
    const which = kind(n)
    if (which === 'transaction' || which === 'bad') return n
    random.restart(SOURCE, n)
    let found = Math.max(0, n - 1 - random.integer(which === 'label' ? longestDelay : FARTHEST_REPEAT))
    while (kind(found) !== 'transaction') found--
    return found
  }
  const record = (n: number): SoakRecord => {
    const which = kind(n)
    const { key, value } = event(random, source(n), timeOf, which === 'label' ? timeOf(n) : undefined)
    if (which !== 'bad') return { kind: which, key, value }
    random.restart(FAULT, n)
    return { kind: which, key, value: badValue(random, value) }
  }
  return { kind, id: (n) => FIRST_ID + source(n), record }
}

/** The transaction of record n, or its label where the time is given at which that became known. */
function event(
  random: Random,
  n: number,
  timeOf: (n: number) => EpochMs,
  knownAt: EpochMs | undefined,
): { key: string; value: string } {
  random.restart(FIELDS, n)
  const disorder = random.uniform()
  const behind = disorder < 0.8 ? 0 : random.uniform() * (disorder < 0.99 ? HOUR / 2 : 3 * HOUR)
  // Squared, so that some keys are much busier than others.
  const customer = Math.floor(random.uniform() ** 2 * CUSTOMERS)
  const terminal = Math.floor(random.uniform() ** 2 * TERMINALS)
  const amount = (1 + random.integer(60_000)) / 100
  const what = knownAt === undefined ? `"TX_AMOUNT":${amount}` : `"fraud_known_at":${knownAt}`
  const time = Math.round(timeOf(n) - behind)
  const keys = `"CUSTOMER_ID":${customer},"TERMINAL_ID":${terminal}`
  return {
    key: String(customer),
    value: `{"TRANSACTION_ID":${FIRST_ID + n},"TX_DATETIME":${time},${keys},${what}}`,
  }
}
