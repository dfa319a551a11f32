import { z } from 'zod'
import { sourceEmpty, versionAliased } from '../conflict.ts'
import type { ModelVersion } from '../model.ts'
import { checkRegistryTag, parseModelSource } from '../naming.ts'
import { noSuchVersion, type NotFoundError } from '../not-found.ts'
import type { NewModelVersion, Registry } from '../registry.ts'
import { listArtifacts } from './artifacts.ts'
import { nothing, type MlflowClient } from './client.ts'
import { isMissing } from './fault.ts'
import { modelVersion, pairsOf } from './json.ts'
import { getModel, ofModel, searchModels } from './models.ts'
import { allPages } from './pages.ts'
import { getRun } from './runs.ts'

type VersionVerbs = Pick<
  Registry,
  'createModelVersion' | 'getModelVersion' | 'setModelVersionTag' | 'searchModelVersions' | 'deleteModelVersion'
>

export const oneVersion = z.object({ model_version: modelVersion })
/** Fewer than MLflow would give (200,000), because a version carries its model card in its tags. */
const MOST = 1_000

export function versionVerbs(client: MlflowClient): VersionVerbs {
  return {
    createModelVersion: (version) => createVersion(client, version),
    getModelVersion: (name, version) => getVersion(client, name, version),

    async setModelVersionTag(name, version, key, value) {
      checkRegistryTag(key, value)
      const body = { name, version: String(version), key, value }
      await ofVersion(client, name, version, client.send('POST', 'model-versions/set-tag', body, nothing))
    },

    searchModelVersions: ({ name, runId } = {}) => searchVersions(client, name, runId),

    async deleteModelVersion(name, version) {
      const { aliases } = await getVersion(client, name, version)
      if (aliases.length > 0) throw versionAliased(name, version, aliases)
      const body = { name, version: String(version) }
      await ofVersion(client, name, version, client.sendOnce('DELETE', 'model-versions/delete', body, nothing))
    },
  }
}

/** @throws NotFoundError. */
export async function getVersion(client: MlflowClient, name: string, version: number): Promise<ModelVersion> {
  const call = client.get('model-versions/get', { name, version }, oneVersion)
  return (await ofVersion(client, name, version, call)).model_version
}

/** Registers the folder's place in the artifact store, as the Python client does. Every MLflow tool finds it there. */
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

/** By name, newest version first. MLflow's search leaves aliases out; they come from the models, read afterwards. */
export async function searchVersions(client: MlflowClient, name?: string, runId?: string): Promise<ModelVersion[]> {
  const filter = filterOf(name, runId)
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
    .sort(byNameNewestFirst)
}

/** In MLflow's grammar, which cannot write every value; what is found is therefore filtered again. */
function filterOf(name: string | undefined, runId: string | undefined): string | undefined {
  const wanted = Object.entries({ name, run_id: runId }).flatMap(([key, value]) =>
    value === undefined || /['"\\]/.test(value) ? [] : [`${key} = '${value}'`],
  )
  return wanted.length === 0 ? undefined : wanted.join(' AND ')
}

function byNameNewestFirst(a: ModelVersion, b: ModelVersion): number {
  if (a.name !== b.name) return a.name < b.name ? -1 : 1
  return b.version - a.version
}

/** The answer of a call about a version. @throws NotFoundError when there is no such model or version. */
export async function ofVersion<T>(client: MlflowClient, name: string, version: number, call: Promise<T>): Promise<T> {
  return call.catch(async (error: unknown) => {
    throw isMissing(error) ? await missingVersion(client, name, version) : error
  })
}

async function missingVersion(client: MlflowClient, name: string, version: number): Promise<NotFoundError> {
  await getModel(client, name)
  const existing = await searchVersions(client, name)
  return noSuchVersion(name, version, existing.map((other) => other.version).reverse())
}
