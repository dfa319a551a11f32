/** What is wrong with an expression, and where: `at` counts UTF-16 units from its start. */
export class ExpressionFault extends Error {
  readonly at: number

  constructor(message: string, at: number) {
    super(message)
    this.name = 'ExpressionFault'
    this.at = at
  }
}

/** A fault as the user reads it: what is wrong, and the line of the expression with a caret under it. */
export function faultText(expression: string, { message, at }: ExpressionFault): string {
  const place = Math.min(at, expression.length)
  const start = expression.lastIndexOf('\n', place - 1) + 1
  const line = expression.slice(start).split('\n', 1)[0].trimEnd()
  // A tab is as wide as the terminal wants, so the caret's line has the same tabs.
  const indent = expression.slice(start, place).replaceAll(/[^\t]/gu, ' ')
  return `${message}\n\n  ${line}\n  ${indent}^`
}
