/**
 * A mistake that the user can mend. The message stands alone: it gives the wrong value and the next command to type.
 * The CLI prints it without a stack and exits with `exitCode`; any other error is a bug and prints its stack.
 *
 * Exit codes: 2 for an error (the default), 1 for a legitimate *no* (a gate refused, a difference was found), 130 and
 * 143 for work that Ctrl-C or SIGTERM cut short, as shells count them.
 */
export class UserError extends Error {
  readonly exitCode: 1 | 2 | 130 | 143

  constructor(message: string, options: { exitCode?: UserError['exitCode']; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'UserError'
    this.exitCode = options.exitCode ?? 2
  }
}

/** The system's error code (`ENOENT`, `ENOSPC` …) of a caught value, or undefined. */
export function errorCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}

/** The message of a caught value, whatever was thrown. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
