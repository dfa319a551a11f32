import type { DurationMs } from '../../datasets/table/transaction.ts'
import type { ModelVersion } from '../model.ts'
import { checkAlias, checkRegistryTag } from '../naming.ts'
import { noSuchAlias } from '../not-found.ts'
import { holderOf } from '../promotion/history.ts'
import type { AliasMove, Registry } from '../registry.ts'
import { MlflowError, isMissing, nothing, type MlflowClient } from './client.ts'
import { getModel, ofModel, setModelTag } from './models.ts'
import { getVersion, ofVersion, oneVersion } from './versions.ts'

type AliasVerbs = Pick<
  Registry,
  | 'addRegisteredModelTag'
  | 'setRegisteredModelAlias'
  | 'deleteRegisteredModelAlias'
  | 'getModelVersionByAlias'
  | 'aliasVersion'
>

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

    // Not repeated when the server is away: a scorer asks again anyway, and must be able to stop meanwhile.
    aliasVersion: async (name, alias) => (await byAlias(client, name, alias, 0))?.version,
  }
}

/**
 * Compare, write, compare: the tag is set, then tag and alias are read back, and only who finds both as expected moves the alias. Of two
 * writers of one tag in the same moment the second overwrites the first, who sees it and says false; so does who finds that the
 * alias has moved meanwhile. What is left to chance is a write between reading back and moving; reading once
 * more after the move detects that one of the same tag.
 */
async function addTag(
  client: MlflowClient,
  name: string,
  tag: { key: string; value: string },
  move?: AliasMove,
): Promise<boolean> {
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
    // Another writer, whose tag was there before ours, has just made its move. Ours was not made, so its record goes too.
    await ofModel(client, name, client.send('DELETE', 'registered-models/delete-tag', { name, key: tag.key }, nothing))
    return false
  }
  await setAlias(client, name, move.alias, move.version)
  return (await getModel(client, name)).tags[tag.key] === tag.value
}

async function setAlias(client: MlflowClient, name: string, alias: string, version: number): Promise<void> {
  await ofVersion(
    client,
    name,
    version,
    client.send('POST', 'registered-models/alias', { name, alias, version: String(version) }, nothing),
  )
}

/** Undefined when there is no such model or alias, or when the version it stands at was deleted by another tool. */
async function byAlias(
  client: MlflowClient,
  name: string,
  alias: string,
  patience?: DurationMs,
): Promise<ModelVersion | undefined> {
  try {
    return (await client.get('registered-models/alias', { name, alias }, oneVersion, patience)).model_version
  } catch (error) {
    // To MLflow a missing alias is an invalid parameter.
    if (isMissing(error) || (error instanceof MlflowError && /alias .* not found/i.test(error.message)))
      return undefined
    throw error
  }
}
