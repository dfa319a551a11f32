import type { Finding, Inspection } from '../configs/finding.ts'
import { UserError } from '../configs/user-error.ts'
import type { MlflowCredentials, Registry, RegistryOptions } from './registry.ts'

/**
 * Opens the registry that `url` names: `sqlite:FOLDER`, made when missing, or the `http://` or `https://` URL of an MLflow 3
 * server, which is not asked before the first call.
 *
 * @throws UserError for another scheme, a folder that cannot be written, or a damaged database (file and next step given).
 */
export async function openRegistry(url: string, options: RegistryOptions): Promise<Registry> {
  if (url.startsWith('sqlite:'))
    return (await import('./sqlite/registry.ts')).openSqliteRegistry(url.slice('sqlite:'.length), options)
  if (/^https?:\/\//.test(url)) return (await import('./mlflow/registry.ts')).openMlflowRegistry(url, options)
  throw new UserError(`No registry driver for "${url}". Use sqlite:FOLDER, or http://HOST:PORT of an MLflow server.`)
}

/**
 * What the server behind `url` looks like to one who will use it: version, latency, permissions, clock. None for an embedded
 * registry, which is inspected by opening it. Makes an experiment, a model and an artifact for a trial, and deletes them.
 *
 * @throws UserError for a URL or credentials that cannot be.
 */
export async function inspectRegistry(
  url: string,
  credentials: MlflowCredentials,
  inspection: Inspection,
): Promise<Finding[]> {
  return /^https?:\/\//.test(url)
    ? (await import('./mlflow/inspection.ts')).inspectMlflow(url, credentials, inspection)
    : []
}
