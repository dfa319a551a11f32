import { UserError } from '../../configs/user-error.ts'
import type { DatasetSchema, KeyRole } from './dataset.ts'
import type { ColumnChunk } from './duckdb.ts'
import { sqlName } from './duckdb.ts'
import type { TableSource } from './source.ts'
import type { EpochMs, EventBatch, KeyColumn } from './transaction.ts'

/** The problem of a cell that is no time. */
const NO_TIME = 'is not a time from 1970 on'

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
  /** Converts the chunk's column `index` into the batch, from row `at` on. Stops at the first bad cell. */
  fill(batch: EventBatch, at: number, chunk: ColumnChunk, index: number): BadCell | undefined
}

/** The columns of a schema in reading order: id, time, amount, entities, label, known at, numeric, categorical. */
export function tableColumns(schema: DatasetSchema, source: TableSource): TableColumn[] {
  return [
    ...(schema.id === undefined ? [] : [keyColumn(schema.id, (batch) => batch.ids)]),
    timeColumn(schema, source),
    amountColumn(schema),
    ...schema.entities.map((entity, index) => keyColumn(entity, (batch) => batch.entities[index])),
    ...labelColumns(schema, source),
    ...schema.numeric.map((column, index) => numericColumn(column, index)),
    ...schema.categorical.map((column, index) => categoricalColumn(column, index)),
  ]
}

/** A number that must be there: NULL and text that is no number become NaN. */
function requiredNumber(column: string): string {
  return `coalesce(try_cast(${sqlName(column)} AS DOUBLE), 'nan'::DOUBLE)`
}

/**
 * A number that may be missing: NULL and '' become NaN, text that is no number becomes infinity, which is an error. So
 * the two stay apart without a validity mask.
 */
function optionalNumber(column: string): string {
  return `coalesce(try_cast(${sqlName(column)} AS DOUBLE), ${whenEmpty(column, 'nan', 'inf')})`
}

/** The DOUBLE that stands for an empty cell (NULL or blank), or else for one that could not be read. */
function whenEmpty(column: string, empty: 'nan' | 'inf', unreadable: 'nan' | 'inf'): string {
  const name = sqlName(column)
  const isEmpty = `${name} IS NULL OR trim(${name}::VARCHAR) = ''`
  return `CASE WHEN ${isEmpty} THEN '${empty}'::DOUBLE ELSE '${unreadable}'::DOUBLE END`
}

function keyColumn({ column, type }: KeyRole, target: (batch: EventBatch) => KeyColumn): TableColumn {
  if (type === 'string') {
    return {
      column,
      sql: `${sqlName(column)}::VARCHAR`,
      fill: (batch, at, chunk, index) => fillText(column, target(batch), at, chunk.strings(index)),
    }
  }
  return {
    column,
    sql: requiredNumber(column),
    fill: (batch, at, chunk, index) => fillWhole(column, target(batch), at, chunk.doubles(index)),
  }
}

function fillText(column: string, target: KeyColumn, at: number, cells: string[]): BadCell | undefined {
  for (let row = 0; row < cells.length; row++) {
    if (cells[row] === '') return { row, column, problem: 'is empty; every row needs one' }
    target[at + row] = cells[row]
  }
  return undefined
}

function fillWhole(column: string, target: KeyColumn, at: number, cells: Float64Array): BadCell | undefined {
  for (let row = 0; row < cells.length; row++) {
    const value = cells[row]
    if (!(value >= 0 && value <= Number.MAX_SAFE_INTEGER && Math.floor(value) === value)) {
      return {
        row,
        column,
        problem: 'is not a whole number from 0 to 2^53 − 1; a key that is text or longer needs `type: string`',
      }
    }
    target[at + row] = value
  }
  return undefined
}

function timeColumn({ time }: DatasetSchema, source: TableSource): TableColumn {
  const { column, unit, origin = 0 } = time
  if (unit === 'timestamp') {
    return { column, sql: `coalesce(${epochMs(column, source)}, 'nan'::DOUBLE)`, fill: timeFill(column, 1, 0) }
  }
  return { column, sql: requiredNumber(column), fill: timeFill(column, unit === 's' ? 1000 : 1, origin) }
}

/** Fills the batch's times from cells that count units of `scale` ms from `origin`. */
function timeFill(column: string, scale: number, origin: EpochMs): TableColumn['fill'] {
  return (batch, at, chunk, index) => {
    const cells = chunk.doubles(index)
    for (let row = 0; row < cells.length; row++) {
      const time = Math.round(cells[row] * scale) + origin
      if (!(time >= 0 && time <= Number.MAX_SAFE_INTEGER)) return { row, column, problem: NO_TIME }
      batch.time[at + row] = time
    }
    return undefined
  }
}

/** EpochMs as DOUBLE; NULL for text that is no time. Text without an offset is UTC. */
function epochMs(column: string, source: TableSource): string {
  const type = source.types.get(column)
  const name = sqlName(column)
  if (type === 'VARCHAR') return `epoch_ms(try_cast(${name} AS TIMESTAMPTZ))::DOUBLE`
  if (type === 'TIMESTAMP WITH TIME ZONE') return `epoch_ms(${name})::DOUBLE`
  if (type !== undefined && /^(TIMESTAMP|DATE)/.test(type)) return `epoch_ms(${name}::TIMESTAMP)::DOUBLE`
  throw new UserError(
    `${source.file}: the column ${column} is ${type ?? 'missing'}, not a timestamp. ` +
      `For a number of seconds or milliseconds set \`unit: s\` or \`unit: ms\` in the dataset's schema.`,
  )
}

function amountColumn({ amount: { column, minorUnits } }: DatasetSchema): TableColumn {
  const scale = 10 ** minorUnits
  const fill: TableColumn['fill'] = (batch, at, chunk, index) => {
    const cells = chunk.doubles(index)
    for (let row = 0; row < cells.length; row++) {
      const scaled = cells[row] * scale
      const minor = Math.round(scaled)
      if (!(cells[row] >= 0 && minor <= Number.MAX_SAFE_INTEGER))
        return { row, column, problem: 'is not an amount: a number from 0 on' }
      // A decimal fraction is off by its last bit, and more so the larger it is. A decimal too many is off by at least
      // a tenth, so the two cannot be confused.
      if (Math.abs(scaled - minor) > 1e-4 + scaled * 2 ** -50) {
        return { row, column, problem: tooManyDecimals(minorUnits) }
      }
      // Adding 0 turns −0 into 0.
      batch.amount[at + row] = minor + 0
    }
    return undefined
  }
  return { column, sql: requiredNumber(column), fill }
}

function tooManyDecimals(minorUnits: number): string {
  return `has more than ${minorUnits} decimals; set \`minorUnits\` of the amount to the decimals of the currency`
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
  const labels = { column, sql: requiredNumber(column), fill }
  return knownAt === undefined ? [labels] : [labels, knownAtColumn(knownAt, source)]
}

/** When the label became known. An empty cell means not known yet, which is Infinity. */
function knownAtColumn(column: string, source: TableSource): TableColumn {
  return {
    column,
    sql: `coalesce(${epochMs(column, source)}, ${whenEmpty(column, 'inf', 'nan')})`,
    fill: (batch, at, chunk, index) => {
      const cells = chunk.doubles(index)
      const row = cells.findIndex((cell) => !(cell >= 0))
      if (row >= 0) return { row, column, problem: NO_TIME }
      batch.knownAt.set(cells, at)
      return undefined
    },
  }
}

function numericColumn(column: string, target: number): TableColumn {
  const fill: TableColumn['fill'] = (batch, at, chunk, index) => {
    const cells = chunk.doubles(index)
    for (let row = 0; row < cells.length; row++) {
      if (cells[row] === Infinity || cells[row] === -Infinity) return { row, column, problem: 'is not a number' }
    }
    batch.numeric[target].set(cells, at)
    return undefined
  }
  return { column, sql: optionalNumber(column), fill }
}

function categoricalColumn(column: string, target: number): TableColumn {
  const fill: TableColumn['fill'] = (batch, at, chunk, index) => {
    for (const [row, cell] of chunk.strings(index).entries()) batch.categorical[target][at + row] = cell
    return undefined
  }
  return { column, sql: `${sqlName(column)}::VARCHAR`, fill }
}
