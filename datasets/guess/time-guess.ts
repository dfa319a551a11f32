import { formatsOf } from '../table/cell-hint.ts'
import type { TimeRole } from '../table/dataset.ts'
import { countedTime, likelyUnit, textTimeReader, type TimeForm, type TimeUnit } from '../table/time.ts'
import type { EpochMs } from '../table/transaction.ts'
import type { ColumnFacts } from './facts.ts'

/** A column that may be the time of the events. */
export interface TimeGuess {
  role: TimeRole
  /** Of the rows that were looked at. */
  from: EpochMs
  to: EpochMs
  /** Whether they come in order of time. */
  ordered: boolean
  /** Whether the file counts from a start that it does not say, so that the origin is made up. */
  madeUp: boolean
  /** The format with day and month exchanged, where every cell could be read by it as well. */
  exchanged?: string
}

/** Where times are counted from a start that the file does not say. Any day would do; this one was a Wednesday. */
const START = Date.UTC(2020, 0, 1)

const NAME = /time|date|_at$|_ts$|^ts$|stamp|^dt$|dt$|epoch|step|^day|hour/i
const COUNTER = /step|time|dt$|hour|day|sec/i

/** How a column would be read as times; undefined where not all of its cells are some. */
export function timeGuess(column: ColumnFacts): TimeGuess | undefined {
  if (column.filled.length === 0 || column.empty > 0) return undefined
  return /^(TIMESTAMP|DATE)/.test(column.type) || column.numbers === undefined
    ? writtenTime(column)
    : countedGuess(column, column.numbers)
}

/** The likeliest time first: by its name, by the order of the rows, by how fine it is. */
export function rankTimes(
  guesses: readonly (readonly [ColumnFacts, TimeGuess])[],
): (readonly [ColumnFacts, TimeGuess])[] {
  const score = ([{ name, distinct }, { ordered, role, madeUp }]: readonly [ColumnFacts, TimeGuess]): number =>
    (NAME.test(name) ? 4 : 0) +
    (ordered ? 4 : 0) +
    (madeUp ? 0 : 2) +
    (role.unit === 'timestamp' ? 1 : 0) +
    Math.log10(1 + distinct)
  return guesses.toSorted((a, b) => score(b) - score(a))
}

function writtenTime({ name, type, filled }: ColumnFacts): TimeGuess | undefined {
  const times = (form: TimeForm): EpochMs[] | undefined => {
    const read = textTimeReader(form)
    const all = filled.map(read)
    return all.every((time) => time >= 0) ? all : undefined
  }
  const plain: TimeForm = { unit: 'timestamp' }
  const found = times(plain)
  if (found !== undefined || type !== 'VARCHAR') return spanOf({ column: name, ...plain }, found, false)
  const formats = [...new Set([0, Math.floor(filled.length / 2)].flatMap((at) => formatsOf(filled[at].trim(), {})))]
  const readable = formats
    .map((format) => spanOf({ column: name, unit: 'timestamp', format }, times({ unit: 'timestamp', format }), false))
    .filter((guess) => guess !== undefined)
  // Where day and month cannot be told apart, the order of the rows tells.
  const best = readable.find(({ ordered }) => ordered) ?? readable[0]
  const other = readable.find((guess) => guess !== best && guess.ordered === best.ordered)?.role.format
  return best === undefined || other === undefined ? best : { ...best, exchanged: other }
}

function countedGuess({ name }: ColumnFacts, numbers: number[]): TimeGuess | undefined {
  const [first, last] = [numbers[0], numbers[numbers.length - 1]]
  const unit = likelyUnit(first)
  if (unit !== undefined && unit === likelyUnit(last)) {
    return spanOf(
      { column: name, unit },
      numbers.map((count) => countedTime(count, unit)),
      false,
    )
  }
  if (!COUNTER.test(name) || numbers.some((count) => count < 0)) return undefined
  const counter = counterUnit(name)
  const role: TimeRole = { column: name, unit: counter, origin: START }
  return spanOf(
    role,
    numbers.map((count) => countedTime(count, counter, START)),
    true,
  )
}

/** What a counter counts: hours of a simulation, days, else seconds. */
function counterUnit(name: string): TimeUnit {
  if (/step|hour/i.test(name)) return 'h'
  if (/day/i.test(name)) return 'd'
  return /ms$|milli/i.test(name) ? 'ms' : 's'
}

function spanOf(role: TimeRole, times: EpochMs[] | undefined, madeUp: boolean): TimeGuess | undefined {
  if (times === undefined || times.length === 0) return undefined
  let [from, to, ordered] = [Infinity, -Infinity, true]
  for (const time of times) {
    if (!(time >= 0)) return undefined
    if (time < to) ordered = false
    from = Math.min(from, time)
    to = Math.max(to, time)
  }
  return { role, from, to, ordered, madeUp }
}

/** The guess of a file's first rows with the time of its last one. */
export function untilLast(guess: TimeGuess, cell: string): TimeGuess {
  const { role } = guess
  const last =
    role.unit === 'timestamp' ? textTimeReader(role)(cell.trim()) : countedTime(Number(cell), role.unit, role.origin)
  if (!(last >= 0)) return guess
  return { ...guess, to: Math.max(guess.to, last), ordered: guess.ordered && last >= guess.to }
}
