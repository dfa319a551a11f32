import { z } from 'zod'
import { errorMessage, UserError } from '../../configs/user-error.ts'
import { connectionCode, jsonOf, MOMENTARY, pathOf, type Outcome, type Request } from './request.ts'

/**
 * What the server refused, in its own words. `code` is MLflow's: RESOURCE_DOES_NOT_EXIST, INVALID_PARAMETER_VALUE …
 */
export class MlflowError extends UserError {
  readonly code: string

  constructor(message: string, code: string) {
    super(message)
    this.name = 'MlflowError'
    this.code = code
  }
}

/** True for the server's answer that something does not exist. */
export function isMissing(error: unknown): boolean {
  return error instanceof MlflowError && error.code === 'RESOURCE_DOES_NOT_EXIST'
}

const LOOK_AT_LOG = "Look at the server's log, then run the command again: fd doctor"

/** Any outcome but status 200, in words. @param server its URL, without credentials. */
export function faultOf(request: Request, server: string, outcome: Outcome): UserError {
  if ('error' in outcome) return unreachable(request, server, outcome.error)
  const { status, body } = outcome
  if (status >= 300 && status < 400) return redirected(server, Buffer.from(body).toString())
  if (status === 401) return unauthorized(server)
  if (status === 403) return forbidden(request, server)
  const refusal = refusalOf(body)
  if (refusal !== undefined) {
    return new MlflowError(`${server} refused ${pathOf(request)}: ${refusal.message}`, refusal.error_code)
  }
  if (MOMENTARY.has(status)) {
    return new UserError(`${server} answers ${status} to ${pathOf(request)}. ${LOOK_AT_LOG}`)
  }
  return notMlflow(server, `${status} to ${pathOf(request)}`)
}

/** An answer that MLflow 3 does not give. @param detail what is wrong with it, on lines of its own. */
export function notMlflow(server: string, answer: string, detail?: string): UserError {
  return new UserError(
    `${server} is no MLflow 3 server: it gave ${answer}. Set MLFLOW_TRACKING_URI to one, then run: fd doctor` +
      (detail === undefined ? '' : `\n${detail}`),
  )
}

function redirected(server: string, location: string): UserError {
  return new UserError(
    `${server} sends elsewhere: ${location.slice(0, 200)}. Set MLFLOW_TRACKING_URI to the server itself.`,
  )
}

function unauthorized(server: string): UserError {
  return new UserError(
    `${server} does not accept these credentials (401). ` +
      'Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, then run: fd doctor',
  )
}

function forbidden(request: Request, server: string): UserError {
  return new UserError(
    `${server} forbids ${pathOf(request)} to this user (403). ` +
      "Ask the server's administrator for the permission, then run: fd doctor",
  )
}

function unreachable(request: Request, server: string, cause: unknown): UserError {
  if (cause instanceof Error && cause.name === 'TimeoutError') {
    const seconds = request.within / 1000
    const message = `${server} did not answer ${pathOf(request)} within ${seconds} s. ${LOOK_AT_LOG}`
    return new UserError(message, { cause })
  }
  const code = connectionCode(cause)
  const advice =
    code === 'ENOTFOUND'
      ? 'There is no such host; set MLFLOW_TRACKING_URI to the right one'
      : 'Start it, or set MLFLOW_TRACKING_URI to another one'
  return new UserError(
    `The MLflow server at ${server} cannot be reached (${code === '' ? reasonOf(cause) : code}). ` +
      `${advice}, then run: fd doctor`,
    { cause },
  )
}

/** The innermost message. */
function reasonOf(cause: unknown): string {
  return errorMessage(cause instanceof Error && cause.cause !== undefined ? cause.cause : cause)
}

const refusal = z.object({ error_code: z.string(), message: z.string().default('') })

/** MLflow's own error; undefined when another program answered. */
export function refusalOf(body: Uint8Array): z.output<typeof refusal> | undefined {
  return refusal.safeParse(jsonOf(body)).data
}
