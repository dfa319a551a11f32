import { setTimeout as wait } from 'node:timers/promises'
import type { DurationMs } from '../../datasets/table/transaction.ts'
import { faultOf, refusalOf } from './fault.ts'
import { connectionCode, MOMENTARY, type Answer, type Outcome, type Request } from './request.ts'

const FIRST_PAUSE: DurationMs = 200
const LONGEST_PAUSE: DurationMs = 4_000

/** Codes of Node and undici for a connection that was never made: nothing was sent. */
const UNSENT = new Set(['ECONNREFUSED', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'])
/** Codes for a connection that broke: the server may have done what was asked. */
const CUT = new Set(['ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'UND_ERR_SOCKET', 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH'])
/** Statuses that mean, like a refused connection, that nothing was done (RFC 9110, 15.6.4). */
const UNDONE = new Set([429, 503])

/**
 * Sends a request until it is answered with status 200.
 *
 * A fault of the moment (408, 429, 500, 502, 503, 504, a lost race in the server's database, or a connection that is
 * refused or cut) is met with another attempt, after pauses that double, until `patience` is used up. When the server
 * may have done what was asked, only a repeatable request is sent again.
 *
 * @param server its URL without credentials, for messages.
 * @throws UserError for every other outcome.
 */
export async function answered(request: Request, server: string, patience: DurationMs): Promise<Answer> {
  let waited = 0
  for (let pause = FIRST_PAUSE; ; pause = Math.min(2 * pause, LONGEST_PAUSE)) {
    const outcome = await attempt(request)
    if (!('error' in outcome) && outcome.status === 200) return outcome
    if (!mayRepeat(request, outcome) || waited + pause > patience) throw faultOf(request, server, outcome)
    await wait(pause)
    waited += pause
  }
}

async function attempt({ url, method, headers, body, within }: Request): Promise<Outcome> {
  try {
    // Redirects are not followed: a POST would become a GET, and credentials would travel where nobody sent them.
    const response = await fetch(url, {
      method,
      headers,
      body,
      redirect: 'manual',
      signal: AbortSignal.timeout(within),
    })
    const location = response.headers.get('location')
    return { status: response.status, body: location === null ? await response.bytes() : Buffer.from(location) }
  } catch (error) {
    return { error }
  }
}

function mayRepeat({ repeatable }: Request, outcome: Outcome): boolean {
  if (!('error' in outcome)) {
    return (repeatable ? MOMENTARY : UNDONE).has(outcome.status) || (repeatable && isLostRace(outcome))
  }
  const code = connectionCode(outcome.error)
  return UNSENT.has(code) || (repeatable && CUT.has(code))
}

/**
 * MLflow answers BAD_REQUEST, and to nothing else, when its database refuses a transaction: two calls have inserted one
 * row at the same moment. The loser finds the row at its next attempt. What is wrong with a call itself is called
 * INVALID_PARAMETER_VALUE.
 */
function isLostRace({ status, body }: Answer): boolean {
  return status === 400 && refusalOf(body)?.error_code === 'BAD_REQUEST'
}
