import { randomStream, type Random } from '../../../datasets/random/random.ts'
import { moments, pick, rounded, spend, strikes, type Cell, type Table, type TableSize } from './table.ts'

const DAYS = 31
const TYPES = ['PAYMENT', 'CASH_IN', 'CASH_OUT', 'CASH_OUT', 'PAYMENT', 'TRANSFER', 'DEBIT']
const HOUR = 3_600

interface Account {
  name: string
  balance: number
}

/**
 * A mobile money simulator's table: steps are hours from 1 to 743, rows have no id, most senders are seen once, and
 * merchants (`M…`) have no balances. In frauds an account is emptied into others: a transfer of all that is there, or
 * several, and cash is drawn at the other end.
 */
export function moneyTable({ rows, seed }: TableSize): Table {
  const columns = [
    'step',
    'type',
    'amount',
    'nameOrig',
    'oldbalanceOrg',
    'newbalanceOrig',
    'nameDest',
    'oldbalanceDest',
  ]
  return { columns: [...columns, 'newbalanceDest', 'isFraud', 'isFlaggedFraud'], rows: moneyRows(rows, seed) }
}

function* moneyRows(size: number, seed: number): Generator<Cell[]> {
  const random = randomStream(seed, 2)
  const senders = Array.from({ length: Math.max(20, Math.floor(size / 40)) }, (_, n) => account(random, `C1${n}`))
  const receivers = Array.from({ length: Math.max(20, Math.floor(size / 15)) }, (_, n) => account(random, `C2${n}`))
  const mules = receivers.slice(0, Math.max(5, Math.floor(receivers.length / 50)))
  const frauds = strikes(random, { days: DAYS, frauds: Math.ceil(size * 0.012), victims: senders.length })
  for (const [row, { time, strike }] of moments(random, size, DAYS, frauds).entries()) {
    const often = random.uniform() < 0.3 ? pick(random, senders) : account(random, `C3${row}`)
    const from = strike === undefined ? often : senders[strike.victim]
    const type = strike === undefined ? pick(random, TYPES) : pick(random, ['TRANSFER', 'CASH_OUT'])
    const shop = type === 'PAYMENT'
    const to = strike === undefined ? pick(random, receivers) : pick(random, mules)
    const amount = strike === undefined ? spend(random, shop ? 90 : 1_500) : rounded(2_000 + from.balance * 0.8, 2)
    const before = [from.balance, to.balance]
    move(from, type === 'CASH_IN' ? amount : -amount)
    if (!shop) move(to, type === 'CASH_IN' ? -amount : amount)
    yield [
      1 + Math.floor(time / HOUR),
      type,
      amount.toFixed(2),
      from.name,
      before[0].toFixed(2),
      from.balance.toFixed(2),
      ...(shop ? [`M${random.integer(size)}`, '0.0', '0.0'] : [to.name, before[1].toFixed(2), to.balance.toFixed(2)]),
      strike === undefined ? 0 : 1,
      strike !== undefined && amount > 200_000 ? 1 : 0,
    ]
  }
}

function account(random: Random, name: string): Account {
  return { name, balance: random.uniform() < 0.2 ? 0 : spend(random, 20_000) }
}

/** No balance falls below 0. */
function move(account: Account, amount: number): void {
  account.balance = rounded(Math.max(0, account.balance + amount), 2)
}
