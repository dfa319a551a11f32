import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { UserError } from './user-error.ts'

/** Variables by name, as an environment has them. */
export type Variables = Record<string, string | undefined>

/**
 * `HOME/services/credentials.env`: the secrets of the services of one home, each on a line `NAME=VALUE`. The command
 * `fd services up` makes it.
 */
export function credentialsFile(home: string): string {
  return join(home, 'services', 'credentials.env')
}

/** The secrets of a home's services by name; none when the home has no services. */
export function readCredentials(home: string): Record<string, string> {
  const file = credentialsFile(home)
  if (!existsSync(file)) return {}
  const lines = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.includes('='))
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]))
}

/**
 * Replaces each `${NAME}` in a text by the secret of that name, passed through `encode`. It comes from the environment,
 * else from the home's credentials.
 *
 * @throws UserError naming the variable that is set nowhere.
 */
export function withSecrets(
  text: string,
  home: string,
  env: Variables,
  encode = (secret: string): string => secret,
): string {
  return text.replaceAll(/\$\{(\w+)\}/g, (_, name: string) => {
    const value = env[name] ?? readCredentials(home)[name]
    if (value === undefined || value === '') {
      throw new UserError(
        `The configuration needs ${name}, which is neither in the environment nor in ${credentialsFile(home)}. ` +
          'Run: fd services up',
      )
    }
    return encode(value)
  })
}
