import { UserError } from '../../configs/user-error.ts'
import { amountBounds, amountFault, toMinorUnits } from './amount.ts'
import type { DatasetSchema, KeyRole } from './dataset.ts'
import type { ColumnChunk } from './duckdb.ts'
import { isWholeKey, keyFault, textFault, WHOLE_NUMBER } from './key.ts'
import { NOT_UTF8, type TableSource } from './source.ts'
import { countedTime, likelyUnit, parseTime, TIME_FORM, type TimeUnit } from './time.ts'
import type { EventBatch, KeyColumn } from './transaction.ts'

/** The problem of a cell that is no time. */
const NO_TIME = 'is not a time from 1970 to 2999'
const NO_TIME_TEXT = `${NO_TIME}: give ${TIME_FORM}`

/** The problem of a cell that should be text. */
const BYTES = 'is not UTF-8 text; fd reads bytes as text only'

/** The first cell of a chunk that does not fit its role. */
export interface BadCell {
  /** Row of the chunk. */
  row: number
  column: string
  /** Follows the cell's text in the message: `is not a number`. */
  problem: string
}

/** One column of a table on its way into one column of a batch. */
export interface TableColumn {
  column: string
  /** Select expression. It never yields NULL for numbers: see `requiredNumber` and `optionalNumber`. */
  sql: string
  /** What rows are sorted by, where that is not the selected expression: EpochMs as SQL. */
  order?: string
  /** Converts the chunk's column `index` into the batch, from row `at` on. Stops at the first bad cell. */
  fill(batch: EventBatch, at: number, chunk: ColumnChunk, index: number): BadCell | undefined
}

/** The columns of a schema in reading order: id, time, amount, entities, label, known at, numeric, categorical. */
export function tableColumns(schema: DatasetSchema, source: TableSource): TableColumn[] {
  return [
    ...(schema.id === undefined ? [] : [keyColumn(schema.id, source, (batch) => batch.ids)]),
    timeColumn(schema, source),
    amountColumn(schema, source),
    ...schema.entities.map((entity, index) => keyColumn(entity, source, (batch) => batch.entities[index])),
    ...labelColumns(schema, source),
    ...schema.numeric.map((column, index) => numericColumn(column, source, index)),
    ...schema.categorical.map((column, index) => categoricalColumn(column, source, index)),
  ]
}

/** A number that must be there: NULL and text that is no number become NaN. */
function requiredNumber(ref: string): string {
  return `coalesce(try_cast(${ref} AS DOUBLE), 'nan'::DOUBLE)`
}

/**
 * A number that may be missing: NULL and '' become NaN, text that is no number becomes infinity, which is an error. So
 * the two stay apart without a validity mask.
 */
function optionalNumber(name: string): string {
  const isEmpty = `${name} IS NULL OR trim(${name}::VARCHAR) = ''`
  return `coalesce(try_cast(${name} AS DOUBLE), CASE WHEN ${isEmpty} THEN 'nan'::DOUBLE ELSE 'inf'::DOUBLE END)`
}

function keyColumn(
  { column, type }: KeyRole,
  source: TableSource,
  target: (batch: EventBatch) => KeyColumn,
): TableColumn {
  if (type === 'string') {
    return {
      column,
      sql: `${source.ref(column)}::VARCHAR`,
      fill: (batch, at, chunk, index) => fillText(column, target(batch), at, chunk.strings(index)),
    }
  }
  return {
    column,
    sql: requiredNumber(source.ref(column)),
    fill: (batch, at, chunk, index) => fillWhole(column, target(batch), at, chunk.doubles(index)),
  }
}

function fillText(column: string, target: KeyColumn, at: number, cells: string[]): BadCell | undefined {
  for (let row = 0; row < cells.length; row++) {
    if (cells[row] === '') return { row, column, problem: 'is empty; every row needs one' }
    if (cells[row] === NOT_UTF8) return { row, column, problem: BYTES }
    const fault = keyFault(cells[row])
    if (fault !== undefined) return { row, column, problem: `is no key: it must be ${fault}` }
    target[at + row] = cells[row]
  }
  return undefined
}

function fillWhole(column: string, target: KeyColumn, at: number, cells: Float64Array): BadCell | undefined {
  for (let row = 0; row < cells.length; row++) {
    if (!isWholeKey(cells[row])) {
      return { row, column, problem: `is not ${WHOLE_NUMBER}; a key that is text or longer needs \`type: string\`` }
    }
    target[at + row] = cells[row]
  }
  return undefined
}

function timeColumn({ time: { column, unit, origin } }: DatasetSchema, source: TableSource): TableColumn {
  const into = (batch: EventBatch): Float64Array => batch.time
  if (unit === 'timestamp') return instantColumn(column, source, into)
  const fill: TableColumn['fill'] = (batch, at, chunk, index) => {
    const cells = chunk.doubles(index)
    for (let row = 0; row < cells.length; row++) {
      const time = countedTime(cells[row], unit, origin)
      if (!(time >= 0)) return { row, column, problem: NO_TIME + unitHint(cells[row], unit) }
      batch.time[at + row] = time
    }
    return undefined
  }
  return { column, sql: requiredNumber(source.ref(column)), fill }
}

/** Proposes the unit by which a number that is no time would be one. */
function unitHint(count: number, declared: TimeUnit): string {
  const unit = likelyUnit(count)
  return unit === undefined ? '' : `, counted in ${declared}; set \`unit: ${unit}\` of the time in the dataset's schema`
}

/**
 * A column of instants: of a timestamp type, or ISO 8601 as text, which is read by the parser of the stream.
 *
 * @param empty what an empty cell stands for; without it, an empty cell is none.
 */
function instantColumn(
  column: string,
  source: TableSource,
  into: (batch: EventBatch) => Float64Array,
  empty = Number.NaN,
): TableColumn {
  const sql = `coalesce(${epochMs(column, source)}, 'nan'::DOUBLE)`
  if (source.types.get(column) !== 'VARCHAR') {
    const instant = (cell: number): number => (Number.isNaN(cell) ? empty : countedTime(cell, 'ms'))
    return { column, sql, fill: timesFill(column, into, NO_TIME, (chunk, index) => chunk.doubles(index), instant) }
  }
  const instant = (cell: string): number => (cell.trim() === '' ? empty : parseTime(cell))
  const fill = timesFill(column, into, NO_TIME_TEXT, (chunk, index) => chunk.strings(index), instant)
  return { column, sql: source.ref(column), order: sql, fill }
}

function timesFill<Cell>(
  column: string,
  into: (batch: EventBatch) => Float64Array,
  problem: string,
  cellsOf: (chunk: ColumnChunk, index: number) => ArrayLike<Cell>,
  timeOf: (cell: Cell) => number,
): TableColumn['fill'] {
  return (batch, at, chunk, index) => {
    const [cells, times] = [cellsOf(chunk, index), into(batch)]
    for (let row = 0; row < cells.length; row++) {
      const time = timeOf(cells[row])
      if (!(time >= 0)) return { row, column, problem }
      times[at + row] = time
    }
    return undefined
  }
}

/** EpochMs as DOUBLE; NULL for text that is no time. Text without an offset is UTC. Of text, only good to sort by. */
function epochMs(column: string, source: TableSource): string {
  const type = source.types.get(column)
  const name = source.ref(column)
  if (type === 'VARCHAR') return `epoch_ms(try_cast(${name} AS TIMESTAMPTZ))::DOUBLE`
  if (type === 'TIMESTAMP WITH TIME ZONE') return `epoch_ms(${name})::DOUBLE`
  if (type !== undefined && /^(TIMESTAMP|DATE)/.test(type)) return `epoch_ms(${name}::TIMESTAMP)::DOUBLE`
  throw new UserError(
    `${source.file}: the column ${column} is ${type ?? 'missing'}, not a timestamp. ` +
      `For a number of seconds or milliseconds set \`unit: s\` or \`unit: ms\` in the dataset's schema.`,
  )
}

function amountColumn({ amount: { column, minorUnits } }: DatasetSchema, source: TableSource): TableColumn {
  const fill: TableColumn['fill'] = (batch, at, chunk, index) => {
    const cells = chunk.doubles(index)
    for (let row = 0; row < cells.length; row++) {
      const minor = toMinorUnits(cells[row], minorUnits)
      if (!(minor >= 0)) return { row, column, problem: amountProblem(cells[row], minorUnits) }
      batch.amount[at + row] = minor
    }
    return undefined
  }
  // A 32-bit float stands for its shortest decimal text: 117.12, not the 117.12000274658203 that it widens to.
  const sql =
    source.types.get(column) === 'FLOAT'
      ? `coalesce(try_cast(${source.ref(column)}::VARCHAR AS DOUBLE), 'nan'::DOUBLE)`
      : requiredNumber(source.ref(column))
  return { column, sql, fill }
}

function amountProblem(amount: number, decimals: number): string {
  if (amountFault(amount, decimals) !== 'too many decimals') return `is not an amount from ${amountBounds(decimals)}`
  return `has more than ${decimals} decimals; set \`minorUnits\` of the amount to the decimals of the currency`
}

function labelColumns({ label }: DatasetSchema, source: TableSource): TableColumn[] {
  if (label === undefined) return []
  const { column, delay = 0, knownAt } = label
  const fill: TableColumn['fill'] = (batch, at, chunk, index) => {
    const cells = chunk.doubles(index)
    for (let row = 0; row < cells.length; row++) {
      if (cells[row] !== 0 && cells[row] !== 1)
        return { row, column, problem: 'is not a label: 0 (genuine) or 1 (fraud)' }
      batch.label[at + row] = cells[row]
      batch.knownAt[at + row] = batch.time[at + row] + delay
    }
    return undefined
  }
  const labels = { column, sql: requiredNumber(source.ref(column)), fill }
  return knownAt === undefined ? [labels] : [labels, knownAtColumn(knownAt, source)]
}

/** When the label became known. An empty cell means not known yet, which is Infinity. */
function knownAtColumn(column: string, source: TableSource): TableColumn {
  return instantColumn(column, source, (batch) => batch.knownAt, Infinity)
}

function numericColumn(column: string, source: TableSource, target: number): TableColumn {
  const fill: TableColumn['fill'] = (batch, at, chunk, index) => {
    const cells = chunk.doubles(index)
    for (let row = 0; row < cells.length; row++) {
      if (cells[row] === Infinity || cells[row] === -Infinity) return { row, column, problem: 'is not a number' }
    }
    batch.numeric[target].set(cells, at)
    return undefined
  }
  return { column, sql: optionalNumber(source.ref(column)), fill }
}

function categoricalColumn(column: string, source: TableSource, target: number): TableColumn {
  const fill: TableColumn['fill'] = (batch, at, chunk, index) => {
    for (const [row, cell] of chunk.strings(index).entries()) {
      if (cell === NOT_UTF8) return { row, column, problem: BYTES }
      const fault = textFault(cell)
      if (fault !== undefined) return { row, column, problem: `is no category: it must be ${fault}` }
      batch.categorical[target][at + row] = cell
    }
    return undefined
  }
  return { column, sql: `${source.ref(column)}::VARCHAR`, fill }
}
