import { createHash, randomUUID } from 'node:crypto'
import { z } from 'zod'
import { UserError } from '../../configs/user-error.ts'
import type { EpochMs } from '../../datasets/table/transaction.ts'
import { checkParam, HISTORY_RUN, HISTORY_TAG } from '../naming.ts'
import type { AliasMove } from '../registry.ts'
import { nothing, type MlflowClient } from './client.ts'
import { createExperiment } from './experiments.ts'
import { taggedModel } from './json.ts'
import { ofModel, setModelTag } from './models.ts'
import { createRun, getRun, ofRun } from './runs.ts'
import { searchVersions } from './versions.ts'
import { paramOf, writeOnce } from './write-once.ts'

/**
 * What decides the order of a model's history on a server.
 *
 * MLflow overwrites a tag and an alias without a word, so of two writers of one entry the first would lose its record.
 * The one thing that MLflow never writes twice is a param of a run: its database has one row for a run and a key. So
 * each model has a run of its own, its ledger, and an entry is decided by the param of its key there. The tag on the
 * model and the alias only follow, and whoever finds that they did not, because their writer was killed, completes
 * them: everyone would write the same values. The last call to an alias of such a writer may come late, and set back
 * what others have set since. So the ledger also says who has begun to write, and who has left (`completion.ts`).
 *
 * The server must keep its runs in a database, as it does by default since MLflow 3.7. Its old file store has no such
 * guard.
 */
export interface LedgerRecord {
  /** `fd.history.000001`, `fd.history.000002` …, the key of the model's tag too. */
  key: string
  /** What the tag holds. */
  value: string
  move: AliasMove | undefined
  /** Tag and alias were written. A record that is not done may have lost its writer. */
  done: boolean
  /**
   * When those began who may still be about to set its alias, EpochMs: its writer, and whoever completed it in its
   * place. A call of theirs may arrive after those of others.
   */
  underWay: EpochMs[]
}

const EXPERIMENT = 'fd-history'
const DONE = '.done'
/** Params of those who complete the record of another: when they began, and that they have left. */
const HELPER = 'fd.helper.'
const LEFT = 'fd.left.'

const head = z.object({
  id: z.string(),
  // Absent in records of an fd that wrote none of the params above.
  at: z.number().optional(),
  move: z
    .object({ alias: z.string(), expected: z.number().optional(), version: z.number() })
    .transform(({ alias, expected, version }): AliasMove => ({ alias, expected, version }))
    .optional(),
})

const one = z.object({ registered_model: taggedModel })

/**
 * The id of a model's ledger, which is made when there is none.
 *
 * Where several make one at once, a param decides again: it stands on the run of the model's first version, which all
 * of them find. Then a tag of the model names the ledger, so that the first version and its run may go.
 *
 * @throws UserError when the model has no version from a run.
 */
export async function openLedger(client: MlflowClient, name: string, now: EpochMs): Promise<string> {
  const { registered_model: model } = await ofModel(client, name, client.get('registered-models/get', { name }, one))
  if (Object.hasOwn(model.tags, HISTORY_RUN)) return model.tags[HISTORY_RUN]
  const root = (await searchVersions(client, name)).findLast(({ runId }) => runId !== undefined)?.runId
  if (root === undefined) {
    throw new UserError(`"${name}" has no version that a run made. Run: fd train --dataset NAME --register ${name}`)
  }
  // A model that was deleted and made anew begins anew.
  const digest = createHash('sha256').update(`${name}\n${model.creationTime}`).digest('hex')
  const key = `fd.history/${digest.slice(0, 32)}`
  const ledger = (await paramOf(client, root, key)) ?? (await makeLedger(client, name, { root, key, now }))
  await setModelTag(client, name, HISTORY_RUN, ledger)
  return ledger
}

async function makeLedger(
  client: MlflowClient,
  name: string,
  { root, key, now }: { root: string; key: string; now: EpochMs },
): Promise<string> {
  const experiment = await createExperiment(client, EXPERIMENT)
  const { runId } = await createRun(client, experiment, { runName: `history of ${name}`, startTime: now })
  const body = { run_id: runId, status: 'FINISHED', end_time: now }
  await ofRun(runId, client.send('POST', 'runs/update', body, nothing))
  if (await writeOnce(client, root, key, runId)) return runId
  await ofRun(runId, client.send('POST', 'runs/delete', { run_id: runId }, nothing))
  return (await paramOf(client, root, key)) ?? runId
}

/** The records of a ledger, in the order of the history. */
export async function ledgerRecords(client: MlflowClient, ledger: string): Promise<LedgerRecord[]> {
  const { params } = await getRun(client, ledger)
  return Object.keys(params)
    .filter((key) => key.startsWith(HISTORY_TAG) && !key.endsWith(DONE))
    .map((key) => recordOf(params, key))
    .sort((a, b) => a.key.length - b.key.length || (a.key < b.key ? -1 : 1))
}

function recordOf(params: Readonly<Record<string, string>>, key: string): LedgerRecord {
  const text = params[key]
  const end = text.indexOf('\n')
  const { id, at, move } = head.parse(JSON.parse(text.slice(0, end)))
  const prefix = `${HELPER}${key}/`
  const began = new Map(at === undefined ? [] : [[id, at]])
  for (const helper of Object.keys(params))
    if (helper.startsWith(prefix)) began.set(helper.slice(prefix.length), Number(params[helper]))
  const left = (who: string): boolean => params[key + DONE] === who || Object.hasOwn(params, leftKey(key, who))
  const underWay = [...began].filter(([who]) => !left(who)).map(([, since]) => since)
  return { key, value: text.slice(end + 1), move, done: Object.hasOwn(params, key + DONE), underWay }
}

/**
 * Takes the place `key` of the history.
 *
 * @returns the id of its writer; undefined when another record has the place.
 */
export async function decide(
  client: MlflowClient,
  ledger: string,
  { key, value, move, at }: { key: string; value: string; move: AliasMove | undefined; at: EpochMs },
): Promise<string | undefined> {
  // The id tells two writers apart that record the same.
  const id = randomUUID()
  const text = `${JSON.stringify({ id, at, move })}\n${value}`
  checkParam(key, text)
  return (await writeOnce(client, ledger, key, text)) ? id : undefined
}

/** Says, before the first write, that one who did not decide a record is about to complete it. @returns its id. */
export async function joinRecord(client: MlflowClient, ledger: string, key: string, at: EpochMs): Promise<string> {
  const id = randomUUID()
  await writeOnce(client, ledger, `${HELPER}${key}/${id}`, String(at))
  return id
}

/** Notes that tag and alias of a record were written, and that nothing of who wrote them is under way any more. */
export async function leaveRecord(client: MlflowClient, ledger: string, key: string, id: string): Promise<void> {
  if (!(await writeOnce(client, ledger, key + DONE, id))) await writeOnce(client, ledger, leftKey(key, id), 'yes')
}

function leftKey(key: string, id: string): string {
  return `${LEFT}${key}/${id}`
}
