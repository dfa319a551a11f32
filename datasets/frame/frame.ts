import { UserError } from '../../configs/user-error.ts'
import { requireFile } from '../file/file-kind.ts'
import { quotedText, shownText } from '../file/shown-text.ts'
import { tokenizer } from '../table/card-token.ts'
import { amountColumn, categoricalColumn, timeColumns, type TableColumn } from '../table/column.ts'
import { batchShape, columnEntities, decimalsOf, type DatasetSchema, type TimeRole } from '../table/dataset.ts'
import { openDatabase, type Database } from '../table/duckdb.ts'
import { changeGuard } from '../table/file-dataset.ts'
import { keyColumn } from '../table/key-column.ts'
import { compoundKeys, isBlank } from '../table/key.ts'
import { numericColumn } from '../table/numeric-column.ts'
import { asDeclared, openTableSource, readError, type TableSource } from '../table/source.ts'
import { cellError } from '../table/table.ts'
import { parseTime, type TimeUnit } from '../table/time.ts'
import { emptyBatch, LOOKUP, type EventBatch, type KeyColumn } from '../table/transaction.ts'
import { tableCells, type TableCells } from './table-cells.ts'

/** A user's own table of keys and times, whose rows ask for features. None of them is an event. */
export interface Frame extends TableCells {
  /** As the user names it. */
  file: string
  /** A row of the kind LOOKUP for each of the table, in its order. What the table does not have is missing. */
  events: EventBatch
  /** Whether there are times. Without them, rows are known by the ids of transactions alone; their time is NaN. */
  timed: boolean
  /** Whether there are ids of transactions: a row without one has NaN or ''. */
  identified: boolean
  /** The columns of the schema that the table does not have, times and labels not counted. */
  absent: string[]
}

export interface FrameOptions {
  /** The column of its times. Default: the one that the schema names. */
  time?: string | undefined
  /** How that column counts. Default: as the schema says, or by calendar where its cells are timestamps. */
  unit?: TimeUnit | undefined
  /** The secret for card tokens. */
  tokenKey?: string | undefined
}

/** What a message calls the option that names the file. */
const OPTION = '--labels'

/**
 * Reads a frame: CSV, also gzipped or zipped, or Parquet. Its columns are told by the names that the schema gives them,
 * or those of entities by the entity's name; any other column is carried along. Cells are read by the rules of the
 * dataset's file, but every key may be blank.
 *
 * @throws UserError for a file that is no table, has neither times nor ids, no keys, no rows, or a cell that does not
 * fit its role: then with line, column and value.
 */
export async function readFrame(file: string, schema: DatasetSchema, options: FrameOptions = {}): Promise<Frame> {
  requireFile(file, `Give an existing CSV or Parquet file with ${OPTION} FILE.`)
  try {
    await using database = await openDatabase()
    return await read(database, file, schema, options)
  } catch (error) {
    throw ofFrame(readError(file, error))
  }
}

/** Errors of tables propose another file by the option of datasets. */
function ofFrame(error: UserError): UserError {
  const message = error.message.replaceAll('--data FILE', `${OPTION} FILE`)
  return message === error.message ? error : new UserError(message, { cause: error })
}

async function read(database: Database, file: string, schema: DatasetSchema, options: FrameOptions): Promise<Frame> {
  const unchanged = changeGuard(file)
  unchanged()
  const source = asDeclared(await openTableSource(database, file), schema)
  const roles = rolesIn(source, schema)
  const time = await timeRole(database, source, schema, options)
  checkRoles(source, schema, roles, time)
  const form = { ...schema, ...(time === undefined ? {} : { time }) }
  const columns = [...roles.columns, ...(time === undefined ? [] : timeColumns(form, source))]
  const [found] = await database.rows(`SELECT count(*)::DOUBLE AS rows FROM ${source.sql}`)
  const rows = Number(found.rows)
  if (rows === 0) throw new UserError(`${file} has columns but no rows. Give another file with ${OPTION} FILE.`)
  const events = missingRows(schema, rows)
  const tokenize = tokenizer(schema, options.tokenKey)
  let at = 0
  const selected = columns.map(({ sql }) => sql).join(', ')
  for await (const chunk of database.stream(`SELECT ${selected} FROM ${source.sql}`)) {
    for (const [index, column] of columns.entries()) {
      const bad = column.fill(events, at, chunk, index)
      if (bad === undefined) continue
      const error = await cellError({ database, source, schema: form }, bad, at + bad.row)
      throw bad.column === time?.column && options.unit === undefined ? withUnits(error) : error
    }
    tokenize(events, at, at + chunk.rows)
    at += chunk.rows
  }
  fillCompounds(events, schema, file)
  return {
    file,
    events,
    timed: time !== undefined,
    identified: roles.identified,
    absent: roles.absent,
    ...tableCells(source, unchanged),
  }
}

/** Times may be written otherwise than in the dataset. */
function withUnits({ message }: UserError): UserError {
  return new UserError(`${message}\nWhere all times are counted in another unit than the dataset's, add: --unit UNIT`)
}

/** Rows of which nothing is known. */
function missingRows(schema: DatasetSchema, rows: number): EventBatch {
  const batch = emptyBatch(batchShape(schema), rows)
  batch.kind.fill(LOOKUP)
  for (const column of [batch.ids, batch.time, batch.amount, ...batch.entities, ...batch.numeric])
    if (column instanceof Float64Array) column.fill(Number.NaN)
  return batch
}

function fillCompounds(events: EventBatch, schema: DatasetSchema, file: string): void {
  if (columnEntities(schema).length === schema.entities.length) return
  const compound = compoundKeys(schema)
  for (let row = 0; row < events.size; row++) {
    const fault = compound(events.entities, row)
    if (fault === undefined) continue
    throw new UserError(
      `${file}, row ${row}, column ${fault.column} is part of a key of ${fault.entity} that is too long: ` +
        `it may have ${fault.problem}.`,
    )
  }
}

/** The columns of a frame that have a role, times not counted. */
interface Roles {
  columns: TableColumn[]
  identified: boolean
  keyed: boolean
  absent: string[]
}

function rolesIn(source: TableSource, schema: DatasetSchema): Roles {
  const has = (column: string): boolean => source.types.has(column)
  const { id, amount, numeric, categorical } = schema
  const identified = id !== undefined && has(id.column)
  const entities = columnEntities(schema).flatMap(({ entity, index }) => {
    const column = [entity.column, entity.name].find(has)
    return column === undefined ? [] : [{ column, entity, index }]
  })
  const into =
    (index: number) =>
    (batch: EventBatch): KeyColumn =>
      batch.entities[index]
  const columns = [
    ...(identified ? [keyColumn({ ...id, optional: true }, source, (batch) => batch.ids)] : []),
    ...entities.map(({ column, entity, index }) =>
      keyColumn({ ...entity, column, optional: true }, source, into(index)),
    ),
    ...(has(amount.column) ? [amountColumn(schema, source)] : []),
    ...numeric.flatMap((column, index) =>
      has(column) ? [numericColumn(column, source, index, decimalsOf(schema, column))] : [],
    ),
    ...categorical.flatMap((column, index) => (has(column) ? [categoricalColumn(column, source, index)] : [])),
  ]
  const lacking = columnEntities(schema).filter(({ index }) => entities.every((found) => found.index !== index))
  const absent = [
    ...lacking.map(({ entity }) => entity.column),
    ...[amount.column, ...numeric, ...categorical].filter((column) => !has(column)),
  ]
  return { columns, identified, keyed: entities.length > 0, absent: [...new Set(absent)] }
}

/** Which column holds the times, and how; undefined where there is none and none was named. */
async function timeRole(
  database: Database,
  source: TableSource,
  { time }: DatasetSchema,
  options: FrameOptions,
): Promise<TimeRole | undefined> {
  if (time === 'none') throw new TypeError('Rows of a dataset without times are not looked up')
  const column = options.time ?? time.column
  if (!source.types.has(column)) {
    if (options.time === undefined && options.unit === undefined) return undefined
    throw new UserError(`${source.file} has no column ${quotedText(column)}. ${namesOf(source)}`)
  }
  if (options.unit !== undefined) return { column, unit: options.unit }
  return (await isWritten(database, source, column, time)) ? { column, unit: 'timestamp' } : { ...time, column }
}

/** Whether a column has timestamps where the dataset counts. */
async function isWritten(database: Database, source: TableSource, column: string, time: TimeRole): Promise<boolean> {
  if (time.unit === 'timestamp') return false
  const type = source.types.get(column) ?? ''
  if (type !== 'VARCHAR') return /^(TIMESTAMP|DATE)/.test(type)
  const cell = source.ref(column)
  const [found] = await database.rows(`SELECT ${cell} AS cell FROM ${source.sql} WHERE trim(${cell}) <> '' LIMIT 1`)
  return typeof found?.cell === 'string' && !isBlank(found.cell) && !Number.isNaN(parseTime(found.cell))
}

function checkRoles(source: TableSource, schema: DatasetSchema, roles: Roles, time: TimeRole | undefined): void {
  const { file } = source
  const wanted = columnEntities(schema).map(({ entity }) => entity.column)
  if (!roles.keyed && !roles.identified) {
    const keys = [...wanted, ...(schema.id === undefined ? [] : [schema.id.column])]
    throw new UserError(`${file} has no keys: none of the columns ${keys.join(', ')}. ${namesOf(source)}`)
  }
  if (time !== undefined || roles.identified) return
  const usual = schema.time === 'none' ? '' : schema.time.column
  throw new UserError(
    `${file} has no column ${usual}, which is that of the times. ${namesOf(source)} ` +
      'Say which one has them: --time COLUMN, and --unit UNIT where they are counted otherwise than in the dataset.',
  )
}

/** Most names of columns that a message lists. */
const MOST_NAMES = 40

function namesOf({ types }: TableSource): string {
  const names = [...types.keys()].map((name) => shownText(name, { mask: 'all' }))
  const more = names.length - MOST_NAMES
  return `It has: ${names.slice(0, MOST_NAMES).join(', ')}${more > 0 ? `, and ${more} more` : ''}.`
}
