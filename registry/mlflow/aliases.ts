import type { DurationMs, EpochMs } from '../../datasets/table/transaction.ts'
import type { ModelVersion } from '../model.ts'
import { checkAlias, checkRegistryTag } from '../naming.ts'
import { noSuchAlias } from '../not-found.ts'
import { holderOf } from '../promotion/history.ts'
import type { AliasMove, Registry } from '../registry.ts'
import { nothing, type MlflowClient } from './client.ts'
import { complete, completeNewest, putBack, setAlias, setRight } from './completion.ts'
import { isMissing, MlflowError } from './fault.ts'
import { decide, ledgerRecords, openLedger } from './ledger.ts'
import { getModel, ofModel } from './models.ts'
import { getVersion, oneVersion } from './versions.ts'

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

/** After a lost race a writer waits up to `LOST_PAUSE` times two for each race it lost before, at most `LONGEST`. */
const LOST_PAUSE: DurationMs = 100
const LONGEST: DurationMs = 3_200

export function aliasVerbs(client: MlflowClient, now: () => EpochMs): AliasVerbs {
  let lost = 0
  return {
    async addRegisteredModelTag(name, tag, move) {
      const added = await addTag(client, { name, tag, move, now: now() })
      if (!added) await client.pause(Math.random() * Math.min(LOST_PAUSE * 2 ** lost, LONGEST))
      lost = added ? 0 : lost + 1
      return added
    },

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
 * Adds an entry in the order that `ledger.ts` decides. What an earlier writer left undone is completed first. The
 * caller then reads again, as it does after a lost race.
 */
async function addTag(
  client: MlflowClient,
  { name, tag, move, now }: { name: string; tag: Tag; move?: AliasMove; now: EpochMs },
): Promise<boolean> {
  checkRegistryTag(tag.key, tag.value)
  if (move !== undefined) checkAlias(move.alias)
  if (move !== undefined) await getVersion(client, name, move.version)
  const ledger = await openLedger(client, name, now)
  const writer = { client, name, ledger, now }
  const records = await ledgerRecords(client, ledger)
  if (await completeNewest(writer, records)) return false
  // Read after the ledger: what was done there by then stands here. The other way round, a move that was completed
  // between the two reads would be missed, and this entry would say that it follows an older one.
  const model = await getModel(client, name)
  if ((await putBack(writer, records, model)) || (await setRight(writer, records, model))) return false
  if (Object.hasOwn(model.tags, tag.key)) return false
  if (move !== undefined && holderOf(model, move.alias) !== move.expected) return false
  const id = await decide(client, ledger, { ...tag, move, at: now })
  if (id !== undefined) await complete(writer, { ...tag, move }, id)
  return id !== undefined
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
