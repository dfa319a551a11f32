import { openDatabase, sqlName } from '../table/duckdb.ts'
import { openTableSource, readError, type TableSource } from '../table/source.ts'

/** A table as it stands in its file, to be written beside what was found for its rows. */
export interface TableCells {
  /** All of its columns that have a name. */
  columns: string[]
  /** The query that gives these columns, in the order of the rows. */
  sql: string
}

export function tableCells(source: TableSource): TableCells {
  const columns = [...source.types.keys()]
  const cells = columns.map((name) => `${source.raw(name)} AS ${sqlName(name)}`).join(', ')
  return { columns, sql: `SELECT ${cells} FROM ${source.sql}` }
}

/** @throws UserError for a file that is no table. */
export async function readTableCells(file: string): Promise<TableCells> {
  await using database = await openDatabase()
  try {
    return tableCells(await openTableSource(database, file))
  } catch (error) {
    throw readError(file, error)
  }
}
