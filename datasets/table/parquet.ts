import { closeSync, openSync, renameSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { BIGINT, DOUBLE, DuckDBDataChunk, FLOAT, INTEGER, TIMESTAMP, UTINYINT, VARCHAR } from '@duckdb/node-api'
import type { DuckDBAppender, DuckDBVector } from '@duckdb/node-api'
import { makeFolder } from '../../configs/folder.ts'
import { errorMessage, UserError } from '../../configs/user-error.ts'
import type { Database } from './duckdb.ts'
import { openDatabase, sqlName, sqlText, vectorItems } from './duckdb.ts'

const TYPES = { DOUBLE, FLOAT, INTEGER, UTINYINT, BIGINT, TIMESTAMP, VARCHAR } as const

/** A column of a Parquet file. TIMESTAMP is filled with EpochMs and read as UTC. */
export interface ParquetColumn {
  name: string
  type: keyof typeof TYPES
}

/** Numbers for every type but VARCHAR; a KeyColumn fits. */
export type ColumnValues = Float64Array | Float32Array | Int32Array | Uint8Array | readonly string[]

/**
 * Writes one Parquet file (zstd). Nothing stands under the file's name until `close` is done. Disposing of a writer
 * that was not closed removes all it wrote.
 */
export interface ParquetWriter extends AsyncDisposable {
  /**
   * Appends the first `rows` entries of each column, in the order of the columns the writer was opened with. The arrays
   * may be reused at once. In BIGINT and TIMESTAMP columns numbers are whole and exact to 2^53, and numbers that are
   * not finite become NULL. In DOUBLE and FLOAT columns NaN stays NaN.
   *
   * @throws TypeError or RangeError for columns that do not fit, which is a bug of ours.
   */
  append(columns: readonly ColumnValues[], rows: number): void
  /**
   * Completes the file and puts it in place of an older one.
   *
   * @throws UserError when the disk is full or the folder cannot be written.
   */
  close(): Promise<void>
}

/** What stands before the columns that are appended, row by row. It has as many rows. */
export interface Beside {
  /** A query. */
  sql: string
  /** Throws when what the query reads is no more what it was: then its rows would be others. */
  unchanged(): void
}

/** What else stands in a file that is written, and in which format. */
interface FileForm {
  beside?: Beside
  format: 'parquet' | 'csv' | 'csv.gz'
}

/** Rows of a DuckDB data chunk. */
const CHUNK_ROWS = 2048
/** Rows beyond this much memory wait in a folder beside the file. */
const MEMORY_LIMIT = '400MB'

/**
 * Opens a writer of `file`; missing folders are made.
 *
 * The rows wait uncompressed in DuckDB, in bounded memory. One `COPY` then compresses them on all cores, which is
 * faster than compressing row group after row group on one.
 *
 * @throws UserError when the folder cannot be written.
 */
export function openParquetWriter(file: string, columns: readonly ParquetColumn[]): Promise<ParquetWriter> {
  return openWriter(file, columns, { format: 'parquet' })
}

/**
 * Opens a writer of a file whose ending says what it becomes: `.parquet`, `.csv` or `.csv.gz`. In a CSV, what is
 * missing is an empty cell: NaN, and '' in the columns that are appended.
 *
 * @throws UserError as `openParquetWriter`, for a file of another ending, and where what stands beside has changed.
 */
export async function openTableWriter(
  file: string,
  columns: readonly ParquetColumn[],
  beside: Beside,
): Promise<ParquetWriter> {
  return openWriter(file, columns, { beside, format: tableFormat(file) })
}

/** @throws UserError for an ending that says of no format. */
export function tableFormat(file: string): FileForm['format'] {
  const ending = /\.(parquet|csv|csv\.gz)$/i.exec(file)?.[1].toLowerCase()
  if (ending === 'parquet' || ending === 'csv' || ending === 'csv.gz') return ending
  throw new UserError(`${file} ends in no format that is written. Name a file that ends in .parquet, .csv or .csv.gz.`)
}

/** @throws UserError for two columns of one name: tables do not tell names apart by their case. */
function requireNames(file: string, columns: readonly ParquetColumn[]): void {
  const seen = new Map<string, string>()
  for (const { name } of columns) {
    const other = seen.get(name.toLowerCase())
    if (other !== undefined) {
      const both =
        other === name ? `two columns "${name}"` : `the columns "${other}" and "${name}", which tables take for one`
      throw new UserError(`${file} would have ${both}. Give the feature, or the column, another name.`)
    }
    seen.set(name.toLowerCase(), name)
  }
}

async function openWriter(file: string, columns: readonly ParquetColumn[], form: FileForm): Promise<ParquetWriter> {
  requireNames(file, columns)
  const partial = `${file}.partial`
  const spill = `${file}.spill`
  claim(file, partial)
  // What is read from a table on its way to the file cannot wait beside it: of 400 columns it may be more than that.
  const limit: Record<string, string> = form.beside === undefined ? { memory_limit: MEMORY_LIMIT } : {}
  const database = await openDatabase(':memory:', { ...limit, temp_directory: spill })
  await database.run(`CREATE TABLE rows (${columns.map(({ name, type }) => `${sqlName(name)} ${type}`).join(', ')})`)
  const appender = await database.connection.createAppender('rows')
  const chunk = DuckDBDataChunk.create(columns.map(({ type }) => TYPES[type]))
  let open = true
  const release = async (): Promise<void> => {
    if (!open) return
    open = false
    appender.clear()
    await database[Symbol.asyncDispose]()
    rmSync(partial, { force: true })
    rmSync(spill, { recursive: true, force: true })
  }
  return {
    append: (values, rows) => guard(file, () => appendRows(appender, chunk, columns, values, rows)),
    close: async () => {
      try {
        await complete(database, appender, { partial, file }, copySql(columns, form), form.beside)
      } finally {
        await release()
      }
    },
    [Symbol.asyncDispose]: release,
  }
}

/** The query of all columns, and the options with which it is copied. */
function copySql(columns: readonly ParquetColumn[], { beside, format }: FileForm): [query: string, options: string] {
  const shown = columns.map(({ name, type }) => {
    const cell = `r.${sqlName(name)}`
    if (format === 'parquet' || !(type in EMPTY)) return cell
    return `${EMPTY[type as keyof typeof EMPTY](cell)} AS ${sqlName(name)}`
  })
  const rows = beside === undefined ? 'rows r' : `(${beside.sql}) b POSITIONAL JOIN rows r`
  const query = `SELECT ${[...(beside === undefined ? [] : ['b.*']), ...shown].join(', ')} FROM ${rows}`
  if (format === 'parquet') return [query, 'FORMAT parquet, COMPRESSION zstd']
  return [query, `FORMAT csv, HEADER true${format === 'csv.gz' ? ', COMPRESSION gzip' : ''}`]
}

/** What a missing value of a type becomes, where cells are text. */
const EMPTY = {
  DOUBLE: (cell: string) => `CASE WHEN isnan(${cell}) THEN NULL ELSE ${cell} END`,
  FLOAT: (cell: string) => `CASE WHEN isnan(${cell}) THEN NULL ELSE ${cell} END`,
  VARCHAR: (cell: string) => `nullif(${cell}, '')`,
}

async function complete(
  database: Database,
  appender: DuckDBAppender,
  { partial, file }: { partial: string; file: string },
  [query, options]: [query: string, options: string],
  beside?: Beside,
): Promise<void> {
  try {
    appender.flushSync()
    await database.run(`COPY (${query}) TO ${sqlText(partial)} (${options})`)
    beside?.unchanged()
    renameSync(partial, file)
  } catch (error) {
    if (error instanceof UserError) throw error
    beside?.unchanged()
    throw writeError(file, error)
  }
}

/**
 * Makes the folder and an empty partial file, so that a folder that cannot be written is found before the rows come.
 */
function claim(file: string, partial: string): void {
  guard(file, () => {
    makeFolder(dirname(file))
    closeSync(openSync(partial, 'w'))
  })
}

/** Runs `write`; bugs (TypeError, RangeError) and UserErrors pass, any other error is one of the disk. */
function guard(file: string, write: () => void): void {
  try {
    write()
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError || error instanceof UserError) throw error
    throw writeError(file, error)
  }
}

function writeError(file: string, error: unknown): UserError {
  return new UserError(
    `Cannot write ${file}: ${errorMessage(error)}\n` +
      'Free space on the disk or choose another file, then run the command again.',
    { cause: error },
  )
}

function appendRows(
  appender: DuckDBAppender,
  chunk: DuckDBDataChunk,
  columns: readonly ParquetColumn[],
  values: readonly ColumnValues[],
  rows: number,
): void {
  if (values.length !== columns.length)
    throw new RangeError(`${values.length} columns given, the file has ${columns.length}`)
  for (let from = 0; from < rows; from += CHUNK_ROWS) {
    const size = Math.min(CHUNK_ROWS, rows - from)
    chunk.reset()
    chunk.rowCount = size
    for (const [index, { type }] of columns.entries()) {
      const vector = chunk.getColumnVector(index)
      fill(vector, type, values[index], from, size)
      vector.flush()
    }
    appender.appendDataChunk(chunk)
  }
}

function fill(
  vector: DuckDBVector,
  type: ParquetColumn['type'],
  values: ColumnValues,
  from: number,
  size: number,
): void {
  if (values.length < from + size)
    throw new RangeError(`A column has ${values.length} entries, ${from + size} are needed`)
  if (!ArrayBuffer.isView(values)) {
    if (type !== 'VARCHAR') throw new TypeError(`Text cannot fill a ${type} column`)
    for (let row = 0; row < size; row++) vector.setItem(row, values[from + row])
    return
  }
  const items = vectorItems(vector)
  if (items instanceof BigInt64Array) {
    fillInt64(vector, items, values, from, size, type === 'TIMESTAMP' ? 1000 : 1)
  } else if (isNumeric(items)) {
    items.set(values.subarray(from, from + size))
  } else {
    throw new TypeError(`Numbers cannot fill a ${type} column`)
  }
}

type NumericItems = Float64Array | Float32Array | Int32Array | Uint8Array

function isNumeric(items: unknown): items is NumericItems {
  return (
    items instanceof Float64Array ||
    items instanceof Float32Array ||
    items instanceof Int32Array ||
    items instanceof Uint8Array
  )
}

/**
 * Writes each value as two 32-bit halves, little endian as DuckDB keeps them. A BigInt for each value would cost twenty
 * times as much.
 */
function fillInt64(
  vector: DuckDBVector,
  items: BigInt64Array,
  values: Exclude<ColumnValues, readonly string[]>,
  from: number,
  size: number,
  factor: number,
): void {
  const halves = new Uint32Array(items.buffer, items.byteOffset, size * 2)
  for (let row = 0; row < size; row++) {
    const value = values[from + row] * factor
    if (!Number.isFinite(value)) {
      vector.setItem(row, null)
      continue
    }
    const high = Math.floor(value / 0x1_0000_0000)
    halves[2 * row] = value - high * 0x1_0000_0000
    halves[2 * row + 1] = high
  }
}
