import type { Finding, Inspection } from '../configs/finding.ts'
import { withoutPassword } from '../configs/url.ts'
import { UserError } from '../configs/user-error.ts'
import type { MlflowCredentials, Registry, RegistryOptions } from './registry.ts'

/**
 * Opens the registry that `url` names. Drivers are loaded only when their URL is asked for.
 *
 * - `sqlite:FOLDER` is made when missing.
 * - `http://` or `https://` is an MLflow 3 server. Nothing is sent to it before the first call.
 *
 * @throws UserError for another scheme, a folder that cannot be written, or a damaged database. The message gives the
 * file and the next step.
 */
export async function openRegistry(url: string, options: RegistryOptions): Promise<Registry> {
  if (url.startsWith('sqlite:')) {
    const { openSqliteRegistry } = await import('./sqlite/registry.ts')
    return openSqliteRegistry(url.slice('sqlite:'.length), options)
  }
  if (isServer(url)) {
    const { openMlflowRegistry } = await import('./mlflow/registry.ts')
    return openMlflowRegistry(url, options)
  }
  throw new UserError(
    `No registry driver for "${withoutPassword(url)}". Use sqlite:FOLDER, or http://HOST:PORT of an MLflow server.`,
  )
}

/**
 * Looks at the server behind `url` as its user will: version, latency, permissions, clock. To try the permissions it
 * makes an experiment, a model and an artifact, and deletes them.
 *
 * @returns nothing for an embedded registry: to open it is to inspect it.
 * @throws UserError for a malformed URL or malformed credentials.
 */
export async function inspectRegistry(
  url: string,
  credentials: MlflowCredentials,
  inspection: Inspection,
): Promise<Finding[]> {
  if (!isServer(url)) return []
  const { inspectMlflow } = await import('./mlflow/inspection.ts')
  return inspectMlflow(url, credentials, inspection)
}

function isServer(url: string): boolean {
  return /^https?:\/\//.test(url)
}
