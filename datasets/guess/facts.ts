import { EMPTY_WORDS, formOf } from '../table/cell-hint.ts'
import { numberReader, type NumberForm } from '../table/number-form.ts'
import type { ColumnLook, TableLook } from './look.ts'

/** What the cells of a column are, in the rows that were looked at. */
export interface ColumnFacts {
  name: string
  type: string
  /** Cells that are there, without those that stand for an empty one. */
  filled: string[]
  empty: number
  distinct: number
  /** Texts that stand for an empty cell here. */
  missing: string[]
  /** The numbers, where all filled cells are some. */
  numbers?: number[]
  /** Whether they are whole numbers as keys are written: from 0, without leading zeros, exact. */
  whole: boolean
  /** Whether they are digits alone: the id of something, or a whole number. */
  digits: boolean
  /** Most decimals of a number. */
  decimals: number
}

/** All columns, and how the table writes its numbers where that is not as in JSON. */
export function factsOf({ columns }: TableLook): { facts: ColumnFacts[]; form?: NumberForm } {
  const plain = columns.map((column) => factsOfColumn(column, undefined))
  const form = commonForm(plain)
  return form === undefined ? { facts: plain } : { facts: columns.map((column) => factsOfColumn(column, form)), form }
}

/** A name of a column as patterns of names expect it: `Card no.` → `Card_no`. */
export function patternName(name: string): string {
  return name.replace(/[^\p{L}\p{N}]+/gu, '_').replace(/^_|_$/g, '')
}

const WHOLE = /^(0|[1-9]\d{0,14})$/

function factsOfColumn({ name, type, cells }: ColumnLook, form: NumberForm | undefined): ColumnFacts {
  const there = cells.filter((cell) => cell.trim() !== '')
  const words = new Set(there.filter((cell) => EMPTY_WORDS.has(cell.trim().toLowerCase())))
  const filled = words.size === 0 ? there : there.filter((cell) => !words.has(cell))
  const read = numberReader(type === 'VARCHAR' && form !== undefined ? form : { decimal: '.' })
  const numbers = filled.length === 0 ? undefined : numbersOf(filled, read)
  return {
    name,
    type,
    filled,
    empty: cells.length - filled.length,
    distinct: new Set(filled).size,
    missing: [...words],
    ...(numbers && { numbers }),
    digits: filled.length > 0 && filled.every((cell) => /^\d+$/.test(cell)),
    whole: filled.length > 0 && filled.every((cell) => WHOLE.test(cell)),
    decimals: numbers === undefined ? 0 : Math.max(0, ...decimalsBy(filled, form?.decimal ?? '.')),
  }
}

function numbersOf(cells: readonly string[], read: (text: string) => number): number[] | undefined {
  const numbers: number[] = []
  for (const cell of cells) {
    const number = read(cell)
    if (Number.isNaN(number)) return undefined
    numbers.push(number)
  }
  return numbers
}

/** How many decimals the cells have, each number of them once: a spread of many arguments would overflow the stack. */
function decimalsBy(cells: readonly string[], point: string): Set<number> {
  return new Set(
    cells.map((cell) => {
      if (/e/i.test(cell)) return Infinity
      const at = cell.lastIndexOf(point)
      return at === -1
        ? 0
        : cell
            .slice(at + 1)
            .trim()
            .replace(/0+$/, '').length
    }),
  )
}

/** The form of a column that is text as JSON writes numbers, and all numbers in this form. */
function commonForm(facts: readonly ColumnFacts[]): NumberForm | undefined {
  for (const { type, filled, numbers } of facts) {
    if (type !== 'VARCHAR' || numbers !== undefined || filled.length === 0) continue
    if (!filled.every((cell) => /^[+-]?[\d.,' \u00a0\u202f]+$/.test(cell.trim()))) continue
    const telling = filled.toSorted((a, b) => b.length - a.length)[0]
    const form = formOf(telling.trim())
    if (form !== undefined && numbersOf(filled, numberReader(form)) !== undefined) return form
  }
  return undefined
}
