import { statSync } from 'node:fs'
import { errorMessage, UserError } from '../../configs/user-error.ts'
import { bytesOf, startsWith, unifyLineEnds } from '../file/csv-bytes.ts'
import type { CsvHeader } from '../file/csv.ts'
import { isEven, lineOfRecord, NOT_UTF8 as NOT_UTF8_TEXT, readCsvHeader } from '../file/csv.ts'
import { refuseForeign, requireFile } from '../file/file-kind.ts'
import { quotedText, shownText } from '../file/shown-text.ts'
import { temporaryCopy } from '../file/temporary-copy.ts'
import { unzipOnly, ZIP_MAGIC } from '../file/zip.ts'
import type { DatasetSchema } from './dataset.ts'
import type { Database } from './duckdb.ts'
import { sqlName, sqlText } from './duckdb.ts'
import { numberSql } from './number-form.ts'

/** A table file as DuckDB reads it. */
export interface TableSource {
  /** As the user names it, for messages. */
  file: string
  /** What is read: `file`, or what was unpacked from it. */
  path: string
  /** The expression that follows FROM. */
  sql: string
  /** DuckDB's type by column, and FLOAT16; every column of a CSV is VARCHAR. */
  types: Map<string, string>
  /** A column's cells in SQL; bytes that are not said to be text are read as UTF-8, `NOT_UTF8` where they are not. */
  ref(column: string): string
  /** A column's cells as what DuckDB casts to a number, which is written as in JSON. */
  plain(column: string): string
  /** The same where numbers are written as the dataset declares. */
  number(column: string): string
  /** The column itself. */
  raw(column: string): string
  /** Absent: Parquet. */
  csv?: CsvHeader
}

const PARQUET_MAGIC = [...Buffer.from('PAR1')]

/** Stands for a cell whose bytes are no text, until it is refused with its row. */
export const NOT_UTF8 = '\u0001 no UTF-8 \u0001'

/**
 * Looks at a file's first bytes and names its columns. The bytes, and not its name, say what a file is: Parquet, CSV,
 * gzipped CSV, or a ZIP archive of one of these, which is unpacked first.
 *
 * @throws UserError for a missing, empty or unreadable file, or one that names a column twice.
 */
export async function openTableSource(database: Database, file: string): Promise<TableSource> {
  requireFile(file, 'Give an existing CSV or Parquet file with --data FILE.')
  if (statSync(file).size === 0) throw new UserError(`${file} is empty. Give another file with --data FILE.`)
  try {
    const path = startsWith(file, ZIP_MAGIC) ? await temporaryCopy(file, 'unzipped', () => unzipOnly(file)) : file
    return startsWith(path, PARQUET_MAGIC) ? await parquetSource(database, file, path) : await csvSource(file, path)
  } catch (error) {
    throw readError(file, error)
  }
}

/** A path for DuckDB, which reads square brackets, * and ? as patterns. */
function sqlPath(path: string): string {
  return sqlText(path.replaceAll(/[[*?]/g, '[$&]'))
}

/** The problems of a CSV that DuckDB names together with the line and its text. */
const CSV_PROBLEMS = [
  'Expected Number of Columns',
  'Invalid unicode',
  'Value with unterminated quote',
  'Maximum line size',
].join('|')
const CSV_ERROR = new RegExp(`CSV Error on Line: (\\d+)\\s+Original Line: (.*)[^]*?((?:${CSV_PROBLEMS}).*)`)

/**
 * What went wrong between DuckDB and a file, as an error the user can mend. It gives the line where that is known, and
 * leaves out DuckDB's own advice.
 */
export function readError(file: string, error: unknown): UserError {
  if (error instanceof UserError) return error
  const message = errorMessage(error)
  const csv = CSV_ERROR.exec(message)
  if (csv === null) {
    const problem = shownText(message.split('\n')[0], { most: LONGEST_LINE })
    return new UserError(`${file} cannot be read: ${problem}\n${MEND}`, { cause: error })
  }
  const [, line, text, problem] = csv
  const shown = shownText(text, { most: LONGEST_LINE, mask: 'all' })
  const advice = problem.startsWith('Invalid unicode') ? '' : `\n${MEND}`
  return new UserError(`${file}, line ${line}: ${csvProblem(problem.trim())}\n  ${shown}${advice}`, { cause: error })
}

/** Most characters that are shown of a line. */
const LONGEST_LINE = 200
const MEND = 'Mend the file or give another with --data FILE.'

/** A problem of a CSV in words that say what to look for. */
function csvProblem(problem: string): string {
  if (problem.startsWith('Invalid unicode')) return NOT_UTF8_TEXT
  if (problem.includes('unterminated quote'))
    return 'a cell in quotes has no end. A quote within such a cell is written twice: "a ""b"" c"'
  const numbers = /Expected Number of Columns: (\d+) Found: (\d+)/.exec(problem)
  if (numbers === null) return problem
  const [names, found] = [Number(numbers[1]), Number(numbers[2])]
  const cells = found === 1 ? '1 cell' : `${found} cells`
  return `it has ${found < names ? `${cells}, fewer` : 'more cells'} than the header has names (${names})`
}

/**
 * Where a row (from 0, in file order) stands, for a message: `FILE, line 17` in a CSV, `FILE, row 15` (from 0) in
 * Parquet.
 */
export async function placeOf(source: TableSource, row: number): Promise<string> {
  if (source.csv === undefined) return `${source.file}, row ${row}`
  return `${source.file}, line ${await lineOfRecord(source.path, source.csv, row)}`
}

/** A cell as it is written in the file; '' when it is empty. */
export async function cellText(database: Database, source: TableSource, column: string, row: number): Promise<string> {
  const [found] = await database.rows(
    `SELECT ${source.raw(column)}::VARCHAR AS cell FROM ${source.sql} LIMIT 1 OFFSET ${row}`,
  )
  return typeof found?.cell === 'string' ? found.cell : ''
}

/** The source with what the schema declares of its cells: texts that stand for an empty one, and how numbers look. */
export function asDeclared(source: TableSource, { missing = [], numbers }: DatasetSchema): TableSource {
  const isText = (column: string): boolean => source.types.get(column) === 'VARCHAR'
  const list = missing.map(sqlText).join(', ')
  const ref = (column: string): string => {
    const cell = source.ref(column)
    return missing.length > 0 && isText(column) ? `CASE WHEN ${cell} IN (${list}) THEN NULL ELSE ${cell} END` : cell
  }
  // DuckDB would take 1_000 for a number. The stream does not.
  const plain = (column: string): string =>
    isText(column) ? `CASE WHEN contains(${ref(column)}, '_') THEN 'no number' ELSE ${ref(column)} END` : ref(column)
  return {
    ...source,
    ref,
    plain,
    number: (column) => (numbers !== undefined && isText(column) ? numberSql(ref(column), numbers) : plain(column)),
  }
}

async function parquetSource(database: Database, file: string, path: string): Promise<TableSource> {
  const sql = `read_parquet(${sqlPath(path)})`
  const columns = await database.rows(`DESCRIBE SELECT * FROM ${sql}`)
  const stored = new Map(columns.map((column) => [String(column.column_name), String(column.column_type)]))
  for (const column of await halfFloats(database, path)) stored.set(column, 'FLOAT16')
  const ref = (column: string): string =>
    stored.get(column) === 'BLOB' ? textOfBytes(sqlName(column)) : sqlName(column)
  return {
    file,
    path,
    sql,
    types: new Map([...stored].map(([name, type]) => [name, type === 'BLOB' ? 'VARCHAR' : type])),
    ref,
    plain: ref,
    number: ref,
    raw: sqlName,
  }
}

/** DuckDB reads floats of 16 bits as FLOAT. That they were rounded to 16, only the file's own schema says. */
async function halfFloats(database: Database, path: string): Promise<string[]> {
  const halves = `SELECT name FROM parquet_schema(${sqlPath(path)}) WHERE logical_type ILIKE 'float16%'`
  return (await database.rows(halves)).map(({ name }) => String(name))
}

/** Writers of old, and some of today, store text without saying that it is text. */
function textOfBytes(name: string): string {
  return `CASE WHEN ${name} IS NULL THEN NULL ELSE coalesce(try(decode(${name})), ${sqlText(NOT_UTF8)}) END`
}

async function csvSource(file: string, path: string): Promise<TableSource> {
  await refuseForeign(file, path)
  const header = await readCsvHeader(file, path)
  if (await isEven(file, path, header)) return csvTable(file, path, path, header)
  const even = await temporaryCopy(path, 'even lines', () =>
    Promise.resolve(unifyLineEnds(bytesOf(path, header.compression), header.delimiter)),
  )
  return csvTable(file, path, even, { ...header, compression: 'none' })
}

/** @param readable what DuckDB reads: `path`, or a copy of it with the same lines. */
function csvTable(file: string, path: string, readable: string, csv: CsvHeader): TableSource {
  // A column without a name has no role: pandas writes its index so, and a line may end with a delimiter.
  const named = csv.names.flatMap((name, index) => (name === '' ? [] : [[name, index] as const]))
  const positions = new Map(named)
  const twice = named.find(([name, index]) => positions.get(name) !== index)?.[0]
  if (twice !== undefined)
    throw new UserError(
      `${file}, line ${csv.skipped + 1}: the column ${quotedText(twice, { mask: 'all' })} is named twice. ` +
        'Rename one of the two. Where this line names no columns, put one before it that does.',
    )
  // By position, since DuckDB takes names that differ in case only for one.
  const columns = csv.names.map((_, index) => `c${index}: 'VARCHAR'`).join(', ')
  const name = (column: string): string => `c${positions.get(column)}`
  const options = [
    'auto_detect = false',
    'header = true',
    `skip = ${csv.skipped}`,
    `delim = ${sqlText(csv.delimiter)}`,
    `quote = '"'`,
    `escape = '"'`,
    `compression = '${csv.compression}'`,
  ].join(', ')
  return {
    file,
    path,
    sql: `read_csv(${sqlPath(readable)}, ${options}, columns = {${columns}})`,
    types: new Map(named.map(([name]) => [name, 'VARCHAR'])),
    ref: name,
    plain: name,
    number: name,
    raw: name,
    csv,
  }
}
