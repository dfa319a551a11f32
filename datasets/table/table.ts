import { UserError } from '../../configs/user-error.ts'
import { quotedText, shownText } from '../file/shown-text.ts'
import type { Tokenizer } from './card-token.ts'
import { cellHint } from './cell-hint.ts'
import type { BadCell, TableColumn } from './column.ts'
import { amountColumn, categoricalColumn, labelColumns, timeColumns } from './column.ts'
import { batchShape, columnEntities, decimalsOf, type DatasetSchema } from './dataset.ts'
import type { ColumnChunk, Database } from './duckdb.ts'
import { openDatabase } from './duckdb.ts'
import { keyColumn } from './key-column.ts'
import { compoundKeys } from './key.ts'
import { numericColumn } from './numeric-column.ts'
import { columnOf, requireColumns } from './required-columns.ts'
import type { SeenIds } from './seen-ids.ts'
import { seenIds } from './seen-ids.ts'
import type { TableSource } from './source.ts'
import { asDeclared, cellText, openTableSource, placeOf, readError } from './source.ts'
import { emptyBatch } from './transaction.ts'
import type { EpochMs, EventBatch } from './transaction.ts'

/** Rows of a full batch: enough to spread the cost of a batch, few enough for the cache. */
const BATCH_ROWS = 16_384

/** Where the times of a table must end. */
export interface TableEnd {
  /** Its times lie before this instant. */
  before: EpochMs
  /** What a time does that lies beyond it, for the message: `lies ahead of …`. */
  problem: string
}

const NO_END: TableEnd = { before: Infinity, problem: '' }

/** A table being read, and what is remembered from one chunk to the next. */
interface Reading {
  database: Database
  source: TableSource
  schema: DatasetSchema
  columns: TableColumn[]
  tokenize: Tokenizer
  compound: ReturnType<typeof compoundKeys>
  sort: boolean
  end: TableEnd
  seen: SeenIds
  /** Rows read so far. */
  rows: number
  lastTime: EpochMs
}

interface ReadOptions {
  sort?: boolean
  end?: TableEnd
  tokenize?: Tokenizer
}

/**
 * Reads a CSV (also gzipped) or Parquet file as batches of transactions. They come in file order, or with `sort` by
 * time and file order. Only the columns that have a role are read. Times are UTC and amounts become whole minor units.
 * Without an id column a row's id is its number in the file, from 0; without times so is its time.
 *
 * @param options.end where times must end; by default anywhere.
 * @param options.tokenize makes tokens of card numbers; by default keys stay as the file has them.
 * @throws UserError for a missing or unreadable file, a missing column, a cell that does not fit its role, time that
 * goes back (without `sort`) or lies beyond the end, a duplicate id, or a file without rows; each with line, column and
 * value.
 */
export async function* readTable(
  file: string,
  schema: DatasetSchema,
  options: ReadOptions = {},
): AsyncGenerator<EventBatch> {
  await using database = await openDatabase()
  const reading = await openReading(database, file, schema, options)
  const newBatch = (): EventBatch => {
    const batch = emptyBatch(batchShape(schema), BATCH_ROWS)
    return reading.sort ? { ...batch, fileRow: new Float64Array(BATCH_ROWS) } : batch
  }
  let batch = newBatch()
  let size = 0
  for await (const chunk of chunksOf(reading)) {
    if (size + chunk.rows > BATCH_ROWS) {
      yield { ...batch, size }
      batch = newBatch()
      size = 0
    }
    await fillBatch(reading, batch, size, chunk)
    size += chunk.rows
  }
  if (size > 0) yield { ...batch, size }
  if (reading.rows === 0) throw new UserError(`${file} has columns but no rows. Give another file with --data FILE.`)
}

async function openReading(
  database: Database,
  file: string,
  schema: DatasetSchema,
  { sort = false, end = NO_END, tokenize = () => {} }: ReadOptions,
): Promise<Reading> {
  if (sort && schema.time === 'none')
    throw new UserError(`${file} has no times to be sorted by: its dataset says \`time: none\`. Leave out --sort.`)
  const source = asDeclared(await openTableSource(database, file), schema)
  requireColumns(source, schema)
  const columns = tableColumns(schema, source)
  const order = sort ? timeColumn(columns, schema)?.order : undefined
  if (order !== undefined) await database.define(READ_TIME, order)
  const last = schema.time === 'none' ? NO_END : end
  const compound = compoundKeys(schema)
  const seen = seenIds()
  return { database, source, schema, columns, tokenize, compound, sort, end: last, seen, rows: 0, lastTime: -Infinity }
}

/** The columns of a schema in reading order: id, time, amount, entities, label, known at, numeric, categorical. */
function tableColumns(schema: DatasetSchema, source: TableSource): TableColumn[] {
  return [
    ...(schema.id === undefined ? [] : [keyColumn(schema.id, source, (batch) => batch.ids)]),
    ...timeColumns(schema, source),
    amountColumn(schema, source),
    ...columnEntities(schema).map(({ entity, index }) => keyColumn(entity, source, (batch) => batch.entities[index])),
    ...labelColumns(schema, source),
    ...schema.numeric.map((column, n) => numericColumn(column, source, n, decimalsOf(schema, column))),
    ...schema.categorical.map((column, index) => categoricalColumn(column, source, index)),
  ]
}

/** Rows in the file. @throws UserError as `readTable` for the file as a whole. */
export async function countRows(file: string): Promise<number> {
  await using database = await openDatabase()
  const source = await openTableSource(database, file)
  try {
    const [found] = await database.rows(`SELECT count(*)::DOUBLE AS rows FROM ${source.sql}`)
    return Number(found.rows)
  } catch (error) {
    throw readError(file, error)
  }
}

async function* chunksOf(reading: Reading): AsyncGenerator<ColumnChunk> {
  const chunks = reading.database.stream(queryOf(reading))[Symbol.asyncIterator]()
  for (;;) {
    const next = await chunks.next().catch((error: unknown) => {
      throw readError(reading.source.file, error)
    })
    if (next.done === true) return
    yield next.value
  }
}

function queryOf({ columns, schema, sort, source }: Reading): string {
  const selected = columns.map((column) => column.sql).join(', ')
  if (!sort) return `SELECT ${selected} FROM ${source.sql}`
  // A sorted row needs its place in the file: as id, to break ties, and for messages. It is selected last.
  const fileRow = '(row_number() OVER () - 1)::DOUBLE AS file_row'
  const time = timeColumn(columns, schema)
  const order = time?.order === undefined ? time?.sql : `${READ_TIME}(${time.sql})`
  return `SELECT ${selected}, ${fileRow} FROM ${source.sql} ORDER BY ${order}, file_row`
}

/** The function of SQL by which rows are sorted: what reads a time reads it here too, so no two orders can differ. */
const READ_TIME = 'fd_time'

function timeColumn(columns: readonly TableColumn[], { time }: DatasetSchema): TableColumn | undefined {
  return columns.find(({ column }) => column === columnOf(time))
}

async function fillBatch(reading: Reading, batch: EventBatch, at: number, chunk: ColumnChunk): Promise<void> {
  const fileRow = fileRows(reading, chunk)
  if (reading.schema.time === 'none') for (let row = 0; row < chunk.rows; row++) batch.time[at + row] = fileRow(row)
  const { fileRow: places } = batch
  if (places !== undefined) for (let row = 0; row < chunk.rows; row++) places[at + row] = fileRow(row)
  let worst: BadCell | undefined
  for (const [index, column] of reading.columns.entries()) {
    const bad = column.fill(batch, at, chunk, index)
    if (bad !== undefined && (worst === undefined || bad.row < worst.row)) worst = bad
  }
  reading.tokenize(batch, at, at + (worst?.row ?? chunk.rows))
  worst = longCompound(reading, batch, at, worst?.row ?? chunk.rows) ?? worst
  // The error must name the first mistake of the file. The rows before the first bad cell are sound, so their order and
  // ids are checked before that cell is reported.
  await checkOrder(reading, batch, at, worst?.row ?? chunk.rows, fileRow)
  if (worst !== undefined) throw await cellError(reading, worst, fileRow(worst.row))
  reading.rows += chunk.rows
}

/** Fills the keys of entities of several columns, up to the first that is too long. */
function longCompound({ compound }: Reading, batch: EventBatch, at: number, rows: number): BadCell | undefined {
  for (let row = 0; row < rows; row++) {
    const fault = compound(batch.entities, at + row)
    if (fault !== undefined)
      return {
        row,
        column: fault.column,
        problem: `is part of a key of ${fault.entity} that is too long: it may have ${fault.problem}`,
      }
  }
  return undefined
}

/** Maps a row of the chunk to its row in the file. */
function fileRows(reading: Reading, chunk: ColumnChunk): (row: number) => number {
  if (!reading.sort) return (row) => reading.rows + row
  const rows = chunk.doubles(reading.columns.length)
  return (row) => rows[row]
}

async function checkOrder(
  reading: Reading,
  batch: EventBatch,
  at: number,
  rows: number,
  fileRow: (row: number) => number,
): Promise<void> {
  const { schema, seen, end } = reading
  let { lastTime } = reading
  for (let row = 0; row < rows; row++) {
    const time = batch.time[at + row]
    if (time < lastTime) throw await orderError(reading, fileRow(row), time, lastTime)
    if (time >= end.before)
      throw await cellError(reading, { row, column: columnOf(schema.time) ?? '', problem: end.problem }, fileRow(row))
    lastTime = time
    if (schema.id === undefined) {
      batch.ids[at + row] = fileRow(row)
    } else if (!seen.add(batch.ids[at + row])) {
      throw await duplicateError(reading, schema.id.column, fileRow(row), batch.ids[at + row])
    }
  }
  reading.lastTime = lastTime
}

/** The error of a cell that does not fit its role: file, line, column, text, and what to do. */
export async function cellError(
  { database, source, schema }: Pick<Reading, 'database' | 'source' | 'schema'>,
  bad: BadCell,
  fileRow: number,
): Promise<UserError> {
  const text = await cellText(database, source, bad.column, fileRow)
  const place = await placeOf(source, fileRow)
  const hint = source.types.get(bad.column) === 'VARCHAR' ? cellHint(text, bad.column, bad.role, schema) : ''
  const repeats = async (column: string): Promise<boolean> =>
    (await cellText(database, source, column, fileRow)).trim() === column.trim()
  // One cell may say its column's name by chance, such as fraud.
  if (source.csv !== undefined && (await repeats(bad.column)) && (await repeats(schema.amount.column)))
    return new UserError(`${place} repeats the header: two files were joined here. Remove this line.`)
  const tokens = columnEntities(schema).filter(({ entity }) => entity.token === true)
  const mask = tokens.some(({ entity }) => entity.column === bad.column) ? 'all' : 'cards'
  return new UserError(
    `${place}, column ${bad.column}: ${quotedText(text, { mask })} ${bad.problem}.\n${hint}` +
      `Mend the cell, or the column's role in the dataset's schema, and run the command again.`,
  )
}

async function orderError(
  { source, schema }: Reading,
  fileRow: number,
  time: EpochMs,
  last: EpochMs,
): Promise<UserError> {
  const [from, to] = [new Date(last).toISOString(), new Date(time).toISOString()]
  return new UserError(
    `${await placeOf(source, fileRow)}, column ${columnOf(schema.time)}: time goes back from ${from} to ${to}.\n` +
      'Add --sort to read the file in the order of time.',
  )
}

async function duplicateError(
  { source }: Reading,
  column: string,
  fileRow: number,
  id: number | string,
): Promise<UserError> {
  return new UserError(
    `${await placeOf(source, fileRow)}, column ${column}: ` +
      `the id ${shownText(String(id))} stands in an earlier row already.\n` +
      'Remove the duplicate, or name a column whose values are unique as id.',
  )
}
