/** What is wrong with an expression, and where: `at` counts UTF-16 units from its start. */
export class ExpressionFault extends Error {
  readonly at: number

  constructor(message: string, at: number) {
    super(message)
    this.name = 'ExpressionFault'
    this.at = at
  }
}

/** Of a long line so much is shown before the fault, and so much in all. */
const BEFORE = 60
const SHOWN = 100

/** A fault as the user reads it: what is wrong, and the line of the expression with a caret under it. */
export function faultText(expression: string, { message, at }: ExpressionFault): string {
  const place = Math.min(at, expression.length)
  const lineStart = expression.lastIndexOf('\n', place - 1) + 1
  const line = expression.slice(lineStart).split('\n', 1)[0].trimEnd()
  const from = line.length > SHOWN ? Math.max(0, place - lineStart - BEFORE) : 0
  const shown = `${from > 0 ? '…' : ''}${line.slice(from, from + SHOWN)}${from + SHOWN < line.length ? '…' : ''}`
  // A tab is as wide as the terminal wants, so the caret's line has the same tabs.
  const indent = expression.slice(lineStart + from, place).replaceAll(/[^\t]/gu, ' ')
  return `${message}\n\n  ${shown}\n  ${from > 0 ? ' ' : ''}${indent}^`
}
