import { UserError } from '../../configs/user-error.ts'
import { NOT_UTF8 as NOT_UTF8_TEXT } from '../file/csv.ts'
import { shownText } from '../file/shown-text.ts'
import { textSql } from '../table/column.ts'
import { openDatabase } from '../table/duckdb.ts'
import { isBlank } from '../table/key.ts'
import { NOT_UTF8, openTableSource, placeOf, readError } from '../table/source.ts'

/**
 * Reads a table of keys: each row a record from the name of a column to the key as text, without the blank cells. Its
 * columns are all columns of the file.
 *
 * @param names the columns that it may have.
 * @throws UserError for a file that is no table, has a column of another name, no rows, or a row without a key.
 */
export async function readKeyRows(file: string, names: readonly string[]): Promise<Record<string, string>[]> {
  await using database = await openDatabase()
  const source = await openTableSource(database, file)
  const columns = [...source.types.keys()]
  const other = columns.find((column) => !names.includes(column))
  if (other !== undefined) {
    throw new UserError(
      `${file}: the column ${shownText(other)} is no entity. ` +
        `A file of keys has these columns, or some of them: ${names.join(', ')}.`,
    )
  }
  const rows: Record<string, string>[] = []
  const select = columns.map((column) => textSql(column, source)).join(', ')
  try {
    for await (const chunk of database.stream(`SELECT ${select} FROM ${source.sql}`)) {
      const cells = columns.map((_, c) => chunk.strings(c))
      for (let row = 0; row < chunk.rows; row++) {
        const keys = columns.map((column, c) => [column, cells[c][row]] as const).filter(([, key]) => !isBlank(key))
        const unreadable = keys.some(([, key]) => key === NOT_UTF8)
        if (unreadable) throw new UserError(`${await placeOf(source, rows.length)}: ${NOT_UTF8_TEXT}`)
        if (keys.length === 0) throw new UserError(`${await placeOf(source, rows.length)}: the row has no key.`)
        rows.push(Object.fromEntries(keys))
      }
    }
  } catch (error) {
    throw readError(file, error)
  }
  if (rows.length === 0) throw new UserError(`${file} has columns but no rows. Give one row for each key.`)
  return rows
}
