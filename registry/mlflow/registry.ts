import { z } from 'zod'
import type { EpochMs } from '../../datasets/table/transaction.ts'
import { checkArtifactPath } from '../naming.ts'
import type { Registry, RegistryOptions } from '../registry.ts'
import { aliasVerbs } from './aliases.ts'
import { artifactVerbs, rootOf } from './artifacts.ts'
import { mlflowClient, type MlflowClient } from './client.ts'
import { experimentVerbs } from './experiments.ts'
import { logVerbs } from './metrics.ts'
import { modelVerbs } from './models.ts'
import { runStatusVerbs } from './run-status.ts'
import { runVerbs } from './runs.ts'
import { searchVerbs } from './search.ts'
import { versionVerbs } from './versions.ts'

/**
 * The registry of an MLflow 3 tracking server, through its REST API. Nothing is sent until the first call. `newId` is
 * not used: a server gives ids itself.
 *
 * A server cannot keep the port's promises whole:
 *
 * - Infinities in metrics come back as ±1.797e308 from its SQL store.
 * - A reader may meet an artifact while it arrives. The bytes then do not fit their checksum.
 * - Artifacts and the history are written once among `fd` processes only; the port has the details.
 */
export function openMlflowRegistry(url: string, { now, credentials, patience }: RegistryOptions): Registry {
  return registryOver(mlflowClient(url, credentials, patience), now)
}

/** The registry of the server that `client` talks to. */
export function registryOver(client: MlflowClient, now: () => EpochMs): Registry {
  const artifacts = artifactVerbs(client)
  const versions = versionVerbs(client)
  return {
    ...experimentVerbs(client),
    ...runVerbs(client, now),
    ...runStatusVerbs(client, now),
    ...logVerbs(client, now),
    ...searchVerbs(client),
    ...artifacts,
    ...modelVerbs(client),
    ...aliasVerbs(client, now),
    ...versions,
    async downloadModelArtifact(name, version, path) {
      checkArtifactPath(path)
      const { runId, source } = await versions.getModelVersion(name, version)
      const inRun = `runs:/${runId}/`
      if (runId !== undefined && source.startsWith(inRun)) {
        return artifacts.downloadArtifact(runId, `${source.slice(inRun.length)}/${path}`)
      }
      return downloadFromStore(client, name, version, path)
    },
    async [Symbol.asyncDispose]() {
      // fetch keeps connections alive by itself and lets the process end.
    },
  }
}

const place = z.object({ artifact_uri: z.string() })

/**
 * A file of a version that another tool registered, from a logged model (`models:/m-…`) for instance. The server says
 * where the version's files are.
 */
async function downloadFromStore(
  client: MlflowClient,
  name: string,
  version: number,
  path: string,
): Promise<Uint8Array> {
  const { artifact_uri: uri } = await client.get('model-versions/get-download-uri', { name, version }, place)
  return client.readFile(`${rootOf(client, uri)}/${path}`)
}
