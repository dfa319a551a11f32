import { UserError } from '../../configs/user-error.ts'

/** What is wrong with an expression, and where: `at` counts UTF-16 units from its start. */
export class ExpressionFault extends Error {
  readonly at: number

  constructor(message: string, at: number) {
    super(message)
    this.name = 'ExpressionFault'
    this.at = at
  }
}

/**
 * The fault as the user reads it: whose expression it is, what is wrong, and the line with a caret under the fault.
 *
 * @param where whose expression it is, as a message begins: `Feature "km" of service "shop"`.
 */
export function faultError(where: string, expression: string, fault: ExpressionFault): UserError {
  const at = Math.min(fault.at, expression.length)
  const start = expression.lastIndexOf('\n', at - 1) + 1
  const line = expression.slice(start).split('\n', 1)[0].trimEnd()
  // A tab is as wide as the terminal wants, so the caret's line has the same tabs.
  const indent = expression.slice(start, at).replaceAll(/[^\t]/gu, ' ')
  return new UserError(`${where}: ${fault.message}\n\n  ${line}\n  ${indent}^`)
}
