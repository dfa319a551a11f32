import { UserError } from '../configs/user-error.ts'
import type { DatasetSchema } from '../datasets/dataset.ts'
import type { EventLog, GroupMember, RecordBatch } from '../datasets/event-log.ts'
import type { Stage } from '../features/chain.ts'
import { ServiceFold } from '../features/fold.ts'
import type { OnlineStore, OwnedState } from '../features/online-store.ts'
import { stageReader, type StageInput } from '../features/stage-record.ts'
import { serviceDigest, type FeatureService } from '../features/view.ts'
import { openBacklog, type Backlog } from './backlog.ts'
import { foldBatch, type FoldedBatch, type ScoredBatch, type WrittenBatch } from './batch.ts'
import { checkpointer, type Checkpointer } from './checkpointer.ts'

/** Longest wait for records before the loop looks around: at the signal, at idleness, at a checkpoint that is due. */
const POLL_MS = 200

export interface StageOptions {
  log: EventLog
  store: OnlineStore
  group: string
  stage: Stage
  service: FeatureService
  schema: DatasetSchema
  /** Most records in one batch. */
  maxBatch: number
  checkpointEveryMs: number
  /** Outputs of a folded batch, for one commit with its offset. */
  emit: (folded: FoldedBatch) => Promise<WrittenBatch>
  /** Asked when all of the stage's share has been folded: whether to end, instead of waiting for more. */
  endWhenIdle: () => boolean
  signal: AbortSignal
  /** Wall clock, EpochMs with fractions. */
  now: () => number
  /** Partitions that are this process's now, and the offsets from which it folds them. */
  onAssigned?: (topic: string, from: ReadonlyMap<number, number>) => void
  /** There are none for this process: others have them. */
  onStandby?: (topic: string) => void
  /** Partitions that have gone to another process; `left` are still here. */
  onRevoked?: (topic: string, partitions: readonly number[], left: number) => void
  /** After every batch. */
  onBatch?: (batch: ScoredBatch) => void
}

/** A stage whose member has joined. */
export interface OpenStage extends AsyncDisposable {
  member: GroupMember
  /** Folds what comes, until the signal aborts, or all is folded and `endWhenIdle` says so; then all state is durable. */
  run(): Promise<void>
}

/** What moves with a partition. */
interface Holding {
  state: OwnedState
  fold: ServiceFold
  checkpoints: Checkpointer
  /** Where folding goes on. */
  from: number
}

interface Loop {
  options: StageOptions
  /** Undefined while it joins. */
  joined: Joined | undefined
  held: Map<number, Holding>
  read: (records: RecordBatch) => StageInput
  /** The commit under way, or the last one. */
  commit: Commit
  /** Whether there ever was a partition: one that stands by has not come to the end of anything. */
  begun: boolean
}

interface Joined {
  member: GroupMember
  backlog: Backlog
}

interface Commit {
  partition: number
  outcome: Promise<{ error: unknown } | undefined>
}

const NO_COMMIT: Commit = { partition: -1, outcome: Promise.resolve(undefined) }

/**
 * Joins the group of a stage's topic and opens the state of the partitions it is given.
 *
 * Exactly-once effects: outputs and offset are committed first, the fold's state with its own offset later. Whoever has a
 * partition next goes back to its checkpoint and folds the log from there again; records below the committed offset give no
 * output a second time. The fold is deterministic, so what follows is what would have followed.
 *
 * @throws UserError when the stored state is of another definition of the service, or the log has lost what follows it.
 */
export async function openStage(options: StageOptions): Promise<OpenStage> {
  const { log, group, stage, service, schema } = options
  const width = service.views.reduce((sum, view) => sum + view.features.length, 0)
  const read = stageReader(schema, width, stage.entity === undefined)
  const loop: Loop = { options, joined: undefined, held: new Map(), read, commit: NO_COMMIT, begun: false }
  const member = await log.join(group, stage.topic, {
    onAssigned: (partitions) => assigned(loop, partitions),
    onRevoked: (partitions, lost) => revoked(loop, partitions, lost),
  })
  const joined = { member, backlog: openBacklog(member, () => loop.held.size, options.maxBatch) }
  loop.joined = joined
  for (const [partition, { from }] of loop.held) member.seek(partition, from)
  if (loop.held.size === 0) options.onStandby?.(stage.topic)
  let open = true
  return {
    member,
    run: () => run(loop, joined),
    [Symbol.asyncDispose]: async () => {
      if (!open) return
      open = false
      for (const { state } of loop.held.values()) state[Symbol.dispose]()
      await member[Symbol.asyncDispose]()
    },
  }
}

async function assigned(loop: Loop, partitions: readonly number[]): Promise<void> {
  if (partitions.length === 0) return
  const { options, joined, held } = loop
  const { log, store, group, stage, service, schema } = options
  const from = new Map<number, number>()
  const { offsets } = await log.topic(stage.topic)
  for (const partition of partitions) {
    const state = await store.take(service.name, { group, topic: stage.topic, partition })
    checkDefinition(state, service)
    const fold = new ServiceFold(service, schema, { views: stage.views })
    const checkpoints = checkpointer(fold, state, { minorUnits: schema.amount.minorUnits, everyMs: options.checkpointEveryMs, now: options.now })
    const resume = resumeAt(stage.topic, partition, state, offsets[partition].start)
    held.set(partition, { state, fold, checkpoints, from: resume })
    joined?.member.seek(partition, resume)
    from.set(partition, resume)
  }
  loop.begun = true
  options.onAssigned?.(stage.topic, from)
}

function checkDefinition({ base }: OwnedState, service: FeatureService): void {
  if (base.version === 0 || base.serviceDigest === serviceDigest(service)) return
  throw new UserError(`The online features of "${service.name}" were backfilled with another definition of it. Run: fd features backfill --dataset ${base.history?.dataset ?? 'NAME'} --online`)
}

/** The checkpoint's offset; without one the log's oldest. */
function resumeAt(topic: string, partition: number, { checkpoint }: OwnedState, start: number): number {
  const offset = checkpoint?.offset ?? start
  if (offset >= start) return offset
  throw new UserError(
    `The state of this group has folded partition ${partition} of "${topic}" up to offset ${offset}, but the log now begins at ${start}: what lies between is lost to it. ` +
      'Backfill the history that covers it, then start the scorer again: fd features backfill --online',
  )
}

/** Hands partitions over: what was committed, and the state that belongs to it, is written before another may go on from it. */
async function revoked(loop: Loop, partitions: readonly number[], lost: boolean): Promise<void> {
  const { commit, held, options } = loop
  if (partitions.includes(commit.partition)) {
    const failed = await commit.outcome
    // Of a partition that is another's already, the commit was refused, or had been done before: the other goes on from there.
    if (failed !== undefined && !lost) throw failed.error
    loop.commit = NO_COMMIT
  }
  loop.joined?.backlog.forget(partitions)
  for (const partition of partitions) {
    if (!lost) await writeOut(held.get(partition)?.checkpoints)
    held.get(partition)?.state[Symbol.dispose]()
    held.delete(partition)
  }
  options.onRevoked?.(options.stage.topic, partitions, held.size)
}

async function writeOut(checkpoints: Checkpointer | undefined): Promise<void> {
  await checkpoints?.write()
  await checkpoints?.written()
}

/**
 * Batches in sequence, commits beside them: while the log makes batch n durable, batch n + 1 is decoded, folded and scored.
 * One commit is under way at a time, and a partition's checkpoint waits for its own, because state must never be ahead of outputs.
 */
async function run(loop: Loop, joined: Joined): Promise<void> {
  const { held, options } = loop
  while (!options.signal.aborted) {
    const records = await joined.backlog.next({ timeoutMs: POLL_MS, signal: options.signal })
    if (records !== undefined) await handle(loop, joined, records)
    else if (options.endWhenIdle() && loop.begun && (await joined.member.idle())) break
    for (const [partition, { checkpoints }] of held) {
      if (checkpoints.due()) await unlessLost(loop, joined, partition, () => checkpoint(loop, partition, () => checkpoints.write()))
    }
  }
  for (const [partition, { checkpoints }] of held) await unlessLost(loop, joined, partition, () => checkpoint(loop, partition, () => writeOut(checkpoints)))
}

async function checkpoint({ commit }: Loop, partition: number, write: () => Promise<void>): Promise<void> {
  if (commit.partition === partition) await throwIfFailed(commit)
  await write()
}

/** Folds a batch and begins its commit. */
async function handle(loop: Loop, joined: Joined, records: RecordBatch): Promise<void> {
  const { options, held } = loop
  const { member } = joined
  const { partition } = records
  const holding = held.get(partition)
  if (holding === undefined) throw new Error(`Records of partition ${partition} of "${records.topic}", which was not assigned`)
  const input = loop.read(records)
  const folded = await foldBatch(input, member.committed.get(partition) ?? 0, holding.fold, holding.state)
  holding.checkpoints.folded(nextOffset(records), input.decoded.events)
  const { batch, outputs } = await options.emit(folded)
  await unlessLost(loop, joined, loop.commit.partition, () => throwIfFailed(loop.commit))
  if (held.get(partition) !== holding) return
  // Of a batch that was all replayed the outputs are there, and the committed offset must not go back.
  const begin = folded.replayed < records.size ? member.commit(partition, nextOffset(records), outputs) : Promise.resolve({ durable: Promise.resolve() })
  await begin.then(
    ({ durable }) => (loop.commit = { partition, outcome: settled(durable.then(() => options.onBatch?.({ ...batch, done: options.now() }))) }),
    (error: unknown) => (loop.commit = { partition, outcome: Promise.resolve({ error }) }),
  )
}

/**
 * Does what belongs to a partition. When it fails, the log is asked first whether the partition is this member's still: the
 * failure of one that was stopped for longer than its session is the other's success, and the rest goes on.
 */
async function unlessLost(loop: Loop, { backlog }: Joined, partition: number, work: () => Promise<void>): Promise<void> {
  const holding = loop.held.get(partition)
  try {
    await work()
  } catch (error) {
    await backlog.look()
    if (holding === undefined || loop.held.get(partition) === holding) throw error
  }
}

/** The outcome of work that is looked at later, as a value: a rejection that nobody awaits yet would end the process. */
function settled(work: Promise<void>): Promise<{ error: unknown } | undefined> {
  return work.then(() => undefined, (error: unknown) => ({ error }))
}

async function throwIfFailed({ outcome }: Commit): Promise<void> {
  const failed = await outcome
  if (failed !== undefined) throw failed.error
}

function nextOffset(records: RecordBatch): number {
  return records.offsets[records.size - 1] + 1
}
