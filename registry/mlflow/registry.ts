import { z } from 'zod'
import { checkArtifactPath } from '../naming.ts'
import type { Registry, RegistryOptions } from '../registry.ts'
import { aliasVerbs } from './aliases.ts'
import { artifactVerbs, rootOf } from './artifacts.ts'
import { mlflowClient, type MlflowClient } from './client.ts'
import { experimentVerbs } from './experiments.ts'
import { modelVerbs } from './models.ts'
import { runVerbs } from './runs.ts'
import { searchVerbs } from './search.ts'
import { versionVerbs } from './versions.ts'

/**
 * The registry of an MLflow 3 tracking server, through its REST API. Nothing is sent until the first call.
 *
 * Where a server cannot keep the port's promise whole: infinities in metrics come back as ±1.797e308 from its SQL store;
 * a reader may meet an artifact while it arrives, which then does not fit its checksum; write-once and the history
 * hold among `fd` processes only (`addRegisteredModelTag` has the details). The names of `newId` are not used: a server gives ids itself.
 */
export function openMlflowRegistry(url: string, { now, credentials, patience }: RegistryOptions): Registry {
  const client = mlflowClient(url, credentials, patience)
  const artifacts = artifactVerbs(client)
  const versions = versionVerbs(client)
  return {
    ...experimentVerbs(client),
    ...runVerbs(client, now),
    ...searchVerbs(client),
    ...artifacts,
    ...modelVerbs(client),
    ...aliasVerbs(client),
    ...versions,
    async downloadModelArtifact(name, version, path) {
      checkArtifactPath(path)
      const { runId, source } = await versions.getModelVersion(name, version)
      const inRun = `runs:/${runId}/`
      if (runId !== undefined && source.startsWith(inRun))
        return artifacts.downloadArtifact(runId, `${source.slice(inRun.length)}/${path}`)
      return downloadFromStore(client, name, version, path)
    },
    async [Symbol.asyncDispose]() {
      // fetch keeps connections alive by itself and lets the process end.
    },
  }
}

/** A version that another tool registered, from a logged model (`models:/m-…`) for instance: the server says where its files are. */
async function downloadFromStore(
  client: MlflowClient,
  name: string,
  version: number,
  path: string,
): Promise<Uint8Array> {
  const { artifact_uri: uri } = await client.get(
    'model-versions/get-download-uri',
    { name, version },
    z.object({ artifact_uri: z.string() }),
  )
  return client.readFile(`${rootOf(client, uri)}/${path}`)
}
