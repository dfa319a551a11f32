import { UserError } from '../../configs/user-error.ts'
import { termOf } from './compile.ts'
import { ExpressionFault, faultText } from './fault.ts'
import { parse } from './parse.ts'
import type { Scope } from './scope.ts'
import { BLOCK, type NumberTerm } from './term.ts'

/** An expression of numbers or of conditions, ready to be computed over the rows that its scope reads. */
export interface Expression {
  type: NumberTerm['type']
  /**
   * The values of the rows from 0 to `size`: finite numbers, never −0, conditions as 1 and 0, and NaN where a value is
   * missing. The array may be longer, and the next call overwrites it.
   */
  values: (size: number) => Float64Array
}

/**
 * Compiles an expression of the Common Expression Language (CEL). What differs from it and which functions there are:
 * see the README of this folder.
 *
 * @param where whose expression it is, as a message begins: `Feature "km" of service "shop"`.
 * @param wanted `condition`: it must be one.
 * @throws UserError with a caret under what is wrong.
 */
export function compile(expression: string, scope: Scope, where: string, wanted?: 'condition'): Expression {
  try {
    const term = checked(expression, scope, wanted)
    return { type: term.type, values: byBlocks(term) }
  } catch (error) {
    if (!(error instanceof ExpressionFault)) throw error
    throw new UserError(`${where}: ${faultText(expression, error)}`)
  }
}

/**
 * What is wrong with an expression, with its line and a caret; undefined where nothing is.
 *
 * @param scope without one only the syntax is looked at.
 */
export function faultOf(expression: string, scope?: Scope): string | undefined {
  try {
    if (scope === undefined) parse(expression)
    else checked(expression, scope)
    return undefined
  } catch (error) {
    if (!(error instanceof ExpressionFault)) throw error
    return faultText(expression, error)
  }
}

function checked(expression: string, scope: Scope, wanted?: 'condition'): NumberTerm {
  const term = termOf(parse(expression), scope)
  if (term.type === 'text') throw new ExpressionFault('this is a text; a feature is a number or a condition', 0)
  if (term.type === 'number' && wanted === 'condition') {
    throw new ExpressionFault('this is a number; a condition is wanted, such as amount > 100', 0)
  }
  return term
}

function byBlocks(term: NumberTerm): Expression['values'] {
  let all = new Float64Array(BLOCK)
  return (size) => {
    if (all.length < size) all = new Float64Array(Math.max(size, 2 * all.length))
    for (let from = 0; from < size; from += BLOCK) {
      const count = Math.min(BLOCK, size - from)
      term.fill(from, count)
      // Adding 0 makes −0 a 0. Whatever bits a NaN has, what is missing has those of one constant.
      for (let i = 0; i < count; i++) all[from + i] = Number.isFinite(term.values[i]) ? term.values[i] + 0 : Number.NaN
    }
    return all
  }
}
