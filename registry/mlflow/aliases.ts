import type { DurationMs } from '../../datasets/table/transaction.ts'
import type { ModelVersion } from '../model.ts'
import { checkAlias, checkRegistryTag } from '../naming.ts'
import { noSuchAlias } from '../not-found.ts'
import { holderOf } from '../promotion/history.ts'
import type { AliasMove, Registry } from '../registry.ts'
import { nothing, type MlflowClient } from './client.ts'
import { isMissing, MlflowError } from './fault.ts'
import { deleteModelTag, getModel, ofModel, setModelTag } from './models.ts'
import { getVersion, ofVersion, oneVersion } from './versions.ts'

type AliasVerbs = Pick<
  Registry,
  | 'addRegisteredModelTag'
  | 'setRegisteredModelAlias'
  | 'deleteRegisteredModelAlias'
  | 'getModelVersionByAlias'
  | 'aliasVersion'
>

interface Tag {
  key: string
  value: string
}

export function aliasVerbs(client: MlflowClient): AliasVerbs {
  return {
    addRegisteredModelTag: (name, tag, move) => addTag(client, name, tag, move),

    async setRegisteredModelAlias(name, alias, version) {
      checkAlias(alias)
      await setAlias(client, name, alias, version)
    },

    async deleteRegisteredModelAlias(name, alias) {
      await ofModel(client, name, client.send('DELETE', 'registered-models/alias', { name, alias }, nothing))
    },

    async getModelVersionByAlias(name, alias) {
      const version = await byAlias(client, name, alias)
      if (version === undefined) throw noSuchAlias(await getModel(client, name), alias)
      return version
    },

    // Not repeated while the server is away: a scorer asks again anyway, and must be able to stop in the meantime.
    aliasVersion: async (name, alias) => (await byAlias(client, name, alias, 0))?.version,
  }
}

/**
 * Adds a tag and moves an alias by comparing, writing and comparing again, because MLflow has no call that does both.
 *
 * The tag is set, then tag and alias are read back, and the alias moves only when both are as expected. Of two
 * writers of one tag in the same moment, the second overwrites the first, which sees that and returns false. A writer
 * that finds the alias moved in the meantime also returns false. A write between reading back and moving is left to
 * chance: one more look after the move detects it when it is a write of the same tag.
 */
async function addTag(client: MlflowClient, name: string, tag: Tag, move?: AliasMove): Promise<boolean> {
  checkRegistryTag(tag.key, tag.value)
  if (move !== undefined) checkAlias(move.alias)
  const model = await getModel(client, name)
  if (move !== undefined) {
    if (holderOf(model, move.alias) !== move.expected) return false
    await getVersion(client, name, move.version)
  }
  if (Object.hasOwn(model.tags, tag.key)) return false
  await setModelTag(client, name, tag.key, tag.value)
  const written = await getModel(client, name)
  if (written.tags[tag.key] !== tag.value) return false
  if (move === undefined) return true
  if (holderOf(written, move.alias) !== move.expected) {
    // Another writer, whose tag was there before ours, has just made its move. Ours is not made, so its record goes.
    await deleteModelTag(client, name, tag.key)
    return false
  }
  await setAlias(client, name, move.alias, move.version)
  return (await getModel(client, name)).tags[tag.key] === tag.value
}

async function setAlias(client: MlflowClient, name: string, alias: string, version: number): Promise<void> {
  const call = client.send('POST', 'registered-models/alias', { name, alias, version: String(version) }, nothing)
  await ofVersion(client, name, version, call)
}

/** Undefined when there is no such model or alias, or when another tool has deleted the version it points at. */
async function byAlias(
  client: MlflowClient,
  name: string,
  alias: string,
  patience?: DurationMs,
): Promise<ModelVersion | undefined> {
  try {
    return (await client.get('registered-models/alias', { name, alias }, oneVersion, patience)).model_version
  } catch (error) {
    if (isMissing(error) || isMissingAlias(error)) return undefined
    throw error
  }
}

/** To MLflow a missing alias is an invalid parameter, like many other things. */
function isMissingAlias(error: unknown): boolean {
  return error instanceof MlflowError && /alias .* not found/i.test(error.message)
}
