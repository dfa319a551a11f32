import { z } from 'zod'
import { sourceEmpty, versionAliased } from '../conflict.ts'
import type { ModelVersion } from '../model.ts'
import { checkRegistryTag, parseModelSource } from '../naming.ts'
import { noSuchVersion, type NotFoundError } from '../not-found.ts'
import type { NewModelVersion, Registry } from '../registry.ts'
import { listArtifacts } from './artifacts.ts'
import { isMissing, nothing, type MlflowClient } from './client.ts'
import { modelVersion, pairsOf } from './json.ts'
import { getModel, ofModel, searchModels } from './models.ts'
import { allPages } from './pages.ts'
import { getRun } from './runs.ts'

type VersionVerbs = Pick<
  Registry,
  'createModelVersion' | 'getModelVersion' | 'setModelVersionTag' | 'searchModelVersions' | 'deleteModelVersion'
>

export const oneVersion = z.object({ model_version: modelVersion })
/** Fewer than MLflow would give (200,000): a version carries its tags, and with them its model card. */
const MOST = 1_000

export function versionVerbs(client: MlflowClient): VersionVerbs {
  return {
    createModelVersion: (version) => createVersion(client, version),
    getModelVersion: (name, version) => getVersion(client, name, version),

    async setModelVersionTag(name, version, key, value) {
      checkRegistryTag(key, value)
      await ofVersion(
        client,
        name,
        version,
        client.send('POST', 'model-versions/set-tag', { name, version: String(version), key, value }, nothing),
      )
    },

    searchModelVersions: ({ name, runId } = {}) => searchVersions(client, name, runId),

    async deleteModelVersion(name, version) {
      const { aliases } = await getVersion(client, name, version)
      if (aliases.length > 0) throw versionAliased(name, version, aliases)
      await ofVersion(
        client,
        name,
        version,
        client.sendOnce('DELETE', 'model-versions/delete', { name, version: String(version) }, nothing),
      )
    },
  }
}

/** @throws NotFoundError. */
export async function getVersion(client: MlflowClient, name: string, version: number): Promise<ModelVersion> {
  return (await ofVersion(client, name, version, client.get('model-versions/get', { name, version }, oneVersion)))
    .model_version
}

/** Registers under the folder's place in the artifact store, as the Python client does, so that every MLflow tool finds the files. */
async function createVersion(client: MlflowClient, given: NewModelVersion): Promise<ModelVersion> {
  const { runId, folder } = parseModelSource(given)
  const { name, source, description = '', tags = {} } = given
  for (const [key, value] of Object.entries(tags)) checkRegistryTag(key, value)
  await getModel(client, name)
  const { artifactUri } = await getRun(client, runId)
  if ((await listArtifacts(client, runId, folder)).length === 0) throw sourceEmpty(source)
  const body = { name, source: `${artifactUri}/${folder}`, run_id: runId, description, tags: pairsOf(tags) }
  return (await ofModel(client, name, client.sendOnce('POST', 'model-versions/create', body, oneVersion))).model_version
}

/** MLflow's search leaves aliases out; they come from the models, read after the versions. */
async function searchVersions(
  client: MlflowClient,
  name: string | undefined,
  runId: string | undefined,
): Promise<ModelVersion[]> {
  const wanted = Object.entries({ name, run_id: runId }).flatMap(([key, value]) =>
    value === undefined || /['"\\]/.test(value) ? [] : [`${key} = '${value}'`],
  )
  const filter = wanted.length === 0 ? undefined : wanted.join(' AND ')
  const found = await allPages('model_versions', modelVersion, (schema, token) =>
    client.get('model-versions/search', { filter, max_results: MOST, page_token: token }, schema),
  )
  const kept = found.filter(
    (version) => (name === undefined || version.name === name) && (runId === undefined || version.runId === runId),
  )
  if (kept.length === 0) return []
  const models = name === undefined ? await searchModels(client) : [await getModel(client, name)]
  const aliasesOf = new Map(models.map((model) => [model.name, Object.entries(model.aliases)]))
  return kept
    .map((version) => ({
      ...version,
      aliases: (aliasesOf.get(version.name) ?? [])
        .filter(([, holder]) => holder === version.version)
        .map(([alias]) => alias)
        .sort(),
    }))
    .sort((a, b) => (a.name === b.name ? b.version - a.version : a.name < b.name ? -1 : 1))
}

/** The answer of a call about a version. @throws NotFoundError when there is no such model or version. */
export async function ofVersion<T>(client: MlflowClient, name: string, version: number, call: Promise<T>): Promise<T> {
  return call.catch(async (error: unknown) => {
    throw isMissing(error) ? await missingVersion(client, name, version) : error
  })
}

async function missingVersion(client: MlflowClient, name: string, version: number): Promise<NotFoundError> {
  await getModel(client, name)
  const existing = await searchVersions(client, name, undefined)
  return noSuchVersion(name, version, existing.map((other) => other.version).reverse())
}
