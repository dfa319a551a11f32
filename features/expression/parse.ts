import { Environment, ParseError, type ASTNode } from '@marcbachmann/cel-js'
import { ExpressionFault } from './fault.ts'

// Bounds of what a definition may cost. The depth is checked again in the tree, where long sums are deep too.
const MOST_CHARACTERS = 10_000
const LIMITS = { maxAstNodes: 2000, maxDepth: 50, maxListElements: 1000, maxCallArguments: 16, maxMapEntries: 1000 }

const TOO_LARGE =
  `the expression is too large: at most ${MOST_CHARACTERS} characters, ${LIMITS.maxAstNodes} parts, ` +
  `${LIMITS.maxDepth} parentheses in each other, ${LIMITS.maxListElements} values in a list, ` +
  `${LIMITS.maxCallArguments} arguments. Make several features of it`

/** The parser alone: names and types are checked as the tree is compiled. */
const language = new Environment({ limits: LIMITS })

/** How people call what the parser's messages name. */
const TOKENS: Record<string, string> = {
  LPAREN: '"("',
  RPAREN: '")"',
  LBRACKET: '"["',
  RBRACKET: '"]"',
  COMMA: '","',
  COLON: '":"',
  IDENTIFIER: 'a name',
}

/** What users of other languages may have meant, by what they wrote. */
const MEANT: readonly [written: RegExp, meant: string][] = [
  [/^and\b|^&/i, '&&'],
  [/^or\b|^\|/i, '||'],
  [/^=>/, '>='],
  [/^=</, '<='],
  [/^=/, '=='],
  [/^>/, '!= for <>'],
  [/^is\b/i, 'is_missing(x)'],
  [/^like\b/i, 'starts_with, ends_with or contains'],
  [/^\.\d/, '0.5 for .5'],
  [/^[\p{L}\p{N}`“”]/u, 'other names than of a-z, 0-9 and _ as column("NAME"), and texts in straight quotes'],
]

/**
 * The tree of an expression in CEL.
 *
 * @throws ExpressionFault for what is no CEL, and for expressions that are too large.
 */
export function parse(expression: string): ASTNode {
  if (expression.length > MOST_CHARACTERS) throw new ExpressionFault(TOO_LARGE, 0)
  try {
    return language.parse(expression).ast
  } catch (error) {
    if (error instanceof ParseError) throw faultOf(error, expression)
    // The parser calls itself for each sign in "!!!…", beyond what the stack holds.
    if (error instanceof RangeError) throw new ExpressionFault(TOO_LARGE, 0)
    throw error
  }
}

function faultOf(error: ParseError, expression: string): ExpressionFault {
  const { start, end } = error.range ?? { start: 0, end: 0 }
  const found = expression.slice(start, end)
  if (expression.trim() === '') return new ExpressionFault('the expression is empty', 0)
  if (error.code === 'limit_exceeded') return new ExpressionFault(TOO_LARGE, start)
  if (error.code === 'reserved_identifier') {
    return new ExpressionFault(`${found} is a word of the language, so it can name nothing`, start)
  }
  if (error.code === 'expected_token') {
    const [, wanted] = /Expected (\w+)/.exec(error.summary) ?? ['', '']
    return new ExpressionFault(`${TOKENS[wanted] ?? wanted} is missing before ${found || 'the end'}`, start)
  }
  if (error.code !== 'unexpected_token' && error.code !== 'unexpected_character') {
    return new ExpressionFault(error.summary, start)
  }
  if (found === '') return new ExpressionFault('something is missing at the end', start)
  const meant = MEANT.find(([written]) => written.test(expression.slice(start)))
  return new ExpressionFault(`no ${found} can stand here${meant === undefined ? '' : `. Write ${meant[1]}`}`, start)
}
