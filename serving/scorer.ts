import { eventDecoder, type DecodedBatch } from '../datasets/event-json.ts'
import type { EventLog, GroupMember, NewRecord, RecordBatch } from '../datasets/event-log.ts'
import { FRAUD_LABEL } from '../datasets/transaction.ts'
import { UserError } from '../configs/user-error.ts'
import { decodeState } from '../features/entity-state.ts'
import { ServiceFold, type FeatureMatrix } from '../features/fold.ts'
import type { GroupState, OnlineStore } from '../features/online-store.ts'
import { toModelInput } from '../features/training-set.ts'
import { serviceDigest } from '../features/view.ts'
import type { Registry } from '../registry/registry.ts'
import { watchChampion, type Champion, type ChampionWatch } from './champion.ts'
import { checkpointer, type Checkpointer } from './checkpointer.ts'
import { deadLetter } from './dead-letter.ts'
import { decide, predictionWriter, type PredictionRow } from './prediction.ts'

export const TRANSACTIONS = 'transactions'
export const PREDICTIONS = 'predictions'
export const FRAUD_ALERTS = 'fraud_alerts'
export const DEAD_LETTERS = 'transactions.dlq'

export interface ScorerParts {
  log: EventLog
  store: OnlineStore
  registry: Registry
}

export interface ScorerOptions {
  /** Registered model whose `alias` decides. */
  model: string
  alias: string
  group: string
  /** Most records in one batch, and one ONNX call. */
  maxBatch: number
  checkpointEveryMs: number
  championEveryMs: number
  /** Asked when everything in the log has been scored: whether to end, instead of waiting for more. */
  endWhenIdle: () => boolean
  signal: AbortSignal
  /** Wall clock, EpochMs with fractions. */
  now: () => number
  onStart?: (champion: Champion, state: GroupState) => void
  onSwap?: (champion: Champion) => void
  onRefused?: (error: unknown) => void
  /** After every batch. */
  onBatch?: (batch: ScoredBatch) => void
}

/** What became of one batch. */
export interface ScoredBatch {
  scored: number
  alerts: number
  rejected: number
  labels: number
  late: number
  /** Records folded again after a restart, whose outputs had been written before. */
  replayed: number
  /** When each scored record was put into the log, EpochMs, and when the batch's predictions were durable. */
  timestamps: Float64Array
  done: number
}

/** Longest wait for records before the loop looks around: at the signal, at idleness, at a checkpoint that is due. */
const POLL_MS = 200

/**
 * Scores the input topic until `signal` aborts: per batch it decodes, folds, makes one ONNX call, and commits predictions,
 * alerts, dead letters and the next offset in one transaction. A batch is whatever has arrived.
 *
 * Exactly-once effects: outputs and offset are committed first, the fold's state with its own offsets later. After a kill
 * the fold goes back to the checkpoint and folds the log from there again; records below the committed offset give no
 * output a second time. The fold is deterministic, so what follows is what would have followed.
 *
 * @throws UserError when there is no champion, when another process owns the group, or when the stored state is of
 * another definition of the service.
 */
export async function score(parts: ScorerParts, options: ScorerOptions): Promise<void> {
  await using champions = await watchChampion(parts.registry, {
    name: options.model,
    alias: options.alias,
    everyMs: options.championEveryMs,
    onSwap: (champion) => options.onSwap?.(champion),
    onRefused: (error) => options.onRefused?.(error),
  })
  for (const topic of [TRANSACTIONS, PREDICTIONS, FRAUD_ALERTS, DEAD_LETTERS]) await parts.log.createTopic(topic)
  await using member = await parts.log.join(options.group, TRANSACTIONS)
  const { service, card } = champions.current()
  const state = await parts.store.group(service.name, options.group)
  if (state.base.version > 0 && state.base.serviceDigest !== serviceDigest(service)) {
    throw new UserError(`The online features of "${service.name}" were backfilled with another definition of it. Run: fd features backfill --dataset ${card.dataset.name} --online`)
  }
  const topic = await parts.log.topic(TRANSACTIONS)
  const fold = new ServiceFold(service, card.dataset.schema)
  const checkpoints = checkpointer(fold, state, { minorUnits: card.dataset.schema.amount.minorUnits, everyMs: options.checkpointEveryMs, now: options.now })
  for (const [partition, { start }] of topic.offsets.entries()) member.seek(partition, checkpoints.resumeAt(partition, start))
  options.onStart?.(champions.current(), state)
  await run({ group: options.group, member, champions, checkpoints, state, fold, decode: eventDecoder(card.dataset.schema), input: new Float32Array(0) }, options)
}

interface Loop {
  group: string
  member: GroupMember
  champions: ChampionWatch
  checkpoints: Checkpointer
  state: GroupState
  fold: ServiceFold
  decode: (records: RecordBatch) => DecodedBatch
  /** The model's input, reused. */
  input: Float32Array
}

/**
 * Batches in sequence, commits beside them: while LMDB or the broker makes batch n durable, batch n + 1 is decoded, folded
 * and scored. One commit is under way at a time, and a checkpoint waits for it, because state must never be ahead of outputs.
 */
async function run(loop: Loop, options: ScorerOptions): Promise<void> {
  const { member, checkpoints } = loop
  let commit = settled(Promise.resolve())
  while (!options.signal.aborted) {
    const records = await member.poll({ maxRecords: options.maxBatch, timeoutMs: POLL_MS, signal: options.signal })
    if (records !== undefined) {
      const { batch, outputs } = await scoreBatch(loop, records)
      await throwIfFailed(commit)
      commit = settled(commitBatch(loop, records, batch, outputs, options))
      checkpoints.folded(records.partition, nextOffset(records))
    } else if (options.endWhenIdle() && (await member.idle())) {
      break
    }
    if (!checkpoints.due()) continue
    await throwIfFailed(commit)
    await checkpoints.write()
  }
  await throwIfFailed(commit)
  await checkpoints.write()
  await checkpoints.written()
}

/** The outcome of work that is looked at later: as a value, because a rejection nobody awaits yet ends the process. */
function settled(work: Promise<void>): Promise<{ error: unknown } | undefined> {
  return work.then(() => undefined, (error: unknown) => ({ error }))
}

async function throwIfFailed(outcome: Promise<{ error: unknown } | undefined>): Promise<void> {
  const failed = await outcome
  if (failed !== undefined) throw failed.error
}

async function commitBatch({ member }: Loop, records: RecordBatch, batch: ScoredBatch, outputs: Outputs | undefined, options: ScorerOptions): Promise<void> {
  const { partition } = records
  const next = nextOffset(records)
  if (outputs !== undefined) await member.commit(partition, next, outputs)
  options.onBatch?.({ ...batch, done: options.now() })
}

type Outputs = Map<string, NewRecord[]>

/** Folds and scores a batch. Without outputs when every record of it had its outputs committed before. */
async function scoreBatch(loop: Loop, records: RecordBatch): Promise<{ batch: ScoredBatch; outputs?: Outputs }> {
  const { fold, member } = loop
  const decoded = loop.decode(records)
  await restore(loop, decoded)
  const features = fold.fold(decoded.events)
  loop.checkpoints.sawTimes(decoded.events)
  const committed = member.committed.get(records.partition) ?? 0
  const replayed = firstAtOrAfter(records, committed)
  const batch: ScoredBatch = { scored: 0, alerts: 0, rejected: 0, labels: 0, late: 0, replayed, timestamps: new Float64Array(0), done: 0 }
  if (replayed === records.size) return { batch }

  const rows = transactionRows(decoded)
  const fresh = rows.flatMap((row, k) => (records.offsets[decoded.index[row]] >= committed ? [k] : []))
  const outputs = await judge(loop, records, decoded, features, rows, fresh, batch)
  const letters = decoded.rejected.filter(({ index }) => index >= replayed).map((rejection) => deadLetter(records, rejection))
  batch.rejected = letters.length
  batch.labels = records.size - replayed - fresh.length - letters.length
  if (letters.length > 0) outputs.set(DEAD_LETTERS, letters)
  return { batch, outputs }
}

/** Gives new keys of the batch the state they had when the group last wrote it, or when history ended. */
async function restore({ fold, state }: Loop, decoded: DecodedBatch): Promise<void> {
  for (const { view, keys } of fold.prepare(decoded.events)) {
    const stored = await state.read(view.view.name, keys)
    for (const [i, bytes] of stored.entries()) {
      const slot = view.slot(keys[i])
      if (bytes !== undefined && slot !== undefined) decodeState(view, slot, bytes)
    }
  }
}

/** Rows of the decoded batch that are transactions: row `rows[k]` has features k. */
function transactionRows({ events }: DecodedBatch): number[] {
  const rows: number[] = []
  for (let row = 0; row < events.size; row++) if (events.kind[row] !== FRAUD_LABEL) rows.push(row)
  return rows
}

/** Scores the transactions `fresh` (indices into `rows`) with the champion of this moment, and writes what is to be said of them. */
async function judge(
  loop: Loop,
  records: RecordBatch,
  { events, index }: DecodedBatch,
  features: FeatureMatrix,
  rows: number[],
  fresh: number[],
  batch: ScoredBatch,
): Promise<Outputs> {
  const outputs: Outputs = new Map()
  if (fresh.length === 0) return outputs
  const champion = loop.champions.current()
  const { threshold } = champion.card
  const scores = await champion.model.score(modelInput(loop, features, fresh), fresh.length)
  const write = predictionWriter(loop.fold.names, { name: champion.name, version: champion.version, threshold, group: loop.group })
  const predictions: NewRecord[] = []
  const alerts: NewRecord[] = []
  batch.timestamps = new Float64Array(fresh.length)
  for (const [i, k] of fresh.entries()) {
    const row = rows[k]
    const late = features.late[k] === 1
    const prediction: PredictionRow = { id: events.ids[row], eventTime: events.time[row], score: scores[i], features, k, records, index: index[row], late }
    const record = write(prediction)
    predictions.push(record)
    if (decide(scores[i], threshold) === 'alert') alerts.push(record)
    if (late) batch.late++
    batch.timestamps[i] = records.timestamps[index[row]]
  }
  batch.scored = predictions.length
  batch.alerts = alerts.length
  outputs.set(PREDICTIONS, predictions)
  if (alerts.length > 0) outputs.set(FRAUD_ALERTS, alerts)
  return outputs
}

function modelInput(loop: Loop, features: FeatureMatrix, fresh: number[]): Float32Array {
  const width = loop.fold.names.length
  if (loop.input.length < fresh.length * width) loop.input = new Float32Array(fresh.length * width)
  // After a restart only the youngest rows of a batch are fresh, so they lie together.
  toModelInput(features.values.subarray(fresh[0] * width), fresh.length * width, loop.input)
  return loop.input.subarray(0, fresh.length * width)
}

function nextOffset(records: RecordBatch): number {
  return records.offsets[records.size - 1] + 1
}

function firstAtOrAfter(records: RecordBatch, offset: number): number {
  let i = 0
  while (i < records.size && records.offsets[i] < offset) i++
  return i
}
