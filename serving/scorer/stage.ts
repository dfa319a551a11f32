import { UserError } from '../../configs/user-error.ts'
import type { EventLog, GroupMember, RecordBatch } from '../../datasets/log/event-log.ts'
import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import type { Stage } from '../../features/chain/chain.ts'
import { foldBatch, type FoldedBatch } from '../../features/chain/folded-batch.ts'
import { stageReader, type StageInput } from '../../features/chain/stage-record.ts'
import { ServiceFold } from '../../features/fold/service-fold.ts'
import type { GroupState, OnlineStore, OwnedState } from '../../features/store/online-store.ts'
import { serviceDigest, type FeatureService } from '../../features/view/view.ts'
import { openBacklog, type Backlog } from './backlog.ts'
import type { ScoredBatch, WrittenBatch } from './batch.ts'
import { checkpointer, type Checkpointer } from './checkpointer.ts'
import { committer, type Committer } from './committer.ts'

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
  /** Outputs of a folded batch, for a commit with its offset. */
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
  commits: Committer
}

interface Loop {
  options: StageOptions
  /** Undefined while it joins. */
  joined: Joined | undefined
  held: Map<number, Holding>
  read: (records: RecordBatch) => StageInput
  /** Whether there ever was a partition: one that stands by has not come to the end of anything. */
  begun: boolean
}

interface Joined {
  member: GroupMember
  backlog: Backlog
}

/**
 * Joins the group of a stage's topic and opens the state of the partitions it is given.
 *
 * Exactly-once effects: outputs and offset are committed first, the fold's state with its own offset later. Whoever has a
 * partition next goes back to its checkpoint and folds the log from there again; records below the committed offset give no
 * output a second time. The fold is deterministic, so what follows is what would have followed.
 *
 * @throws UserError when the stored state is of another definition of the service or another number of partitions, or the log has
 * lost what follows it.
 */
export async function openStage(options: StageOptions): Promise<OpenStage> {
  const { log, group, stage, service, schema } = options
  const width = service.views.reduce((sum, view) => sum + view.features.length, 0)
  const read = stageReader(schema, width, stage.entity === undefined)
  const loop: Loop = { options, joined: undefined, held: new Map(), read, begun: false }
  const member = await log.join(group, stage.topic, {
    onAssigned: (partitions, member) => assigned(loop, partitions, member),
    onRevoked: (partitions, lost) => revoked(loop, partitions, lost),
  })
  const joined = { member, backlog: openBacklog(member, () => loop.held.size, options.maxBatch) }
  loop.joined = joined
  if (loop.held.size === 0) options.onStandby?.(stage.topic)
  let open = true
  return {
    member,
    run: () => run(loop, joined),
    [Symbol.asyncDispose]: async () => {
      if (!open) return
      open = false
      // A stage that fails may have commits under way: they are good, and none may be left to a log that is about to close.
      await Promise.allSettled([...loop.held.values()].map(({ commits }) => commits.durable()))
      for (const { state } of loop.held.values()) state[Symbol.dispose]()
      await member[Symbol.asyncDispose]()
    },
  }
}

async function assigned(loop: Loop, partitions: readonly number[], member: GroupMember): Promise<void> {
  if (partitions.length === 0) return
  const { options, held } = loop
  const { log, store, group, stage, service, schema } = options
  const from = new Map<number, number>()
  const { offsets, partitions: count } = await log.topic(stage.topic)
  // An added partition has no state yet, but the first one was there from the start.
  checkPartitions(stage.topic, await store.group(service.name, { group, topic: stage.topic, partition: 0 }), count)
  for (const partition of partitions) {
    const state = await store.take(service.name, { group, topic: stage.topic, partition })
    checkDefinition(state, service)
    checkPartitions(stage.topic, state, count)
    const fold = new ServiceFold(service, schema, { views: stage.views })
    const checkpoints = checkpointer(fold, state, {
      minorUnits: schema.amount.minorUnits,
      partitions: count,
      everyMs: options.checkpointEveryMs,
      now: options.now,
    })
    const resume = resumeAt(stage.topic, partition, state, offsets[partition].start)
    const commits = committer(member, partition, (batch) => options.onBatch?.({ ...batch, done: options.now() }))
    held.set(partition, { state, fold, checkpoints, commits })
    member.seek(partition, resume)
    from.set(partition, resume)
  }
  loop.begun = true
  options.onAssigned?.(stage.topic, from)
}

function checkDefinition({ base }: OwnedState, service: FeatureService): void {
  if (base.version === 0 || base.serviceDigest === serviceDigest(service)) return
  throw new UserError(
    `The online features of "${service.name}" were backfilled with another definition of it. Run: fd features backfill --dataset ${base.history?.dataset ?? 'NAME'} --online`,
  )
}

/** Partitions that are added move keys to others, where their history is not: every customer that moves would look new. */
function checkPartitions(topic: string, { checkpoint }: GroupState, count: number): void {
  if (checkpoint?.partitions === undefined || checkpoint.partitions === count) return
  throw new UserError(
    `Topic "${topic}" has ${count} partitions, and had ${checkpoint.partitions} when this group wrote its state: keys have moved to partitions that lack their history. ` +
      'Begin another log (FD_HOME, or ?prefix=NAME in the Kafka URL) with that many from the start (scorer.partitions), and backfill what was: fd features backfill --online',
  )
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

/** Hands partitions over: what was folded is committed, and the state that belongs to it written, before another may go on from it. */
async function revoked({ joined, held, options }: Loop, partitions: readonly number[], lost: boolean): Promise<void> {
  joined?.backlog.forget(partitions)
  for (const partition of partitions) {
    const holding = held.get(partition)
    // Of a partition that is another's already, commits are refused: the other goes on from the last that was not.
    if (!lost && holding !== undefined) await writeOut(holding)
    holding?.state[Symbol.dispose]()
    held.delete(partition)
  }
  options.onRevoked?.(options.stage.topic, partitions, held.size)
}

async function writeOut({ commits, checkpoints }: Holding): Promise<void> {
  await commits.durable()
  await checkpoints.write(commits.durable())
  await checkpoints.written()
}

/**
 * Batches in sequence, commits and checkpoints beside them: while the log makes a batch durable, the next are decoded, folded
 * and scored. A checkpoint is written only when what it has folded is durable, because state must never be ahead of outputs.
 */
async function run(loop: Loop, joined: Joined): Promise<void> {
  const { held, options } = loop
  while (!options.signal.aborted) {
    const records = await joined.backlog.next({ timeoutMs: POLL_MS, signal: options.signal })
    if (records !== undefined) await handle(loop, joined, records)
    else if (options.endWhenIdle() && loop.begun && (await joined.member.idle())) break
    for (const [partition, holding] of held) await unlessLost(loop, joined, partition, () => lookAfter(holding))
  }
  for (const [partition, holding] of held) await unlessLost(loop, joined, partition, () => writeOut(holding))
}

async function lookAfter({ commits, checkpoints }: Holding): Promise<void> {
  commits.check()
  if (checkpoints.due()) await checkpoints.write(commits.durable())
}

/** Folds a batch and hands it to be committed. */
async function handle(loop: Loop, joined: Joined, records: RecordBatch): Promise<void> {
  const { options, held } = loop
  const { partition } = records
  const holding = held.get(partition)
  if (holding === undefined)
    throw new Error(`Records of partition ${partition} of "${records.topic}", which was not assigned`)
  const { fold, state, checkpoints, commits } = holding
  const input = loop.read(records)
  const folded = await foldBatch(input, joined.member.committed.get(partition) ?? 0, fold, state)
  const next = nextOffset(records)
  checkpoints.folded(next, input.decoded.events)
  const written = await options.emit(folded)
  // Of a batch that was all replayed the outputs are there, and the committed offset must not go back.
  await unlessLost(loop, joined, partition, () =>
    commits.add(written, folded.replayed < records.size ? next : undefined),
  )
}

/**
 * Does what belongs to a partition. When it fails, the log is asked first whether the partition is this member's still: the
 * failure of one that was stopped for longer than its session is the other's success, and the rest goes on.
 */
async function unlessLost(
  loop: Loop,
  { backlog }: Joined,
  partition: number,
  work: () => Promise<void>,
): Promise<void> {
  const holding = loop.held.get(partition)
  try {
    await work()
  } catch (error) {
    await backlog.look()
    if (holding === undefined || loop.held.get(partition) === holding) throw error
  }
}

function nextOffset(records: RecordBatch): number {
  return records.offsets[records.size - 1] + 1
}
