import { setImmediate as turnOfTheLoop } from 'node:timers/promises'
import { UserError } from '../../../configs/user-error.ts'
import type { DurationMs } from '../../table/transaction.ts'
import {
  PartitionLost,
  type CommitUnderWay,
  type GroupMember,
  type NewRecord,
  type Outputs,
  type PollOptions,
  type RecordBatch,
  type ShareListener,
} from '../event-log.ts'
import { memberShare, type MemberShare } from '../member-share.ts'
import { deletedUnread } from '../retention.ts'
import { Membership } from './membership.ts'
import { partitionReader, type PartitionReader } from './partition-reader.ts'
import { assertOwner, commitOffset, type GroupTopic } from './roster.ts'
import type { EncodedRecords, TopicStore } from './topic-store.ts'

/** What a member knows about itself. */
interface MemberState {
  store: TopicStore
  groupTopic: GroupTopic
  membership: Membership
  share: MemberShare
  /** By partition of its share: the offset at which `poll` continues. */
  positions: Map<number, number>
  /** Partitions of which records were read from their position on: between them none may be missing. */
  begun: Set<number>
  /** Of all partitions of the topic. */
  readers: PartitionReader[]
  /** Whose turn it is, counted in partitions of this member. */
  turn: number
}

/** Joins the group and takes what is free of this member's share. @throws UserError for an unknown topic. */
export async function joinGroup(
  store: TopicStore,
  groupTopic: GroupTopic,
  session: DurationMs,
  listener: ShareListener,
): Promise<GroupMember> {
  const { topic, partitions } = groupTopic
  const readers = Array.from({ length: partitions }, (_, partition) => partitionReader(store, topic, partition))
  const state: MemberState = {
    store,
    groupTopic,
    membership: new Membership(store, groupTopic, session),
    share: memberShare(listener),
    positions: new Map(),
    begun: new Set(),
    readers,
    turn: 0,
  }
  const member = memberOf(state)
  try {
    await settle(state, member)
  } catch (error) {
    state.membership.leave()
    throw error
  }
  return member
}

function memberOf(state: MemberState): GroupMember {
  const { membership, share, positions, begun, readers, groupTopic } = state
  let open = true
  const member: GroupMember = {
    committed: share.committed,
    seek(partition, offset) {
      if (!positions.has(partition)) {
        throw new UserError(
          `Partition ${partition} of topic "${groupTopic.topic}" is not this member's, and so not read here.`,
        )
      }
      positions.set(partition, offset)
      begun.delete(partition)
    },
    poll: (options) => poll(state, member, options),
    idle: async () => [...positions].every(([partition, position]) => position >= readers[partition].end()),
    commit: (partition, nextOffset, outputs) => commit(state, partition, nextOffset, outputs),
    async confirm(partition) {
      const epoch = epochOf(state, partition)
      state.store.shared.environment.read(() => assertOwner(groupTopic, partition, epoch))
    },
    async [Symbol.asyncDispose]() {
      if (open) membership.leave()
      open = false
    },
  }
  return member
}

/** Brings the share up to date: announces what is lost, gives up what belongs to others, takes what is free. */
async function settle({ membership, share, positions, begun }: MemberState, member: GroupMember): Promise<void> {
  for (let next = membership.next(); next !== undefined; next = membership.next()) {
    if (next.change === 'assigned') {
      for (const [partition, offset] of next.committed) positions.set(partition, offset)
      share.assign(next.committed)
      await share.announce(member)
      continue
    }
    if (next.change === 'revoked') await share.revoke(next.partitions)
    for (const partition of next.partitions) {
      positions.delete(partition)
      begun.delete(partition)
    }
    if (next.change === 'revoked') membership.release(next.partitions)
    else await share.lose(next.partitions)
  }
  await share.announce(member)
}

async function poll(state: MemberState, member: GroupMember, options: PollOptions): Promise<RecordBatch | undefined> {
  // A member with a backlog never waits, so timers, signals and sockets of its process get their turn here.
  await turnOfTheLoop()
  let patience: AbortSignal | undefined
  while (options.signal?.aborted !== true) {
    const { bell, heard } = state.readers[0].listen()
    await settle(state, member)
    const batch = takeTurn(state, options.maxRecords)
    if (batch !== undefined) return batch
    patience ??= AbortSignal.any([
      AbortSignal.timeout(options.timeoutMs),
      ...(options.signal === undefined ? [] : [options.signal]),
    ])
    if (options.timeoutMs <= 0 || patience.aborted) return undefined
    await bell.wait(heard, patience)
  }
  return undefined
}

/**
 * The next batch of the first partition that has one, beginning with the partition whose turn it is.
 *
 * @throws UserError when retention has deleted records that come before it.
 */
function takeTurn(state: MemberState, maxRecords: number): RecordBatch | undefined {
  const { positions, begun, readers, groupTopic } = state
  const own = [...positions]
  for (let i = 0; i < own.length; i++) {
    const turn = (state.turn + i) % own.length
    const [partition, position] = own[turn]
    const batch = readers[partition].take(position, maxRecords, Infinity)
    if (batch === undefined) continue
    const [first] = batch.offsets
    if (first > position && begun.has(partition)) throw deletedUnread(groupTopic.topic, partition, position, first)
    begun.add(partition)
    positions.set(partition, batch.offsets[batch.size - 1] + 1)
    state.turn = (turn + 1) % own.length
    return batch
  }
  return undefined
}

/**
 * Commits before it returns, in this thread. Handing commits to LMDB's own thread was tried: a backlog gained a tenth
 * in throughput, but a lone transaction lost 0.2 ms on the way there and back, and a full disk ended the process
 * through rejections that nobody could await.
 */
async function commit(
  state: MemberState,
  partition: number,
  nextOffset: number,
  outputs: Outputs,
): Promise<CommitUnderWay> {
  const { store, groupTopic, share } = state
  const epoch = epochOf(state, partition)
  const encoded = [...outputs].map(([topic, records]) => encodeOutput(store, groupTopic, topic, records))
  store.shared.write(() => {
    assertOwner(groupTopic, partition, epoch)
    for (const output of encoded) store.write(output)
    commitOffset(groupTopic, partition, nextOffset)
  })
  share.committed.set(partition, nextOffset)
  return { durable: Promise.resolve() }
}

/** By which this member owns a partition. @throws PartitionLost when it knows that it does not. */
function epochOf({ membership, groupTopic }: MemberState, partition: number): number {
  const epoch = membership.epoch(partition)
  if (epoch !== undefined) return epoch
  const { group, topic } = groupTopic
  throw new PartitionLost(
    `Partition ${partition} of topic "${topic}" is not this member's of group "${group}". ` +
      'Nothing of this commit was written.',
  )
}

function encodeOutput(store: TopicStore, { group }: GroupTopic, topic: string, records: NewRecord[]): EncodedRecords {
  const entry = store.place(topic, 'shared')
  if (entry.home === 'shared') return store.encode(entry, records)
  throw new UserError(
    `Group "${group}" cannot commit to topic "${topic}": it is appended to, and so has a volume of its own. ` +
      'Commit to another topic, or start a new log (FD_HOME).',
  )
}
