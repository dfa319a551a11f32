import { decodedPart } from '../../configs/url.ts'
import { UserError } from '../../configs/user-error.ts'
import type { MlflowCredentials } from '../registry.ts'

/**
 * The server and the header that opens it. As with the Python client, credentials in the URL come first, then user and
 * password, then the token.
 *
 * @returns `server` without credentials and without a slash at its end, fit for messages.
 * @throws UserError for a malformed URL, and for a user without a password or the reverse.
 */
export function authorization(
  url: string,
  { username, password, token }: MlflowCredentials,
): { server: string; header?: string } {
  const parsed = parseUrl(url)
  const server = (parsed.origin + parsed.pathname).replace(/\/+$/, '')
  if (parsed.username !== '' || parsed.password !== '') {
    return { server, header: basic(decodedPart(parsed.username, server), decodedPart(parsed.password, server)) }
  }
  if ((username === undefined) !== (password === undefined)) {
    throw new UserError(
      `${server} needs user and password together. ` +
        'Set both MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or neither.',
    )
  }
  if (username !== undefined && password !== undefined) return { server, header: basic(username, password) }
  return token === undefined ? { server } : { server, header: `Bearer ${token}` }
}

function parseUrl(url: string): URL {
  if (URL.canParse(url)) return new URL(url)
  // The message does not show the URL: what cannot be parsed may still hold a password.
  throw new UserError(
    'The URL of the MLflow server is not valid. Use for example MLFLOW_TRACKING_URI=http://127.0.0.1:5000',
  )
}

function basic(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}
