import { randomStream, type Random } from '../../../datasets/random/random.ts'
import { float, moments, pick, rounded, spend, strikes, type Cell, type Table, type TableSize } from './table.ts'

const DAYS = 182
const FIRST_ID = 2_987_000
/** Times are seconds from an instant that the set does not tell; the first day is a day behind it. */
const FIRST_SECOND = 86_400

const PRODUCTS = ['W', 'W', 'W', 'W', 'H', 'R', 'S', 'C']
const EMAILS = ['gmail.com', 'gmail.com', 'yahoo.com', 'hotmail.com', 'anonymous.com', 'aol.com', '', '']
const [CS, DS, MS, VS] = [14, 15, 9, 339]
/** Columns V come in groups of the same size, more or less, that are there or missing together. */
const GROUP = 23

const numbered = (letter: string, count: number): string[] =>
  Array.from({ length: count }, (_, n) => `${letter}${n + 1}`)

interface Buyer {
  card: Cell[]
  address: string
  email: string
  /** The day on which the account was opened. */
  since: number
  typical: number
}

/**
 * An e-commerce table of 394 columns, most of their cells empty: whole numbers beside missing ones are floats, M1 to M9
 * are T and F, times are seconds from an unknown start. There is no card number; a buyer is card1 to card6 and addr1.
 */
export function shopTable({ rows, seed }: TableSize): Table {
  const columns = [
    'TransactionID',
    'isFraud',
    'TransactionDT',
    'TransactionAmt',
    'ProductCD',
    ...numbered('card', 6),
    'addr1',
    'addr2',
    'dist1',
    'dist2',
    'P_emaildomain',
    'R_emaildomain',
    ...numbered('C', CS),
    ...numbered('D', DS),
    ...numbered('M', MS),
    ...numbered('V', VS),
  ]
  return { columns, rows: shopRows(rows, seed) }
}

function* shopRows(size: number, seed: number): Generator<Cell[]> {
  const random = randomStream(seed, 3)
  const buyers = Array.from({ length: Math.max(20, Math.floor(size / 30)) }, () => someBuyer(random))
  const frauds = strikes(random, { days: DAYS, frauds: Math.ceil(size * 0.03), victims: buyers.length })
  for (const [row, { time, strike }] of moments(random, size, DAYS, frauds).entries()) {
    const buyer = buyers[strike?.victim ?? random.integer(buyers.length)]
    const product = strike !== undefined && random.uniform() < 0.6 ? 'C' : pick(random, PRODUCTS)
    const email =
      strike !== undefined && random.uniform() < 0.5 ? pick(random, ['protonmail.com', 'mail.com']) : buyer.email
    const amount = spend(random, buyer.typical * (strike === undefined ? 1 : 2.5))
    const more = product === 'C' ? rounded(amount + 0.005, 3) : amount
    yield [
      FIRST_ID + row,
      strike === undefined ? 0 : 1,
      FIRST_SECOND + time,
      more,
      product,
      ...buyer.card,
      buyer.address,
      '87.0',
      maybe(random, 0.4, () => float(random.integer(300))),
      maybe(random, 0.06, () => '8.0'),

      email,
      product === 'W' ? '' : pick(random, EMAILS),
      ...Array.from({ length: CS }, () => float(random.integer(strike === undefined ? 6 : 7))),
      ...days(random, Math.floor(time / 86_400) + buyer.since),
      ...Array.from({ length: MS }, (_, m) => flag(random, m, strike !== undefined)),
      ...groups(random, product),
    ]
  }
}

function someBuyer(random: Random): Buyer {
  return {
    card: [
      1_000 + random.integer(17_000),
      maybe(random, 0.98, () => float(100 + random.integer(500))),
      '150.0',
      pick(random, ['visa', 'visa', 'mastercard', 'discover']),
      float(100 + random.integer(140)),
      pick(random, ['debit', 'debit', 'credit']),
    ],
    address: maybe(random, 0.9, () => float(100 + random.integer(440))),
    email: pick(random, EMAILS),
    since: random.integer(600),
    typical: 20 * Math.exp(random.normal(1, 0.6)),
  }
}

/** A cell that is there in this share of the rows. */
function maybe(random: Random, share: number, cell: () => string): string {
  return random.uniform() < share ? cell() : ''
}

/** D1 counts days from the account's first; most of the others are missing. */
function days(random: Random, age: number): string[] {
  return [float(age), ...Array.from({ length: DS - 1 }, () => maybe(random, 0.3, () => float(random.integer(age + 1))))]
}

function flag(random: Random, m: number, fraud: boolean): string {
  // The fourth tells of matches in words of its own.
  if (m === 3) return maybe(random, 0.5, () => pick(random, ['M0', 'M1', 'M2']))
  return maybe(random, 0.5, () => (random.uniform() < (fraud ? 0.4 : 0.8) ? 'T' : 'F'))
}

function groups(random: Random, product: string): string[] {
  const cells: string[] = []
  while (cells.length < VS) {
    const there = random.uniform() < (product === 'W' ? 0.15 : 0.3)
    const size = Math.min(GROUP, VS - cells.length)
    for (let v = 0; v < size; v++) cells.push(there ? float(random.integer(3)) : '')
  }
  return cells
}
