import { setTimeout as wait } from 'node:timers/promises'
import type { DurationMs, EpochMs } from '../../datasets/table/transaction.ts'
import type { ModelVersion, RegisteredModel } from '../model.ts'
import { checkAlias, checkRegistryTag } from '../naming.ts'
import { noSuchAlias, NotFoundError } from '../not-found.ts'
import { holderOf } from '../promotion/history.ts'
import type { AliasMove, Registry } from '../registry.ts'
import { nothing, type MlflowClient } from './client.ts'
import { isMissing, MlflowError } from './fault.ts'
import { decide, ledgerRecords, markDone, openLedger, type LedgerRecord } from './ledger.ts'
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

interface Tag {
  key: string
  value: string
}

/** So long a writer has to complete what was decided. Then another one does it. */
const FIRST_PAUSE: DurationMs = 200
const LAST_PAUSE: DurationMs = 1_600
/** After a lost race a writer waits up to `LOST_PAUSE` times two for each race it lost before, at most `LONGEST`. */
const LOST_PAUSE: DurationMs = 100
const LONGEST: DurationMs = 3_200

export function aliasVerbs(client: MlflowClient, now: () => EpochMs): AliasVerbs {
  let lost = 0
  return {
    async addRegisteredModelTag(name, tag, move) {
      const added = await addTag(client, { name, tag, move, now: now() })
      if (!added) await wait(Math.random() * Math.min(LOST_PAUSE * 2 ** lost, LONGEST))
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

/** What adds an entry. */
interface Writer {
  client: MlflowClient
  name: string
  /** The run that decides. */
  ledger: string
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
  const { model, ledger } = await openLedger(client, name, now)
  const writer = { client, name, ledger }
  if (await completeEarlier(writer, model)) return false
  if (Object.hasOwn(model.tags, tag.key)) return false
  if (move !== undefined && holderOf(model, move.alias) !== move.expected) return false
  if (!(await decide(client, ledger, tag, move))) return false
  await complete(writer, { ...tag, move, done: false })
  return true
}

/**
 * Puts back the tags that somebody deleted, and completes the newest record when its writer does not.
 *
 * @returns true when there was something to wait for or to do, so that what was read is stale.
 */
async function completeEarlier(writer: Writer, model: RegisteredModel): Promise<boolean> {
  const records = await ledgerRecords(writer.client, writer.ledger)
  const undone = records.slice(-1).find(({ done }) => !done)
  const lost = records.filter((record) => record !== undone && !Object.hasOwn(model.tags, record.key))
  for (const { key, value } of lost) await setModelTag(writer.client, writer.name, key, value)
  if (undone === undefined) return lost.length > 0
  for (let pause = FIRST_PAUSE; pause <= LAST_PAUSE; pause *= 2) {
    await wait(pause * (0.5 + Math.random()))
    const now = (await ledgerRecords(writer.client, writer.ledger)).find(({ key }) => key === undone.key)
    if (now?.done !== false) return true
  }
  await complete(writer, undone)
  return true
}

/** Lets tag and alias follow a decided record. Several may do so at once, and each may stop anywhere. */
async function complete({ client, name, ledger }: Writer, { key, value, move }: LedgerRecord): Promise<void> {
  await setModelTag(client, name, key, value)
  if (move !== undefined) await moveToNewest({ client, name, ledger }, move.alias)
  await markDone(client, ledger, key)
}

/**
 * Points an alias at the version of its newest record. A writer that was stopped before it set the alias would set it
 * back, were others ahead of it by then. So each looks once more at what is the newest after it has written.
 */
async function moveToNewest({ client, name, ledger }: Writer, alias: string): Promise<void> {
  let written: string | undefined
  for (;;) {
    const records = await ledgerRecords(client, ledger)
    const newest = records.findLast(({ move }) => move?.alias === alias)
    if (newest?.move === undefined || newest.key === written) return
    if (written === undefined && newest.done) return
    try {
      await setAlias(client, name, alias, newest.move.version)
    } catch (error) {
      // The version was deleted since the move was decided.
      if (!(error instanceof NotFoundError)) throw error
      return
    }
    written = newest.key
  }
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
