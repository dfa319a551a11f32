import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { UserError } from './user-error.ts'

/** Variables by name, as an environment has them. */
export type Variables = Record<string, string | undefined>

/** `HOME/services/credentials.env`: the secrets of the services of one home, `NAME=VALUE` a line, made by `fd services up`. */
export function credentialsFile(home: string): string {
  return join(home, 'services', 'credentials.env')
}

/** The secrets of a home's services by name; none when the home has no services. */
export function readCredentials(home: string): Record<string, string> {
  const file = credentialsFile(home)
  if (!existsSync(file)) return {}
  const lines = readFileSync(file, 'utf8').split('\n').filter((line) => line.includes('='))
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]))
}

/**
 * Puts secrets where `${NAME}` stands in a URL, percent-encoded: from the environment, else from the home's credentials.
 *
 * @throws UserError naming the variable that is set nowhere.
 */
export function withSecrets(url: string, home: string, env: Variables): string {
  return url.replaceAll(/\$\{(\w+)\}/g, (_, name: string) => {
    const value = env[name] ?? readCredentials(home)[name]
    if (value === undefined || value === '') {
      throw new UserError(`${url} needs ${name}, which is neither in the environment nor in ${credentialsFile(home)}. Run: fd services up`)
    }
    return encodeURIComponent(value)
  })
}

/** The URL as it may be shown: user and password, when it has any, as `***`. */
export function withoutSecrets(url: string): string {
  return url.replace(/^([\w+.-]+:\/\/)[^/?#]*@/, '$1***@')
}

/** An `s3:` URL with what the AWS variables know and it does not say: credentials (not temporary ones, which the SDK renews itself) and endpoint. */
export function completeLake(url: string, env: Variables): string {
  if (!url.startsWith('s3://')) return url
  const { AWS_ACCESS_KEY_ID: key, AWS_SECRET_ACCESS_KEY: secret, AWS_SESSION_TOKEN: session, AWS_ENDPOINT_URL: endpoint } = env
  const completed = new URL(url)
  if (completed.username === '' && key && secret && !session) {
    completed.username = encodeURIComponent(key)
    completed.password = encodeURIComponent(secret)
  }
  // Written by hand: URLSearchParams would encode the slashes of the endpoint, and people read this.
  if (endpoint && !completed.searchParams.has('endpoint')) completed.search = `${completed.search === '' ? '?' : `${completed.search}&`}endpoint=${endpoint}`
  return completed.href
}
