import { openDatabase } from '../table/duckdb.ts'
import { openTableSource, readError } from '../table/source.ts'

/** A column as the first rows of a file have it. */
export interface ColumnLook {
  name: string
  /** DuckDB's type; VARCHAR for every column of a CSV. */
  type: string
  /** The cells as text, '' where one is empty. */
  cells: string[]
}

/** The first rows of a file. */
export interface TableLook {
  file: string
  columns: ColumnLook[]
  rows: number
}

/** Enough rows to tell roles apart, few enough to hold the texts of a wide table. */
const MOST_CELLS = 2_000_000
const MOST_ROWS = 20_000

/**
 * Reads the first rows of a table file, all its columns as text.
 *
 * @throws UserError for a file that is missing, empty or unreadable, or names no columns.
 */
export async function lookAt(file: string): Promise<TableLook> {
  await using database = await openDatabase()
  const source = await openTableSource(database, file)
  const columns = [...source.types].map(([name, type]): ColumnLook => ({ name, type, cells: [] }))
  const limit = Math.min(MOST_ROWS, Math.ceil(MOST_CELLS / Math.max(1, columns.length)))
  const selected = columns.map(({ name }) => `${source.ref(name)}::VARCHAR`).join(', ')
  let rows = 0
  try {
    for await (const chunk of database.stream(`SELECT ${selected} FROM ${source.sql} LIMIT ${limit}`)) {
      columns.forEach(({ cells }, c) => {
        for (const cell of chunk.strings(c)) cells.push(cell)
      })
      rows += chunk.rows
    }
  } catch (error) {
    throw readError(file, error)
  }
  return { file, columns, rows }
}
