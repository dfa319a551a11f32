/**
 * A stage of the scorer, and where delivery is guaranteed: each record has its effect on outputs and features exactly
 * once, through kill -9, restarts, and partitions that move from process to process.
 *
 * **Order of writes**, for each batch of a partition:
 *
 * 1. Fold, in memory. Keys that are new to the fold are first read from the online store.
 * 2. Score, or prepare for the next stage (`emit`): the outputs are built in memory.
 * 3. Commit (`committer.ts`): outputs and the offset after the batch, in one transaction of the log.
 * 4. Checkpoint (`checkpointer.ts`), only from time to time: the changed states and the offset up to which they have
 *    folded, in one atomic write of the online store.
 *
 * Outputs first, state second: the offset of the checkpoint is never above the committed one.
 *
 * **Who waits for whom.** Batches are folded one after the other. A commit goes on beside the next batches, and a
 * commit waits for the one before it. The write of a checkpoint waits for the commits of all it has folded. Batches
 * wait for a commit only when many of them wait to be committed, and for a checkpoint only while it is encoded, or when
 * the next one is due before it is written. When partitions are handed over, and at the end, the stage waits for all
 * commits and for a last checkpoint; the next owner waits for that.
 *
 * **What a crash leaves behind.**
 *
 * - Before 3 is durable: nothing of the batch. The next owner folds and scores it for the first time.
 * - After 3, before 4: the outputs, and an older state. The next owner starts from the checkpoint, or without one from
 *   the log's oldest record, and folds the log from there on. Records below the committed offset are *replayed*: they
 *   change the state and give no output. Those above it are *fresh*.
 * - After 4: outputs and a state that has folded them. Only what came later is replayed.
 *
 * The fold is deterministic, so a replay ends in the state that was lost, and all that follows is what would have
 * followed. Were the state ahead of the outputs, the records between the two would never be scored: hence the order.
 *
 * **One owner.** The log refuses a commit to a partition that another member has taken over (`PartitionLost`). The
 * store refuses a checkpoint once another process has taken the state: under a fold that is still replaying, newer
 * states would count their events twice. A scorer that was stopped for longer than its session can therefore go on
 * without harm: what it tries to write is refused, it learns that its partitions are gone, and drops them.
 */
import type { EventLog, GroupMember, RecordBatch } from '../../datasets/log/event-log.ts'
import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import type { DurationMs } from '../../datasets/table/transaction.ts'
import { stageFold, type Stage } from '../../features/chain/chain.ts'
import { foldBatch, type FoldedBatch } from '../../features/chain/folded-batch.ts'
import { Seam, type HistoryGap } from '../../features/chain/seam.ts'
import { stageReader, type StageInput } from '../../features/chain/stage-record.ts'
import type { ServiceFold } from '../../features/fold/service-fold.ts'
import type { OnlineStore, OwnedState } from '../../features/store/online-store.ts'
import type { FeatureService } from '../../features/view/view.ts'
import { openBacklog, type Backlog } from './backlog.ts'
import type { ScoredBatch, WrittenBatch } from './batch.ts'
import { checkpointer, type Checkpointer } from './checkpointer.ts'
import { committer, type Committer } from './committer.ts'
import { checkDefinition, checkOutputs, checkPartitions, checkSchema, resumeAt, unlessAnothers } from './resume.ts'

/** The longest wait for records before the loop looks at the signal, at whether it is idle, and at due checkpoints. */
const POLL_MS = 200

export interface StageOptions {
  log: EventLog
  store: OnlineStore
  group: string
  stage: Stage
  service: FeatureService
  schema: DatasetSchema
  /** The most records in one batch. */
  maxBatch: number
  /** How far a transaction may lie ahead of its record's timestamp. Default: an hour. */
  maxAhead?: DurationMs
  /** For how long ids are remembered, as `stageFold` takes it. Default: not at all. */
  rememberIds?: DurationMs
  checkpointEveryMs: number
  /** Builds the outputs of a folded batch, to be committed with its offset. */
  emit: (folded: FoldedBatch) => Promise<WrittenBatch>
  /** Asked when a poll found nothing: whether to end once the whole share is folded, instead of waiting for more. */
  endWhenIdle: () => boolean
  signal: AbortSignal
  /** Wall clock, EpochMs with fractions. */
  now: () => number
  /** Called with the partitions that this process was given, and the offsets from which it folds them. */
  onAssigned?: (topic: string, from: ReadonlyMap<number, number>) => void
  /** Called when there is no partition for this process because others have them all. */
  onStandby?: (topic: string) => void
  /** Called with partitions that went to another process; `left` is how many this one still has. */
  onRevoked?: (topic: string, partitions: readonly number[], left: number) => void
  /** Called when the transactions begin more than a day after the history has ended. */
  onGap?: (topic: string, gap: HistoryGap) => void
  /** Called for every batch once its outputs are durable. */
  onBatch?: (batch: ScoredBatch) => void
}

/** A stage whose member has joined. */
export interface OpenStage extends AsyncDisposable {
  member: GroupMember
  /**
   * Folds until the signal aborts, or until all is folded and `endWhenIdle` agrees. When it resolves, all is durable.
   */
  run(): Promise<void>
}

/** What this process holds for one of its partitions, from the moment it is given it until it gives it up. */
interface Holding {
  state: OwnedState
  fold: ServiceFold
  checkpoints: Checkpointer
  commits: Committer
  seam: Seam
  /** A batch was begun, and the committer does not have its outputs: so no checkpoint may hold it. */
  unfinished: boolean
}

interface Loop {
  options: StageOptions
  /** Undefined while it is still joining the group. */
  joined: Joined | undefined
  held: Map<number, Holding>
  read: (records: RecordBatch) => StageInput
  /** Whether there ever was a partition. A stage that stands by must not take its lack of records for the end. */
  begun: boolean
}

interface Joined {
  member: GroupMember
  backlog: Backlog
}

/**
 * Joins the group of a stage's topic and opens the state of the partitions it is given.
 *
 * @throws UserError when the stored state is of another definition of the service or of another number of partitions,
 * or when the log no longer has the records that follow it.
 */
export async function openStage(options: StageOptions): Promise<OpenStage> {
  const { log, group, stage, service, schema } = options
  const width = service.views.reduce((sum, view) => sum + view.features.length, 0)
  const read = stageReader(schema, width, stage.entity === undefined, options.maxAhead)
  const loop: Loop = { options, joined: undefined, held: new Map(), read, begun: false }
  const member = await log.join(group, stage.topic, {
    onAssigned: (partitions, member) => assigned(loop, partitions, member),
    onRevoked: (partitions, lost) => revoked(loop, partitions, lost),
  })
  const joined = { member, backlog: openBacklog(member, () => loop.held.size, options.maxBatch, options.now) }
  loop.joined = joined
  if (loop.held.size === 0) options.onStandby?.(stage.topic)
  let open = true
  return {
    member,
    run: () => run(loop, joined),
    [Symbol.asyncDispose]: async () => {
      if (!open) return
      open = false
      // A stage that fails may have commits under way. They are valid, and must end before the log is closed.
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
  // A partition that was added has no state to compare the number with. Partition 0 was there from the start.
  checkPartitions(stage.topic, await store.group(service.name, { group, topic: stage.topic, partition: 0 }), count)
  for (const partition of partitions) {
    const place = { group, topic: stage.topic, partition }
    const taken = store.take(service.name, place, () => member.confirm(partition))
    // Undefined where this process was stopped for so long that it is another's by now. The log says so next.
    const state = await taken.catch((error) => unlessAnothers(undefined, partition, error))
    if (state === undefined) continue
    checkDefinition(state, service)
    checkSchema(state, schema)
    checkPartitions(stage.topic, state, count)
    checkOutputs(place, state, member.committed.get(partition) ?? 0)
    const resume = resumeAt(place, state, offsets[partition].start)
    held.set(partition, hold(options, member, partition, state, count))
    member.seek(partition, resume)
    from.set(partition, resume)
  }
  if (from.size === 0) return
  loop.begun = true
  options.onAssigned?.(stage.topic, from)
}

/** @param count partitions of the stage's topic. */
function hold(
  options: StageOptions,
  member: GroupMember,
  partition: number,
  state: OwnedState,
  count: number,
): Holding {
  const { stage, service, schema, now } = options
  const fold = stageFold(stage, service, schema, options.rememberIds)
  const everyMs = options.checkpointEveryMs
  const checkpoints = checkpointer(fold, state, { schema, partitions: count, everyMs, now })
  const commits = committer(member, partition, (batch) => options.onBatch?.({ ...batch, done: now() }))
  const seam = new Seam({
    base: state.base,
    group: options.group,
    begun: state.checkpoint !== undefined,
    onGap: (gap) => options.onGap?.(stage.topic, gap),
  })
  return { state, fold, checkpoints, commits, seam, unfinished: false }
}

/**
 * Gives partitions up. Before another process may go on from them, all that was folded is committed and its state is
 * written.
 *
 * @param lost they belong to another process already.
 */
async function revoked({ joined, held, options }: Loop, partitions: readonly number[], lost: boolean): Promise<void> {
  joined?.backlog.forget(partitions)
  for (const partition of partitions) {
    const holding = held.get(partition)
    // Nothing more can be committed to a lost partition, or after a batch that failed. The new owner goes on from the
    // last commit that was accepted. One that is under way must end first: it must not meet a log that is closed, or
    // the same partition's next term.
    if (lost || holding?.unfinished === true) await Promise.allSettled([holding?.commits.durable()])
    else if (holding !== undefined)
      await writeOut(holding).catch((error) => unlessAnothers(joined?.member, partition, error))
    holding?.state[Symbol.dispose]()
    held.delete(partition)
  }
  options.onRevoked?.(options.stage.topic, partitions, held.size)
}

/** Makes durable all that was folded: first the commits, then the state. */
async function writeOut({ commits, checkpoints }: Holding): Promise<void> {
  await commits.durable()
  await checkpoints.write(commits.durable())
  await checkpoints.written()
}

/** Handles batches one after the other. Commits and checkpoints go on beside them. */
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

/** Looks for a failed commit, and begins the checkpoint if one is due. */
async function lookAfter({ commits, checkpoints }: Holding): Promise<void> {
  commits.check()
  if (checkpoints.due()) await checkpoints.write(commits.durable())
}

/** Folds a batch, builds its outputs, and hands both to the committer. */
async function handle(loop: Loop, joined: Joined, records: RecordBatch): Promise<void> {
  const { partition } = records
  const holding = loop.held.get(partition)
  if (holding === undefined)
    throw new Error(`Records of partition ${partition} of "${records.topic}", which was not assigned`)
  // The state of new keys may have been written by another owner since.
  await unlessLost(loop, joined, partition, async () => {
    const { fold, state, checkpoints, commits, seam } = holding
    holding.unfinished = true
    const input = loop.read(records)
    const committed = joined.member.committed.get(partition) ?? 0
    const folded = await foldBatch(input, committed, fold, state, seam)
    const next = records.offsets[records.size - 1] + 1
    checkpoints.folded(next, input.decoded.events)
    const written = await loop.options.emit(folded)
    // When the whole batch was replayed its outputs are there already, and the committed offset must not go back.
    await commits.add(written, folded.replayed < records.size ? next : undefined)
    holding.unfinished = false
  })
}

/**
 * Does work on a partition. When it fails, the log is asked first whether the partition still belongs to this member.
 * If not, the failure is no fault: this process was stopped for longer than its session, and another one has taken
 * over. Then the work on other partitions goes on.
 *
 * @throws the failure, when the partition is still this member's.
 */
async function unlessLost(
  loop: Loop,
  { member, backlog }: Joined,
  partition: number,
  work: () => Promise<void>,
): Promise<void> {
  const holding = loop.held.get(partition)
  try {
    await work()
  } catch (error) {
    // The store may have shut this process out before it has heard of its loss. The next look brings the news.
    await Promise.allSettled([member.confirm(partition)])
    await backlog.look()
    if (loop.held.get(partition) === holding) throw error
  }
}
