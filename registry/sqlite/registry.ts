import { randomUUID } from 'node:crypto'
import { resolve } from 'node:path'
import { UserError } from '../../configs/user-error.ts'
import type { Registry, RegistryOptions } from '../registry.ts'
import { aliasVerbs } from './aliases.ts'
import { artifactVerbs, sweepIncoming } from './artifacts.ts'
import { openDatabase, type Database } from './database.ts'
import { experimentVerbs } from './experiments.ts'
import { logVerbs } from './metrics.ts'
import { modelVerbs } from './models.ts'
import { runVerbs } from './runs.ts'
import { searchVerbs } from './search.ts'
import { versionVerbs } from './versions.ts'

/**
 * The embedded registry: `folder`/registry.db and `folder`/artifacts. Any number of processes of one machine share it;
 * SQLite's locks do not hold on network file systems.
 *
 * Calls are synchronous inside. A read takes tens of microseconds, a write waits for other processes' writes.
 */
export async function openSqliteRegistry(folder: string, { now, newId }: RegistryOptions): Promise<Registry> {
  if (folder === '') throw new UserError('The registry URL "sqlite:" names no folder. Use sqlite:FOLDER.')
  const root = resolve(folder)
  const database = openDatabase(root, now())
  await sweepIncoming(root, now())
  return registryOver(database, root, { now, newId })
}

/** The registry of a database, whose artifacts are below `root`. */
export function registryOver(
  database: Database,
  root: string,
  { now, newId = hexId }: Pick<RegistryOptions, 'now' | 'newId'>,
): Registry {
  const artifacts = artifactVerbs(database, root, newId)
  const versions = versionVerbs(database, now)
  return {
    ...experimentVerbs(database, now),
    ...runVerbs(database, root, now, newId),
    ...searchVerbs(database, root),
    ...logVerbs(database, now),
    ...artifacts,
    ...modelVerbs(database, now),
    ...aliasVerbs(database, now),
    ...versions,
    async downloadModelArtifact(name, version, path) {
      const { runId, source } = await versions.getModelVersion(name, version)
      if (runId === undefined) {
        throw new UserError(`Version ${version} of "${name}" has its files at ${source}, outside this registry.`)
      }
      return artifacts.downloadArtifact(runId, `${source.slice(`runs:/${runId}/`.length)}/${path}`)
    },
    async [Symbol.asyncDispose]() {
      database.close()
    },
  }
}

function hexId(): string {
  return randomUUID().replaceAll('-', '')
}
