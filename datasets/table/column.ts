import { UserError } from '../../configs/user-error.ts'
import { amountBounds, amountFault, toMinorUnits } from './amount.ts'
import type { CellRole } from './cell-hint.ts'
import type { DatasetSchema } from './dataset.ts'
import { sqlText, type ColumnChunk } from './duckdb.ts'
import { amountsBelow, holdsCount, isNarrow, wholeBelow, widthOf } from './float.ts'
import { textFault } from './key.ts'
import { NOT_UTF8, type TableSource } from './source.ts'
import { clockOf, countedTime, likelyUnit, textTimeForm, textTimeReader, type TimeForm, type TimeUnit } from './time.ts'
import { UNLABELLED, type EventBatch } from './transaction.ts'

/** The problem of a cell that is no time. */
const NO_TIME = 'is not a time from 1970 to 2999'

/** The problem of a cell that should be text. */
export const BYTES = 'is not UTF-8 text; fd reads bytes as text only'

/** Stands for a number of a float column that may be rounded, where it is to be a key. */
export const ROUNDED = '\u0001 rounded \u0001'

/**
 * The text of a key or a category. A whole number of a float column is written as one, `7` and not `7.0`: pandas makes
 * floats of whole numbers where one is missing, and a producer does not. NaN is missing.
 *
 * @param rounded what stands for a number that may be rounded; without it that is its text.
 */
export function textSql(column: string, source: TableSource, rounded?: string): string {
  const cell = source.ref(column)
  const exact = wholeBelow(source.types.get(column))
  if (exact === undefined) return `${cell}::VARCHAR`
  const whole = `abs(${cell}) < ${exact} AND ${cell} = trunc(${cell})`
  const large = rounded === undefined ? '' : `WHEN abs(${cell}) >= ${exact} THEN ${sqlText(rounded)} `
  return (
    `CASE WHEN isnan(${cell}) THEN NULL WHEN ${whole} THEN ${cell}::BIGINT::VARCHAR ` +
    `${large}ELSE ${cell}::VARCHAR END`
  )
}

/** The problem of a cell that is no label. */
const NO_LABEL = 'is not a label: 0, false, no (genuine) or 1, true, yes (fraud), or empty (not known)'

/** The first cell of a chunk that does not fit its role. */
export interface BadCell {
  /** Row of the chunk. */
  row: number
  column: string
  /** Follows the cell's text in the message: `is not a number`. */
  problem: string
  /** What the cell should have been, where its text was not understood: then it may be read when it is declared. */
  role?: CellRole
}

/** One column of a table on its way into one column of a batch. */
export interface TableColumn {
  column: string
  /** Select expression. It never yields NULL for numbers: see `requiredNumber` and `optionalNumber`. */
  sql: string
  /** What rows are sorted by, where that is not the selected expression but what a cell of it says: EpochMs. */
  order?: (cell: string) => number
  /** Converts the chunk's column `index` into the batch, from row `at` on. Stops at the first bad cell. */
  fill(batch: EventBatch, at: number, chunk: ColumnChunk, index: number): BadCell | undefined
}

/** A number that must be there: NULL and text that is no number become NaN. */
export function requiredNumber(ref: string): string {
  return `coalesce(try_cast(${ref} AS DOUBLE), 'nan'::DOUBLE)`
}

/**
 * A number that may be missing: NULL and '' become NaN, text that is no number becomes infinity, which is an error. So
 * the two stay apart without a validity mask.
 *
 * @param isText the cells are text: there nan is no number, as in the stream. A NaN of a float column is missing.
 */
export function optionalNumber(name: string, isText = false): string {
  const cast = `try_cast(${name} AS DOUBLE)`
  const rest = `WHEN trim(${name}::VARCHAR) = '' THEN 'nan'::DOUBLE ELSE 'inf'::DOUBLE END`
  if (!isText) return `coalesce(${cast}, CASE WHEN ${name} IS NULL THEN 'nan'::DOUBLE ${rest})`
  // Nearly all cells are empty or numbers, so these are asked first. That halves the time of a table of 400 columns.
  return `CASE WHEN ${name} IS NULL THEN 'nan'::DOUBLE WHEN isfinite(${cast}) THEN ${cast} ${rest}`
}

export function timeColumns({ time }: DatasetSchema, source: TableSource): TableColumn[] {
  if (time === 'none') return []
  const { column, unit, origin } = time
  const into = (batch: EventBatch): Float64Array => batch.time
  if (unit === 'timestamp') return [instantColumn(column, time, source, into)]
  const type = source.types.get(column)
  const narrow = isNarrow(type)
  const fill: TableColumn['fill'] = (batch, at, chunk, index) => {
    const cells = chunk.doubles(index)
    for (let row = 0; row < cells.length; row++) {
      const time = countedTime(cells[row], unit, origin)
      if (Number.isNaN(cells[row])) return { row, column, problem: NO_TIME, role: 'time' }
      if (!(time >= 0)) return { row, column, problem: NO_TIME + unitHint(cells[row], unit) }
      if (narrow && !holdsCount(type, cells[row], unit))
        return { row, column, problem: mayBeRounded(type, 'times', 'whole numbers, or as DOUBLE') }
      batch.time[at + row] = time
    }
    return undefined
  }
  return [{ column, sql: requiredNumber(source.number(column)), fill }]
}

/** The problem of a float that may stand for another number. A cast of the column would keep what was rounded. */
export function mayBeRounded(type: string | undefined, what: string, as: string): string {
  return (
    `may be rounded: the column holds floats of ${widthOf(type)} bits, which do not hold all ${what} of this size; ` +
    `where the file is made, write ${what} as ${as}`
  )
}

/** Proposes the unit by which a number that is no time would be one. */
function unitHint(count: number, declared: TimeUnit): string {
  const unit = likelyUnit(count)
  return unit === undefined ? '' : `, counted in ${declared}; set \`unit: ${unit}\` of the time in the dataset's schema`
}

/**
 * A column of instants: of a timestamp type, or text, which is read by the parser of the stream. A timestamp without a
 * zone is on the clock of the declared one.
 *
 * @param empty what an empty cell stands for; without it, an empty cell is none.
 */
function instantColumn(
  column: string,
  form: TimeForm,
  source: TableSource,
  into: (batch: EventBatch) => Float64Array,
  empty = Number.NaN,
): TableColumn {
  const type = source.types.get(column)
  if (type === 'VARCHAR') {
    const parse = textTimeReader(form)
    const instant = (cell: string): number => (cell.trim() === '' ? empty : parse(cell))
    const role = Number.isNaN(empty) ? ('time' as const) : ('other' as const)
    const bad = { column, problem: `${NO_TIME}: give ${textTimeForm(form)}`, role }
    const fill = timesFill(bad, into, (chunk, index) => chunk.strings(index), instant)
    return { column, sql: source.ref(column), order: parse, fill }
  }
  const clock = type === 'TIMESTAMP WITH TIME ZONE' ? clockOf({ unit: 'ms' }) : clockOf(form)
  const instant = (cell: number): number => (Number.isNaN(cell) ? empty : countedTime(clock(cell), 'ms'))
  const problem = form.zone === undefined ? NO_TIME : `${NO_TIME}, or the clocks of ${form.zone} skip it`
  const fill = timesFill({ column, problem }, into, (chunk, index) => chunk.doubles(index), instant)
  return { column, sql: `coalesce(${epochMs(column, source)}, 'nan'::DOUBLE)`, fill }
}

function timesFill<Cell>(
  bad: Omit<BadCell, 'row'>,
  into: (batch: EventBatch) => Float64Array,
  cellsOf: (chunk: ColumnChunk, index: number) => ArrayLike<Cell>,
  timeOf: (cell: Cell) => number,
): TableColumn['fill'] {
  return (batch, at, chunk, index) => {
    const [cells, times] = [cellsOf(chunk, index), into(batch)]
    for (let row = 0; row < cells.length; row++) {
      const time = timeOf(cells[row])
      if (!(time >= 0)) return { row, ...bad }
      times[at + row] = time
    }
    return undefined
  }
}

/** EpochMs as DOUBLE of a timestamp or date; without a zone, as if it were UTC. */
function epochMs(column: string, source: TableSource): string {
  const type = source.types.get(column)
  const name = source.ref(column)
  if (type === 'TIMESTAMP WITH TIME ZONE') return `epoch_ms(${name})::DOUBLE`
  if (type !== undefined && /^(TIMESTAMP|DATE)/.test(type)) return `epoch_ms(${name}::TIMESTAMP)::DOUBLE`
  throw new UserError(
    `${source.file}: the column ${column} is ${type ?? 'missing'}, not a timestamp. ` +
      `For a number of seconds or milliseconds set \`unit: s\` or \`unit: ms\` in the dataset's schema.`,
  )
}

export function amountColumn(
  { amount: { column, minorUnits }, refunds }: DatasetSchema,
  source: TableSource,
): TableColumn {
  const type = source.types.get(column)
  const below = amountsBelow(type, minorUnits) * 10 ** minorUnits
  const fill: TableColumn['fill'] = (batch, at, chunk, index) => {
    const cells = chunk.doubles(index)
    for (let row = 0; row < cells.length; row++) {
      const minor = toMinorUnits(cells[row], minorUnits, refunds)
      // False for NaN too.
      if (!(Math.abs(minor) < below)) return { row, column, ...amountProblem(cells[row], minorUnits, refunds, type) }
      batch.amount[at + row] = minor
    }
    return undefined
  }
  return { column, sql: requiredNumber(decimalText(column, source)), fill }
}

/** A narrow float stands for its shortest decimal text: 117.12, not the 117.12000274658203 that it widens to. */
export function decimalText(column: string, source: TableSource): string {
  return isNarrow(source.types.get(column)) ? `${source.ref(column)}::VARCHAR` : source.number(column)
}

function amountProblem(
  amount: number,
  decimals: number,
  refunds: boolean | undefined,
  type: string | undefined,
): Pick<BadCell, 'problem' | 'role'> {
  const fault = amountFault(amount, decimals, refunds)
  if (fault === 'too many decimals') {
    if (Math.abs(amount) >= amountsBelow(type, decimals))
      return { problem: mayBeRounded(type, 'amounts', 'DOUBLE or DECIMAL') }
    const advice = 'set `minorUnits` of the amount to the decimals of the currency'
    return { problem: `has more than ${decimals} decimals; ${advice}` }
  }
  const problem = `is not an amount from ${amountBounds(decimals, refunds)}`
  if (fault === 'no number') return { problem, role: 'amount' }
  const hint = amount < 0 && refunds !== true ? '; where these are refunds, set `refunds: true` in the schema' : ''
  return { problem: problem + hint }
}

export function labelColumns({ label, time }: DatasetSchema, source: TableSource): TableColumn[] {
  if (label === undefined) return []
  const { column, delay = 0, knownAt } = label
  const fill: TableColumn['fill'] = (batch, at, chunk, index) => {
    const cells = chunk.doubles(index)
    for (let row = 0; row < cells.length; row++) {
      const known = !Number.isNaN(cells[row])
      if (cells[row] === Infinity) return { row, column, problem: NO_LABEL, role: 'other' }
      if (known && cells[row] !== 0 && cells[row] !== 1) return { row, column, problem: NO_LABEL }
      batch.label[at + row] = known ? cells[row] : UNLABELLED
      batch.knownAt[at + row] = known ? batch.time[at + row] + delay : Infinity
    }
    return undefined
  }
  const labels = { column, sql: labelSql(source.ref(column), source.types.get(column)), fill }
  return knownAt === undefined || time === 'none' ? [labels] : [labels, knownAtColumn(knownAt, time, source)]
}

/** DuckDB's types that are numbers, or become 0 and 1 as numbers do. */
const NUMERIC = /INT|DOUBLE|FLOAT|DECIMAL|BOOLEAN/

/** 1 fraud, 0 genuine, NaN not known; anything else is no label. Infinity stands for what is no number, and for NaN. */
function labelSql(ref: string, type: string | undefined): string {
  const figure = (number: string): string => `coalesce(nullif(${number}, 'nan'::DOUBLE), 'inf'::DOUBLE)`
  if (NUMERIC.test(type ?? ''))
    return `CASE WHEN ${ref} IS NULL THEN 'nan'::DOUBLE ELSE ${figure(`${ref}::DOUBLE`)} END`
  const cell = `${ref}::VARCHAR`
  const word = `lower(trim(${cell}))`
  const cases = [
    // Nearly all labels are these, which need no look at words.
    `WHEN ${cell} = '0' THEN 0`,
    `WHEN ${cell} = '1' THEN 1`,
    `WHEN ${ref} IS NULL OR ${word} = '' THEN 'nan'::DOUBLE`,
    `WHEN ${word} IN ('true', 'yes', 'y', 't') THEN 1`,
    `WHEN ${word} IN ('false', 'no', 'n', 'f') THEN 0`,
  ]
  return `CASE ${cases.join(' ')} ELSE ${figure(`try_cast(${word} AS DOUBLE)`)} END`
}

/** When the label became known, written as the time is. An empty cell means not known yet, which is Infinity. */
function knownAtColumn(column: string, time: TimeForm, source: TableSource): TableColumn {
  return instantColumn(column, time, source, (batch) => batch.knownAt, Infinity)
}

export function categoricalColumn(column: string, source: TableSource, target: number): TableColumn {
  const fill: TableColumn['fill'] = (batch, at, chunk, index) => {
    for (const [row, cell] of chunk.strings(index).entries()) {
      if (cell === NOT_UTF8) return { row, column, problem: BYTES }
      const fault = textFault(cell)
      if (fault !== undefined) return { row, column, problem: `is no category: it must be ${fault}` }
      batch.categorical[target][at + row] = cell
    }
    return undefined
  }
  return { column, sql: textSql(column, source), fill }
}
