import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { randomStream } from '../random/random.ts'
import { openDatabase, sqlText } from '../table/duckdb.ts'
import { DAY } from '../table/transaction.ts'
import type { SimulatorOptions } from './options.ts'
import { simulate, simulateToParquet } from './simulator.ts'
import { terminalMap } from './terminal-map.ts'

const folder = mkdtempSync(join(tmpdir(), 'fd-simulator-'))
afterAll(() => rmSync(folder, { recursive: true }))

interface Row {
  id: number
  day: number
  time: number
  customer: number
  terminal: number
  amount: number
  scenario: number
}

function rowsOf(options: SimulatorOptions): Row[] {
  return [...simulate(options)].flatMap(({ day, size, firstId, time, customer, terminal, amount, scenario }) =>
    Array.from({ length: size }, (_, row) => ({
      id: firstId + row,
      day,
      time: time[row],
      customer: customer[row],
      terminal: terminal[row],
      amount: amount[row],
      scenario: scenario[row],
    })),
  )
}

function groups(rows: Row[], key: (row: Row) => number): Row[][] {
  return [...Map.groupBy(rows, key).values()]
}

const SMALL: SimulatorOptions = { customers: 400, terminals: 2000, days: 60, seed: 5 }
const START = Date.UTC(2018, 3, 1)

test('ids count up in order of time, every second lies strictly inside its day, amounts are whole cents', () => {
  const rows = rowsOf(SMALL)
  expect(rows.length).toBeGreaterThan(30_000)
  expect(rows.every((row, index) => row.id === index)).toBe(true)
  expect(rows.every((row, index) => index === 0 || row.time >= rows[index - 1].time)).toBe(true)
  expect(
    rows.every(({ time, day }) => time > START + day * DAY && time < START + (day + 1) * DAY && time % 1000 === 0),
  ).toBe(true)
  expect(rows.every(({ amount }) => Number.isSafeInteger(amount) && amount >= 0)).toBe(true)
})

test('the same options give the same transactions; another seed does not', () => {
  expect(rowsOf({ ...SMALL, days: 20 })).toEqual(rowsOf({ ...SMALL, days: 20 }))
  expect(rowsOf({ ...SMALL, days: 20 })).not.toEqual(rowsOf({ ...SMALL, days: 20, seed: 6 }))
})

test('frauds change labels and scenario 3 amounts, nothing else; scenario 1 is exactly the amounts above 220', () => {
  const plain = rowsOf({ ...SMALL, compromisedTerminals: 0, compromisedCustomers: 0 })
  const rows = rowsOf(SMALL)
  expect(rows.map(({ id, time, customer, terminal }) => [id, time, customer, terminal])).toEqual(
    plain.map(({ id, time, customer, terminal }) => [id, time, customer, terminal]),
  )
  const wrong = rows.filter((row, index) => {
    const base = plain[index].amount
    if (row.scenario === 3) return ![5, 25, 125, 625].some((times) => times * base === row.amount)
    return row.amount !== base || (row.scenario < 2 && row.scenario !== Number(base > 22_000))
  })
  expect(wrong).toEqual([])
  expect(plain.filter((row) => row.scenario !== Number(row.amount > 22_000))).toEqual([])
})

test('scenario 2: each day its terminals, and all they sell for 28 days', () => {
  const options = { ...SMALL, compromisedTerminals: 2, compromisedCustomers: 0 }
  const rows = rowsOf(options)
  // Naive twin: the same draws, then a look at every day for every row.
  const drawn = Array.from({ length: options.days - 1 }, (_, day) => {
    const random = randomStream(options.seed, 3, day)
    const first = random.integer(options.terminals - 1)
    const second = random.integer(options.terminals)
    return [first, second === first ? options.terminals - 1 : second]
  })
  const compromised = (row: Row): boolean =>
    drawn.some((terminals, day) => day <= row.day && row.day < day + 28 && terminals.includes(row.terminal))
  expect(rows.filter((row) => row.scenario === 2).length).toBeGreaterThan(200)
  expect(rows.filter((row) => (row.scenario === 2) !== compromised(row))).toEqual([])
})

test('scenario 3: a third, rounded down, of what a customer buys within 14 days', () => {
  // So many customers that none is drawn twice.
  const rows = rowsOf({
    customers: 3000,
    terminals: 3000,
    days: 40,
    seed: 11,
    compromisedTerminals: 0,
    compromisedCustomers: 1,
  })
  const victims = groups(rows, (row) => row.customer).filter((bought) => bought.some((row) => row.scenario === 3))
  expect(victims.length).toBeGreaterThan(20)
  for (const bought of victims) {
    const stolen = bought.filter((row) => row.scenario === 3)
    const first = stolen[0].day
    const fits = Array.from({ length: 14 }, (_, back) => first - back).some((from) => {
      const within = (row: Row): boolean => row.day >= from && row.day < from + 14
      return from >= 0 && stolen.every(within) && Math.floor(bought.filter(within).length / 3) === stolen.length
    })
    expect(fits).toBe(true)
  }
})

test('statistics are those of the Handbook’s description', () => {
  const options = { customers: 1000, terminals: 10_000, days: 30, seed: 0 }
  const rows = rowsOf(options)
  // 2 a day on average, less the 3.08 % of seconds beyond midnight. Published: 1,754,155 / 183 / 5,000 = 1.917.
  expect(rows.length / options.days / options.customers).toBeCloseTo(1.94, 1)
  const genuine = rows.filter((row) => row.scenario === 0)
  const mean = genuine.reduce((sum, row) => sum + row.amount, 0) / genuine.length / 100
  expect(Math.abs(mean - 52.98)).toBeLessThan(1.5)
  const noon = rows.filter((row) => Math.abs(((row.time - START) % DAY) - DAY / 2) < 20_000_000).length
  expect(noon / rows.length).toBeCloseTo(0.6827 / 0.9692, 2)
  const large = rows.filter((row) => row.scenario === 1).length
  expect(Math.abs(large / rows.length - 0.00056)).toBeLessThan(0.0003)
})

test(
  // The naive twin measures the distance to every terminal.
  'a customer out of reach of every terminal buys nothing; reach and choice agree with measuring every distance',
  () => {
    const [seed, terminals, radius] = [3, 300, 7]
    const map = terminalMap(terminals, radius, randomStream(seed))
    const places = Array.from({ length: terminals }, (_, terminal) => {
      const random = randomStream(seed, 0, terminal)
      return [random.uniform() * 100, random.uniform() * 100]
    })
    const random = randomStream(99)
    for (let customer = 0; customer < 300; customer++) {
      const [x, y] = [random.uniform() * 100, random.uniform() * 100]
      const near = places.flatMap(([px, py], terminal) => (Math.hypot(px - x, py - y) < radius ? [terminal] : []))
      expect(map.reaches(x, y)).toBe(near.length > 0)
      if (near.length === 0) continue
      const counts = new Map<number, number>()
      for (let draw = 0; draw < 200; draw++) {
        const terminal = map.draw(x, y, random)
        counts.set(terminal, (counts.get(terminal) ?? 0) + 1)
      }
      expect([...counts.keys()].filter((terminal) => !near.includes(terminal))).toEqual([])
      for (const terminal of near) expect(counts.get(terminal) ?? 0).toBeGreaterThan(200 / near.length / 5 - 3)
    }
    const reachable = new Set(rowsOf({ customers: 200, terminals: 30, days: 30, seed: 1 }).map((row) => row.customer))
    expect(reachable.size).toBeGreaterThan(10)
    expect(reachable.size).toBeLessThan(100)
  },
)

test('a radius wider than the map reaches every terminal', () => {
  const rows = rowsOf({ customers: 50, terminals: 10, days: 20, seed: 1, radius: 150 })
  expect(new Set(rows.map((row) => row.terminal)).size).toBe(10)
})

test('a Parquet file holds the same rows under the Handbook’s names', async () => {
  const file = join(folder, 'simulated.parquet')
  const days: number[] = []
  const made = await simulateToParquet({ ...SMALL, days: 15 }, file, (day) => days.push(day))
  const rows = rowsOf({ ...SMALL, days: 15 })
  expect(made).toEqual({ transactions: rows.length, frauds: rows.filter((row) => row.scenario > 0).length })
  expect(days).toEqual(Array.from({ length: 15 }, (_, day) => day + 1))
  await using database = await openDatabase()
  const read = await database.rows(
    `SELECT *, TRANSACTION_ID::INTEGER AS id, epoch_ms(TX_DATETIME)::DOUBLE AS ms FROM ${sqlText(file)}`,
  )
  expect(
    read.map((row) => [
      row.id,
      row.ms,
      row.CUSTOMER_ID,
      row.TERMINAL_ID,
      row.TX_AMOUNT,
      row.TX_FRAUD,
      row.TX_FRAUD_SCENARIO,
    ]),
  ).toEqual(
    rows.map((row) => [
      row.id,
      row.time,
      row.customer,
      row.terminal,
      row.amount / 100,
      Math.min(row.scenario, 1),
      row.scenario,
    ]),
  )
})

test('what cannot be simulated is the user’s error and leaves no file', async () => {
  const file = join(folder, 'never.parquet')
  await expect(simulateToParquet({ ...SMALL, customers: 0 }, file)).rejects.toThrow(
    /--customers is 0: give a whole number/,
  )
  await expect(simulateToParquet({ ...SMALL, days: 1.5 }, file)).rejects.toThrow(/--days is 1.5/)
  await expect(simulateToParquet({ ...SMALL, seed: -1 }, file)).rejects.toThrow(/seed is -1/)
  await expect(simulateToParquet({ ...SMALL, radius: 0 }, file)).rejects.toThrow(/radius is 0/)
  await expect(simulateToParquet({ customers: 1, terminals: 1, days: 2, seed: 0 }, file)).rejects.toThrow(
    /Nobody bought anything/,
  )
  expect([existsSync(file), existsSync(`${file}.partial`)]).toEqual([false, false])
})
