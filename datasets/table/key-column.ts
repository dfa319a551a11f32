import { BYTES, optionalNumber, requiredNumber, ROUNDED, textSql, type BadCell, type TableColumn } from './column.ts'
import type { ColumnEntity } from './dataset.ts'
import { isNarrow, wholeBelow } from './float.ts'
import { isBlank, isWholeKey, keyFault, WHOLE_NUMBER } from './key.ts'
import { NOT_UTF8, type TableSource } from './source.ts'
import type { EventBatch, KeyColumn } from './transaction.ts'

/** The column of an id or of an entity's keys. A blank cell of an optional key becomes none (`isNoKey`). */
export function keyColumn(
  { column, type, optional = false }: Omit<ColumnEntity, 'name'>,
  source: TableSource,
  target: (batch: EventBatch) => KeyColumn,
): TableColumn {
  if (type === 'string') {
    return {
      column,
      sql: textSql(column, source, ROUNDED),
      fill: (batch, at, chunk, index) => fillText(column, target(batch), at, chunk.strings(index), optional),
    }
  }
  const sql = optional ? optionalWhole(column, source) : requiredNumber(source.plain(column))
  // A narrow float holds small whole numbers only. Beyond them two keys may be one.
  const stored = source.types.get(column)
  const rounds = isNarrow(stored)
  return {
    column,
    sql: rounds
      ? `CASE WHEN abs(${source.ref(column)}) >= ${wholeBelow(stored)} THEN 'inf'::DOUBLE ELSE ${sql} END`
      : sql,
    fill: (batch, at, chunk, index) =>
      fillWhole(
        { column, problem: rounds ? MAY_BE_ROUNDED : NO_WHOLE },
        target(batch),
        at,
        chunk.doubles(index),
        optional,
      ),
  }
}

const NO_WHOLE = `is not ${WHOLE_NUMBER}; a key that is text or longer needs \`type: string\``
const MAY_BE_ROUNDED = 'is no whole number, or may be rounded: write keys as whole numbers, not as short floats'

/** A key that may be blank. */
function optionalWhole(column: string, source: TableSource): string {
  return optionalNumber(source.plain(column), source.types.get(column) === 'VARCHAR')
}

function fillText(
  column: string,
  target: KeyColumn,
  at: number,
  cells: string[],
  optional: boolean,
): BadCell | undefined {
  for (let row = 0; row < cells.length; row++) {
    if (optional && isBlank(cells[row])) {
      target[at + row] = ''
      continue
    }
    if (cells[row] === '') return { row, column, problem: 'is empty; every row needs one' }
    if (cells[row] === NOT_UTF8) return { row, column, problem: BYTES }
    if (cells[row] === ROUNDED) return { row, column, problem: 'may be rounded: write keys as text, not as floats' }
    const fault = keyFault(cells[row])
    if (fault !== undefined) return { row, column, problem: `is no key: it must be ${fault}` }
    target[at + row] = cells[row]
  }
  return undefined
}

function fillWhole(
  bad: Pick<BadCell, 'column' | 'problem'>,
  target: KeyColumn,
  at: number,
  cells: Float64Array,
  optional: boolean,
): BadCell | undefined {
  for (let row = 0; row < cells.length; row++) {
    if (!isWholeKey(cells[row]) && !(optional && Number.isNaN(cells[row]))) {
      return optional && cells[row] === Infinity ? { row, ...bad, role: 'other' } : { row, ...bad }
    }
    target[at + row] = cells[row]
  }
  return undefined
}
