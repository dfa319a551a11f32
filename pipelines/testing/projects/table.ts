import { closeSync, openSync, writeSync } from 'node:fs'
import type { Random } from '../../../datasets/random/random.ts'

/** A cell as it stands in a CSV. Empty is missing. */
export type Cell = string | number

/** A table of transactions in the shape of a public set: column names, and the rows in order of time. */
export interface Table {
  columns: string[]
  rows: Iterable<Cell[]>
}

/** How many rows, and by which seed. Rows of one seed do not depend on the machine. */
export interface TableSize {
  rows: number
  seed: number
}

/** Characters that are gathered before they are written. */
const CHUNK = 1 << 20

/** Writes a table as CSV with `\n` at the ends of lines; cells with commas or quotes are quoted. */
export function writeTable(file: string, { columns, rows }: Table): void {
  const to = openSync(file, 'w')
  try {
    let text = `${columns.map(quoted).join(',')}\n`
    for (const row of rows) {
      text += `${row.map(quoted).join(',')}\n`
      if (text.length < CHUNK) continue
      writeSync(to, text)
      text = ''
    }
    writeSync(to, text)
  } finally {
    closeSync(to)
  }
}

function quoted(cell: Cell): Cell {
  return typeof cell === 'string' && /[",\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell
}

/** A number as pandas writes a column of floats: 7 is 7.0. */
export function float(value: number): string {
  return Number.isInteger(value) ? `${value}.0` : String(value)
}

/** A number with so many decimals. */
export function rounded(value: number, decimals: number): number {
  return Math.round(value * 10 ** decimals) / 10 ** decimals
}

/** An amount: most are small, some large. `typical` is the median. */
export function spend(random: Random, typical: number): number {
  return rounded(Math.max(1, typical * Math.exp(random.normal(0, 0.7))), 2)
}

export function pick<T>(random: Random, some: readonly T[]): T {
  return some[random.integer(some.length)]
}

/** Times of frauds that come in bursts, by whom they strike. */
export interface Strike {
  time: number
  victim: number
}

/**
 * Bursts of frauds over some days, as a stolen card is used: from 2 to 9 within an hour or two, begun in the evening
 * (UTC). In order of time, which is seconds from the first day.
 *
 * @param frauds how many there are, about.
 */
export function strikes(
  random: Random,
  { days, frauds, victims }: Record<'days' | 'frauds' | 'victims', number>,
): Strike[] {
  const all: Strike[] = []
  while (all.length < frauds) {
    const victim = random.integer(victims)
    let time = (random.integer(days - 1) + 0.85 + random.normal(0, 0.05)) * DAY
    for (let left = 2 + random.integer(8); left > 0; left--) {
      all.push({ time: Math.floor(time), victim })
      time += 60 + random.uniform() * 900
    }
  }
  return all.toSorted((a, b) => a.time - b.time)
}

/** Seconds. */
export const DAY = 86_400

/** A transaction to be made: its time in seconds from the first day, and the strike that it is, where it is a fraud. */
export interface Moment {
  time: number
  strike?: Strike
}

/** Genuine transactions, evenly spread, and frauds: `rows` of them in order of time. */
export function moments(random: Random, rows: number, days: number, frauds: readonly Strike[]): Moment[] {
  const genuine = Array.from({ length: rows - frauds.length }, () => Math.floor(random.uniform() * days * DAY))
  const all: Moment[] = [
    ...genuine.map((time) => ({ time })),
    ...frauds.map((strike) => ({ time: strike.time, strike })),
  ]
  return all.toSorted((a, b) => a.time - b.time)
}
