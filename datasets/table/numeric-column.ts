import { amountBounds, amountFault, toDecimal } from './amount.ts'
import { decimalText, mayBeRounded, optionalNumber, type BadCell, type TableColumn } from './column.ts'
import { amountsBelow } from './float.ts'
import type { TableSource } from './source.ts'

const NO_NUMBER = 'is not a number'

export function numericColumn(
  column: string,
  source: TableSource,
  target: number,
  decimals: number | undefined,
): TableColumn {
  if (decimals !== undefined) return decimalColumn(column, source, target, decimals)
  const fill: TableColumn['fill'] = (batch, at, chunk, index) => {
    const cells = chunk.doubles(index)
    for (let row = 0; row < cells.length; row++) {
      if (cells[row] === Infinity || cells[row] === -Infinity)
        return { row, column, problem: NO_NUMBER, role: 'number' }
    }
    batch.numeric[target].set(cells, at)
    return undefined
  }
  return { column, sql: optionalNumber(source.number(column), source.types.get(column) === 'VARCHAR'), fill }
}

/** A numeric column with declared decimals. */
function decimalColumn(column: string, source: TableSource, target: number, decimals: number): TableColumn {
  const type = source.types.get(column)
  const below = amountsBelow(type, decimals)
  const fill: TableColumn['fill'] = (batch, at, chunk, index) => {
    const cells = chunk.doubles(index)
    for (let row = 0; row < cells.length; row++) {
      const cell = cells[row]
      const number = toDecimal(cell, decimals)
      if (!Number.isNaN(cell) && !(Math.abs(number) < below))
        return { row, column, ...decimalProblem(cell, decimals, type) }
      batch.numeric[target][at + row] = number
    }
    return undefined
  }
  return { column, sql: optionalNumber(decimalText(column, source), type === 'VARCHAR'), fill }
}

function decimalProblem(cell: number, decimals: number, type: string | undefined): Pick<BadCell, 'problem' | 'role'> {
  if (!Number.isFinite(cell)) return { problem: NO_NUMBER, role: 'number' }
  if (Math.abs(cell) >= amountsBelow(type, decimals))
    return { problem: mayBeRounded(type, 'numbers with decimals', 'DOUBLE or DECIMAL') }
  return amountFault(cell, decimals, true) === 'too many decimals'
    ? { problem: `has more than ${decimals} decimals; set the column's \`decimals\`, or leave them out` }
    : { problem: `is not a number from ${amountBounds(decimals, true)}, as its \`decimals\` ask` }
}
