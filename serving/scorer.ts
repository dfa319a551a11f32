import { UserError } from '../configs/user-error.ts'
import { eventDecoder, type DecodedBatch } from '../datasets/event-json.ts'
import type { EventLog, GroupMember, RecordBatch } from '../datasets/event-log.ts'
import { ServiceFold } from '../features/fold.ts'
import type { GroupState, OnlineStore } from '../features/online-store.ts'
import { serviceDigest } from '../features/view.ts'
import type { Registry } from '../registry/registry.ts'
import {
  DEAD_LETTERS, foldBatch, FRAUD_ALERTS, modelInput, PREDICTIONS, TRANSACTIONS, writeOutputs, type FoldedBatch, type ScoredBatch, type WrittenBatch,
} from './batch.ts'
import { watchChampion, type Champion, type ChampionWatch } from './champion.ts'
import { checkpointer, type Checkpointer } from './checkpointer.ts'

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
  /** When the other members of the group have all partitions, so that this one waits for their end. */
  onStandby?: () => void
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
 * @throws UserError when there is no champion, or when the stored state is of another definition of the service.
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
  await awaitShare(member, options)
  const { service, card } = champions.current()
  const state = await parts.store.group(service.name, options.group)
  if (state.base.version > 0 && state.base.serviceDigest !== serviceDigest(service)) {
    throw new UserError(`The online features of "${service.name}" were backfilled with another definition of it. Run: fd features backfill --dataset ${card.dataset.name} --online`)
  }
  const topic = await parts.log.topic(TRANSACTIONS)
  const fold = new ServiceFold(service, card.dataset.schema)
  const checkpoints = checkpointer(fold, state, { minorUnits: card.dataset.schema.amount.minorUnits, everyMs: options.checkpointEveryMs, now: options.now })
  for (const partition of member.committed.keys()) member.seek(partition, checkpoints.resumeAt(partition, topic.offsets[partition].start))
  options.onStart?.(champions.current(), state)
  await run({ member, champions, checkpoints, state, fold, decode: eventDecoder(card.dataset.schema), options })
}

/** Resolves when the member has a partition. The state is read after that: until then its owner writes it. What is polled here is polled again. */
async function awaitShare(member: GroupMember, options: ScorerOptions): Promise<void> {
  if (member.committed.size === 0) options.onStandby?.()
  while (member.committed.size === 0 && !options.signal.aborted) await member.poll({ maxRecords: 1, timeoutMs: POLL_MS, signal: options.signal })
}

interface Loop {
  member: GroupMember
  champions: ChampionWatch
  checkpoints: Checkpointer
  state: GroupState
  fold: ServiceFold
  decode: (records: RecordBatch) => DecodedBatch
  options: ScorerOptions
}

/**
 * Batches in sequence, commits beside them: while the log makes batch n durable, batch n + 1 is decoded, folded and scored.
 * One commit is under way at a time, and a checkpoint waits for it, because state must never be ahead of outputs.
 */
async function run(loop: Loop): Promise<void> {
  const { member, checkpoints, options } = loop
  let commit = settled(Promise.resolve())
  while (!options.signal.aborted) {
    const records = await member.poll({ maxRecords: options.maxBatch, timeoutMs: POLL_MS, signal: options.signal })
    if (records !== undefined) {
      const { folded, written } = await scoreBatch(loop, records)
      await throwIfFailed(commit)
      commit = settled((await commitBatch(loop, folded, written)).durable)
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

/** Folds a batch and scores it with the champion of this moment, which judges all of it. */
async function scoreBatch(loop: Loop, records: RecordBatch): Promise<{ folded: FoldedBatch; written: WrittenBatch }> {
  const { fold, state, member, checkpoints, options } = loop
  const folded = await foldBatch(records, member.committed.get(records.partition) ?? 0, fold, state, loop.decode)
  checkpoints.folded(records.partition, nextOffset(records), folded.decoded.events)
  const { name, version, card, model } = loop.champions.current()
  const rows = folded.fresh.length
  const scores = rows === 0 ? new Float32Array(0) : await model.score(modelInput(folded, fold.names.length), rows)
  return { folded, written: writeOutputs(folded, scores, fold.names, { name, version, threshold: card.threshold, group: options.group }) }
}

async function commitBatch({ member, options }: Loop, { records, replayed }: FoldedBatch, { batch, outputs }: WrittenBatch): Promise<{ durable: Promise<void> }> {
  // Of a batch that was all replayed the outputs are there, and the committed offset must not go back.
  const { durable } = replayed < records.size ? await member.commit(records.partition, nextOffset(records), outputs) : { durable: Promise.resolve() }
  return { durable: durable.then(() => options.onBatch?.({ ...batch, done: options.now() })) }
}

/** The outcome of work that is looked at later, as a value: a rejection that nobody awaits yet would end the process. */
function settled(work: Promise<void>): Promise<{ error: unknown } | undefined> {
  return work.then(() => undefined, (error: unknown) => ({ error }))
}

async function throwIfFailed(outcome: Promise<{ error: unknown } | undefined>): Promise<void> {
  const failed = await outcome
  if (failed !== undefined) throw failed.error
}

function nextOffset(records: RecordBatch): number {
  return records.offsets[records.size - 1] + 1
}
