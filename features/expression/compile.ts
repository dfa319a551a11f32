import type { ASTNode } from '@marcbachmann/cel-js'
import { closest } from '../../configs/closest.ts'
import { ExpressionFault } from './fault.ts'
import { FUNCTIONS, type Argument } from './functions.ts'
import { binary, choice, isIn, negative, not } from './operators.ts'
import type { Scope } from './scope.ts'
import { constant, type NumberTerm, type Term } from './term.ts'

type Of<Op extends ASTNode['op']> = Extract<ASTNode, { op: Op }>

/** How deep a tree may be. Long sums and conditions are deep too: a + b + c is (a + b) + c. */
const DEEPEST = 250

/** What other languages call functions that there are. */
const OTHER_NAMES: ReadonlyMap<string, string> = new Map([
  ['not', '!'],
  ['has', 'is_missing'],
  ['isnull', 'is_missing'],
  ['ifnull', 'coalesce'],
  ['log', 'log1p'],
  ['ln', 'log1p'],
  ['now', 'time'],
  ['date', 'timestamp'],
  ['greatest', 'max'],
  ['least', 'min'],
  ['day', 'day_of_month'],
])

/** Parts of CEL that are about structures, which transactions do not have. */
const FOREIGN = {
  '.': 'values have no fields',
  '.?': 'values have no fields',
  '[]': 'values have no elements',
  '[?]': 'values have no elements',
  rcall: 'a function takes its values in parentheses, as in starts_with(country, "D")',
  list: 'a list can stand behind in alone, as in country in ["DE", "FR"]',
  map: 'there are no maps',
}

/**
 * The terms of a parsed expression, names and types checked.
 *
 * @throws ExpressionFault for a name or function that does not exist, and for types that do not fit.
 */
export function termOf(node: ASTNode, scope: Scope, depth = 0): Term {
  if (depth > DEEPEST) {
    throw new ExpressionFault(`there are more than ${DEEPEST} parts in each other. Make several features of it`, 0)
  }
  const of = (part: ASTNode): Term => termOf(part, scope, depth + 1)
  switch (node.op) {
    case 'value':
      return constant(literal(node))
    case 'id':
      return named(node.args, false, scope, node.start)
    case 'call':
      return node.args[0] === scope.quote ? quoted(node, scope) : call(node, of)
    case '!_':
      return not(wanted(node.args, of(node.args), 'condition', '!'))
    case '-_':
      return negative(wanted(node.args, of(node.args), 'number', '-'))
    case '?:':
      return chosen(node, of)
    case 'in':
      return among(node, of(node.args[0]))
    case '.':
    case '.?':
    case '[]':
    case '[?]':
    case 'rcall':
    case 'list':
    case 'map':
      throw foreign(node, scope)
    default: {
      const [left, right] = [of(node.args[0]), of(node.args[1])]
      const made = binary(node.op, left, right)
      if (typeof made !== 'string') return made
      const at = node.input.indexOf(node.op, node.args[0].end)
      throw new ExpressionFault(`${node.op} takes ${made}, and these are a ${left.type} and a ${right.type}`, at)
    }
  }
}

function foreign(node: Of<keyof typeof FOREIGN>, scope: Scope): ExpressionFault {
  const text = node.input.slice(node.start, node.end)
  const isName = typeof scope.find(text, true) === 'object'
  const hint = isName ? `. For the ${scope.quote} write ${quotedName(text, scope)}` : ''
  return new ExpressionFault(`${FOREIGN[node.op]}${hint}`, node.start)
}

/** A literal: whole numbers are numbers as all others, and '' would be a text that is missing. */
function literal({ args, start }: Of<'value'>): number | boolean | string {
  if (args === null) throw new ExpressionFault('nothing is null here: write is_missing(…)', start)
  if (args === '') throw new ExpressionFault('an empty text is a missing one: write is_missing(…)', start)
  if (typeof args === 'number' || typeof args === 'boolean' || typeof args === 'string') return args
  if (typeof args !== 'bigint') throw new ExpressionFault('values are numbers, texts, true and false', start)
  if (!Number.isSafeInteger(Number(args))) {
    throw new ExpressionFault('a whole number beyond 2^53 is not exact', start)
  }
  return Number(args)
}

/** The value of a literal, a sign before it included; undefined for what is none. */
function literalOf(node: ASTNode): number | boolean | string | undefined {
  if (node.op === 'value') return literal(node)
  if (node.op !== '-_' || node.args.op !== 'value') return undefined
  const value = literal(node.args)
  return typeof value === 'number' ? -value : undefined
}

/** Names that an expression can write as they are. */
const IDENTIFIER = /^[A-Za-z_]\w*$/

function quotedName(name: string, { quote }: Scope): string {
  return `${quote}(${JSON.stringify(name)})`
}

function named(name: string, isQuoted: boolean, scope: Scope, at: number): Term {
  const found = scope.find(name, isQuoted)
  if (typeof found === 'object') return found
  if (found !== undefined) throw new ExpressionFault(found, at)
  const near = closest(name, scope.names) ?? scope.names.find((each) => each.startsWith(name) && !IDENTIFIER.test(each))
  const names = scope.names.length > 12 ? [...scope.names.slice(0, 12), 'others'] : scope.names
  // Among columns are texts, among features none.
  const quotes = isQuoted || scope.quote !== 'column' ? '' : `. A text stands in quotes: "${name}"`
  const meant = near === undefined || isQuoted || IDENTIFIER.test(near) ? near : quotedName(near, scope)
  const proposal = meant === undefined ? `There are: ${names.join(', ')}${quotes}` : `Did you mean ${meant}?`
  throw new ExpressionFault(`there is no ${name}. ${proposal}`, at)
}

function quoted(node: Of<'call'>, scope: Scope): Term {
  const [name, ...more] = node.args[1]
  if (name?.op === 'value' && typeof name.args === 'string' && more.length === 0) {
    return named(name.args, true, scope, name.start)
  }
  throw new ExpressionFault(`${scope.quote} takes a name that is written out: ${scope.quote}("V-1")`, node.start)
}

function call(node: Of<'call'>, of: (part: ASTNode) => Term): Term {
  const [name, parts] = node.args
  const called = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined
  if (called === undefined) {
    const near = OTHER_NAMES.get(name.toLowerCase()) ?? closest(name, Object.keys(FUNCTIONS))
    const proposal = near === undefined ? `There are: ${Object.keys(FUNCTIONS).join(', ')}` : `Did you mean ${near}?`
    throw new ExpressionFault(`there is no function ${name}. ${proposal}`, node.start)
  }
  const args = parts.map((part): Argument => ({ term: of(part), constant: literalOf(part) }))
  const made = called.apply(args)
  if (typeof made === 'object') return made
  const given = args.length === 0 ? 'nothing' : args.map(({ term }) => `a ${term.type}`).join(', ')
  throw new ExpressionFault(made ?? `${name} takes ${called.takes}, and this is ${given}`, node.start)
}

function chosen(node: Of<'?:'>, of: (part: ASTNode) => Term): Term {
  const [condition, yes, no] = node.args.map(of)
  const made = choice(wanted(node.args[0], condition, 'condition', '?'), yes, no)
  if (made !== undefined) return made
  const message = `? gives one of two values of one type, and these are a ${yes.type} and a ${no.type}`
  throw new ExpressionFault(message, node.input.indexOf(':', node.args[1].end))
}

function among(node: Of<'in'>, value: Term): NumberTerm {
  const [, list] = node.args
  if (list.op !== 'list') throw new ExpressionFault('in takes a list, as in country in ["DE", "FR"]', list.start)
  if (list.args.length === 0) throw new ExpressionFault('the list is empty', list.start)
  const constants = list.args.map((each) => {
    const found = literalOf(each)
    if (found === undefined) throw new ExpressionFault('a list has values that are written out', each.start)
    const { type } = constant(found)
    if (type === value.type) return typeof found === 'boolean' ? Number(found) : found
    throw new ExpressionFault(`this is a ${type}, and the value before in is a ${value.type}`, each.start)
  })
  return isIn(value, new Set(constants))
}

function wanted(node: ASTNode, term: Term, type: NumberTerm['type'], op: string): NumberTerm {
  if (term.type === type) return term
  throw new ExpressionFault(`${op} takes a ${type}, and this is a ${term.type}`, node.start)
}
