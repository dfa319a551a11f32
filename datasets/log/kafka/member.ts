import { setImmediate as turnOfTheLoop, setTimeout as sleep } from 'node:timers/promises'
import {
  PartitionLost,
  type CommitUnderWay,
  type GroupMember,
  type Outputs,
  type PollOptions,
  type RecordBatch,
  type ShareListener,
} from '../event-log.ts'
import { memberShare, type MemberShare } from '../member-share.ts'
import { PartitionFeed } from './feed.ts'
import { committedOffsets, type GroupTopic } from './group.ts'
import { Membership } from './membership.ts'
import { openTransactions, takenOver, type Transactions } from './transaction.ts'

/** What a member knows about itself. */
interface MemberState {
  groupTopic: GroupTopic
  membership: Membership
  share: MemberShare
  feed: PartitionFeed
  /** By partition of its share. */
  transactions: Map<number, Transactions>
  /** The rebalance that this member takes part in, however many polls it lasts. */
  rebalancing?: Promise<number[] | undefined>
  /** What the last rebalance assigned to this member. If a listener throws, later polls carry it out. */
  assigned: readonly number[]
  /** Resolves when every commit that was asked for has been done or has failed. */
  commitsUnderWay: Promise<void>
}

/** How often a member with an empty share, which has no fetch to wait for, checks its membership. */
const CHECK_INTERVAL_MS = 100

/** Joins the group. Waits for the other members, who take part in the rebalance when they poll. */
export async function joinKafkaGroup(groupTopic: GroupTopic, listener: ShareListener): Promise<GroupMember> {
  const { cluster, topics, topic } = groupTopic
  await topics.require(topic)
  const lane = `${groupTopic.lane} fetch`
  const feed = new PartitionFeed(
    {
      cluster,
      topic,
      offsets: async (partition) => (await topics.offsets(topic, [partition]))[0],
      lane,
      complete: true,
    },
    new Map(),
  )
  const state: MemberState = {
    groupTopic,
    membership: new Membership(groupTopic),
    share: memberShare(listener),
    feed,
    transactions: new Map(),
    assigned: [],
    commitsUnderWay: Promise.resolve(),
  }
  const member = memberOf(state)
  try {
    await settle(state, member)
  } catch (error) {
    await member[Symbol.asyncDispose]()
    throw error
  }
  return member
}

function memberOf(state: MemberState): GroupMember {
  const { groupTopic, membership, share, feed } = state
  const member: GroupMember = {
    committed: share.committed,
    seek: (partition, offset) => feed.seek(partition, offset),
    async poll(options) {
      await turnOfTheLoop()
      return poll(state, member, options)
    },
    async idle() {
      const numbers = [...share.committed.keys()]
      const ends = await groupTopic.topics.offsets(groupTopic.topic, numbers)
      return numbers.every((partition, i) => feed.position(partition) >= ends[i].end)
    },
    commit: (partition, nextOffset, outputs) => commit(state, partition, nextOffset, outputs),
    async confirm(partition) {
      await owned(state, partition)
      if (!(await membership.confirm())) throw takenOver(groupTopic, partition)
    },
    async [Symbol.asyncDispose]() {
      await feed.close()
      drop(state, [...share.committed.keys()])
      await membership[Symbol.asyncDispose]()
    },
  }
  return member
}

async function poll(
  state: MemberState,
  member: GroupMember,
  { maxRecords, timeoutMs, signal }: PollOptions,
): Promise<RecordBatch | undefined> {
  const { feed } = state
  const timeout = AbortSignal.timeout(Math.max(0, timeoutMs))
  let either: AbortSignal | undefined
  const until = (): AbortSignal => (either ??= signal === undefined ? timeout : AbortSignal.any([timeout, signal]))
  // A fetch that is already under way may come back empty because it was sent too early. So one more is always sent.
  let asked = false
  while (!aborted(signal)) {
    if (!(await settle(state, member, until))) return undefined
    const batch = feed.take(maxRecords)
    if (batch !== undefined) return batch
    if ((asked || feed.empty) && (timeoutMs <= 0 || timeout.aborted)) return undefined
    asked = !feed.busy
    if (feed.empty) await Promise.allSettled([sleep(CHECK_INTERVAL_MS, undefined, { signal: until() })])
    else await feed.fill(Math.max(0, timeoutMs), signal)
  }
  return undefined
}

/**
 * Brings the share up to date: announces what is lost, takes part in a rebalance that is due, gives up what was
 * revoked, takes what is new.
 *
 * @returns false when `until` was aborted first, while the rebalance still waited for other members.
 */
async function settle(state: MemberState, member: GroupMember, until?: () => AbortSignal): Promise<boolean> {
  const { membership, share } = state
  for (;;) {
    if (membership.failed !== undefined) throw membership.failed.error
    if (membership.lost && state.rebalancing === undefined) await startOver(state)
    if (membership.rejoinNeeded || state.rebalancing !== undefined) {
      if (!(await rebalanced(state, until?.()))) return false
      continue
    }
    const revoked = [...share.committed.keys()].filter((partition) => !state.assigned.includes(partition))
    if (revoked.length > 0) {
      await share.revoke(revoked)
      drop(state, revoked)
      // Only now may another member own them. The next rebalance assigns them.
      membership.rejoinNeeded = true
      continue
    }
    const added = state.assigned.filter((partition) => !share.committed.has(partition))
    await take(state, added)
    await share.announce(member)
    if (!membership.rejoinNeeded && !membership.lost) return true
  }
}

/** All partitions belong to others, or must be assumed to. Drops them and begins a new membership. */
async function startOver(state: MemberState): Promise<void> {
  await state.commitsUnderWay
  const all = [...state.share.committed.keys()]
  drop(state, all)
  state.assigned = []
  await state.membership.reset()
  await state.share.lose(all)
}

/**
 * Takes part in a rebalance, after this member's commits are done.
 *
 * @returns false when `until` was aborted first.
 */
async function rebalanced(state: MemberState, until: AbortSignal | undefined): Promise<boolean> {
  // Another commit may begin as soon as one ends.
  for (let commits; commits !== state.commitsUnderWay; await commits) commits = state.commitsUnderWay
  state.rebalancing ??= state.membership.join([...state.share.committed.keys()])
  const { promise: abandoned, resolve } = Promise.withResolvers<'abandoned'>()
  const abandon = (): void => resolve('abandoned')
  if (until?.aborted === true) abandon()
  until?.addEventListener('abort', abandon, { once: true })
  // The rebalance may fail while nobody waits for it. The next poll that does will see the failure.
  void Promise.allSettled([state.rebalancing])
  try {
    const outcome = await Promise.race([state.rebalancing, abandoned])
    if (outcome === 'abandoned') return false
    if (outcome !== undefined) state.assigned = outcome
    state.rebalancing = undefined
    return true
  } catch (error) {
    state.rebalancing = undefined
    state.membership.rejoinNeeded = true
    throw error
  } finally {
    until?.removeEventListener('abort', abandon)
  }
}

/**
 * Starts to read and write newly assigned partitions. The order matters. The transactional ids come first, because
 * taking them aborts what a dead owner left open and fences a living one. After that, nobody else can move the
 * committed offsets, so only then are they read.
 */
async function take(state: MemberState, partitions: readonly number[]): Promise<void> {
  const { groupTopic, membership, share, feed, transactions } = state
  if (partitions.length === 0) return
  const opened = await Promise.all(
    partitions.map((partition) => openTransactions(groupTopic, membership.identity, partition)),
  )
  const committed = await committedOffsets(groupTopic, partitions)
  await warnOfLostTopic(groupTopic, committed)
  for (const [i, partition] of partitions.entries()) {
    transactions.set(partition, opened[i])
    feed.add(partition, committed.get(partition) ?? 0)
  }
  share.assign(committed)
}

/** Stops reading and writing partitions. */
function drop({ feed, transactions }: MemberState, partitions: readonly number[]): void {
  for (const partition of partitions) {
    feed.drop(partition)
    transactions.delete(partition)
  }
}

/**
 * Commits to one partition; commits of several may overlap. A commit counts as under way from this call on, so that a
 * rebalance waits for it.
 */
function commit(state: MemberState, partition: number, nextOffset: number, outputs: Outputs): Promise<CommitUnderWay> {
  const begun = begin(state, partition, nextOffset, outputs)
  const done = begun.then(({ durable }) => durable)
  state.commitsUnderWay = Promise.allSettled([state.commitsUnderWay, done]).then(() => {})
  return begun
}

async function begin(
  state: MemberState,
  partition: number,
  nextOffset: number,
  outputs: Outputs,
): Promise<CommitUnderWay> {
  const { membership, share } = state
  const own = await owned(state, partition)
  const { durable } = await own.begin(nextOffset, outputs)
  const done = durable.then(
    () => void share.committed.set(partition, nextOffset),
    (error: unknown) => {
      if (error instanceof PartitionLost) membership.lost = true
      throw error
    },
  )
  return { durable: done }
}

/** The transactions of a partition. @throws PartitionLost when this member knows that it does not own it. */
async function owned(
  { groupTopic, membership, transactions, rebalancing }: MemberState,
  partition: number,
): Promise<Transactions> {
  // The generation that a commit shows must not change while the commit is under way.
  await rebalancing
  if (membership.failed !== undefined) throw membership.failed.error
  const own = transactions.get(partition)
  if (own === undefined) {
    const { group, topic } = groupTopic
    throw new PartitionLost(
      `Partition ${partition} of topic "${topic}" is not this member's of group "${group}". ` +
        'Nothing of this commit was written.',
    )
  }
  if (membership.lost) throw takenOver(groupTopic, partition)
  return own
}

/** A committed offset beyond the end of the partition was committed to an earlier topic of the same name. */
async function warnOfLostTopic(groupTopic: GroupTopic, committed: ReadonlyMap<number, number>): Promise<void> {
  const { cluster, topics, group, topic } = groupTopic
  const numbers = [...committed.keys()]
  const ends = await topics.offsets(topic, numbers)
  for (const [i, partition] of numbers.entries()) {
    const offset = committed.get(partition) ?? 0
    const { end } = ends[i]
    if (offset <= end) continue
    cluster.tell(
      `Group "${group}" has committed offset ${offset} of topic "${topic}", partition ${partition}, ` +
        `which ends at ${end}: was the topic deleted and made again? ` +
        'Nothing is read before it gets there; another group (--group NAME) reads all.',
    )
  }
}

function aborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true
}
