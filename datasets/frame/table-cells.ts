import { openDatabase, sqlName } from '../table/duckdb.ts'
import { changeGuard } from '../table/file-dataset.ts'
import type { Beside } from '../table/parquet.ts'
import { openTableSource, readError, type TableSource } from '../table/source.ts'

/** A table as it stands in its file, to be written beside what was found for its rows, in their order. */
export interface TableCells extends Beside {
  /** All of its columns that have a name. */
  columns: string[]
}

/** @param unchanged the guard of its file, from before it was looked at. */
export function tableCells(source: TableSource, unchanged: () => void): TableCells {
  const columns = [...source.types.keys()]
  const cells = columns.map((name) => `${source.raw(name)} AS ${sqlName(name)}`).join(', ')
  return { columns, sql: `SELECT ${cells} FROM ${source.sql}`, unchanged }
}

/** @throws UserError for a file that is no table. */
export async function readTableCells(file: string): Promise<TableCells> {
  await using database = await openDatabase()
  const unchanged = changeGuard(file)
  unchanged()
  try {
    return tableCells(await openTableSource(database, file), unchanged)
  } catch (error) {
    throw readError(file, error)
  }
}
