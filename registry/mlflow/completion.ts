import { SECOND, type DurationMs, type EpochMs } from '../../datasets/table/transaction.ts'
import type { RegisteredModel } from '../model.ts'
import { NotFoundError } from '../not-found.ts'
import { holderOf } from '../promotion/history.ts'
import { nothing, type MlflowClient } from './client.ts'
import { joinRecord, leaveRecord, ledgerRecords, type LedgerRecord } from './ledger.ts'
import { setModelTag } from './models.ts'
import { ofVersion } from './versions.ts'

/** What adds an entry to the history of a model. */
export interface Writer {
  client: MlflowClient
  name: string
  /** The run that decides. */
  ledger: string
  now: EpochMs
}

/** So long a writer has to complete what was decided. Then another one does it. */
const FIRST_PAUSE: DurationMs = 200
const LAST_PAUSE: DurationMs = 1_600
/** A call of a writer that was killed arrives within this time or never. */
const STRAY: DurationMs = 600 * SECOND

/**
 * Completes the newest record when its writer does not.
 *
 * @returns true when there was something to wait for or to do, so that what was read is stale.
 */
export async function completeNewest(writer: Writer, records: readonly LedgerRecord[]): Promise<boolean> {
  const { client, ledger, now } = writer
  const newest = records.at(-1)
  if (newest?.done !== false) return false
  for (let pause = FIRST_PAUSE; pause <= LAST_PAUSE; pause *= 2) {
    await client.pause(pause * (0.5 + Math.random()))
    const again = (await ledgerRecords(client, ledger)).find(({ key }) => key === newest.key)
    if (again?.done !== false) return true
  }
  await complete(writer, newest, await joinRecord(client, ledger, newest.key, now))
  return true
}

/** Puts back the tags that somebody deleted. @returns whether there were any. */
export async function putBack(
  { client, name }: Writer,
  records: readonly LedgerRecord[],
  model: RegisteredModel,
): Promise<boolean> {
  const lost = records.filter(({ key }) => !Object.hasOwn(model.tags, key))
  for (const { key, value } of lost) await setModelTag(client, name, key, value)
  return lost.length > 0
}

/**
 * Sets the aliases right that a late call has set back: one that a writer sent before others were ahead of it, and who
 * was killed before it could look again. Such a call is told from what another tool did by its writer, who has begun
 * not long ago and never left, and by the version, which is that of its record or a later one.
 *
 * @param records all of them are done. @param model as read after them.
 * @returns whether there were any.
 */
export async function setRight(
  writer: Writer,
  records: readonly LedgerRecord[],
  model: RegisteredModel,
): Promise<boolean> {
  const { client, ledger, now } = writer
  let found = false
  for (const [alias, moves] of Map.groupBy(records, ({ move }) => move?.alias)) {
    const newest = moves.at(-1)
    if (alias === undefined || newest === undefined) continue
    const holder = holderOf(model, alias)
    if (holder === newest.move?.version) continue
    const first = moves.findIndex(({ underWay }) => underWay.some((began) => now - began < STRAY))
    if (first === -1 || !moves.slice(first).some(({ move }) => move?.version === holder)) continue
    const id = await joinRecord(client, ledger, newest.key, now)
    if (await moveToNewest(writer, alias)) found = true
    await leaveRecord(client, ledger, newest.key, id)
  }
  return found
}

/** Lets tag and alias follow a decided record. Several may do so at once, and each may stop anywhere. */
export async function complete(
  writer: Writer,
  { key, value, move }: Pick<LedgerRecord, 'key' | 'value' | 'move'>,
  id: string,
): Promise<void> {
  const { client, name, ledger } = writer
  await setModelTag(client, name, key, value)
  if (move !== undefined && !(await isOvertaken(writer, move.alias))) await moveToNewest(writer, move.alias)
  await leaveRecord(client, ledger, key, id)
}

/** Whether others have moved an alias already where its newest record says. What came after that is not undone. */
async function isOvertaken({ client, ledger }: Writer, alias: string): Promise<boolean> {
  return newestOf(await ledgerRecords(client, ledger), alias)?.done === true
}

/**
 * Points an alias at the version of its newest record. A writer that was stopped before it set the alias would set it
 * back, were others ahead of it by then. So each looks once more at what is the newest after it has written.
 *
 * @returns false when the version was deleted since the move was decided.
 */
async function moveToNewest({ client, name, ledger }: Writer, alias: string): Promise<boolean> {
  let written: string | undefined
  for (;;) {
    const newest = newestOf(await ledgerRecords(client, ledger), alias)
    if (newest?.move === undefined || newest.key === written) return true
    try {
      await setAlias(client, name, alias, newest.move.version)
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error
      return false
    }
    written = newest.key
  }
}

function newestOf(records: readonly LedgerRecord[], alias: string): LedgerRecord | undefined {
  return records.findLast(({ move }) => move?.alias === alias)
}

/** Sets an alias, whatever it was. @throws NotFoundError. */
export async function setAlias(client: MlflowClient, name: string, alias: string, version: number): Promise<void> {
  const call = client.send('POST', 'registered-models/alias', { name, alias, version: String(version) }, nothing)
  await ofVersion(client, name, version, call)
}
