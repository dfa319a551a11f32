import { setImmediate as turnOfTheLoop, setTimeout as sleep } from 'node:timers/promises'
import { PartitionLost, type GroupMember, type NewRecord, type RecordBatch, type ShareListener } from '../event-log.ts'
import { memberShare, type MemberShare } from '../member-share.ts'
import { PartitionFeed } from './feed.ts'
import { committedOffsets, type KafkaSeat } from './group.ts'
import { KafkaPlace } from './membership.ts'
import { openTransactions, takenOver, type Transactions } from './transaction.ts'

type PollOptions = Parameters<GroupMember['poll']>[0]

/** What a member knows of itself. */
interface Membership {
  seat: KafkaSeat
  place: KafkaPlace
  share: MemberShare
  feed: PartitionFeed
  /** By partition of its share. */
  transactions: Map<number, Transactions>
  /** The rebalance that this member takes part in, however many polls that takes. */
  entering?: Promise<number[] | undefined>
  /** What the last rebalance gave it; carried out poll by poll when a listener throws. */
  given: readonly number[]
  /** Resolves when every commit that was asked for has been done or has failed. */
  underWay: Promise<void>
}

/** A member that looks around has no fetch to wait for when its share is empty. */
const LOOK_MS = 100

/** Joins the group; waits for the other members, who take part when they poll. */
export async function joinKafkaGroup(seat: KafkaSeat, listener: ShareListener): Promise<GroupMember> {
  const { cluster, topics, topic } = seat
  await topics.require(topic)
  const offsets = async (partition: number): Promise<{ start: number; end: number }> =>
    (await topics.offsets(topic, [partition]))[0]
  const feed = new PartitionFeed({ cluster, topic, offsets, lane: `${seat.lane} fetch` }, new Map())
  const membership: Membership = {
    seat,
    place: new KafkaPlace(seat),
    share: memberShare(listener),
    feed,
    transactions: new Map(),
    given: [],
    underWay: Promise.resolve(),
  }
  const { place, share } = membership
  const member: GroupMember = {
    committed: share.committed,
    seek: (partition, offset) => feed.seek(partition, offset),
    async poll(options) {
      await turnOfTheLoop()
      return poll(membership, member, options)
    },
    async idle() {
      const numbers = [...share.committed.keys()]
      const ends = await topics.offsets(topic, numbers)
      return numbers.every((partition, i) => feed.position(partition) >= ends[i].end)
    },
    commit: (partition, nextOffset, outputs) => commit(membership, partition, nextOffset, outputs),
    async [Symbol.asyncDispose]() {
      await feed.close()
      forget(membership, [...share.committed.keys()])
      await place[Symbol.asyncDispose]()
    },
  }
  try {
    await settle(membership, member)
  } catch (error) {
    await member[Symbol.asyncDispose]()
    throw error
  }
  return member
}

async function poll(
  membership: Membership,
  member: GroupMember,
  { maxRecords, timeoutMs, signal }: PollOptions,
): Promise<RecordBatch | undefined> {
  const { feed } = membership
  const timeout = AbortSignal.timeout(Math.max(0, timeoutMs))
  let either: AbortSignal | undefined
  const until = (): AbortSignal => (either ??= signal === undefined ? timeout : AbortSignal.any([timeout, signal]))
  // An answer that was under way may have been empty only because it was asked for too early: one more is always asked for.
  let asked = false
  while (!aborted(signal)) {
    if (!(await settle(membership, member, until))) return undefined
    const batch = feed.take(maxRecords)
    if (batch !== undefined) return batch
    if ((asked || feed.empty) && (timeoutMs <= 0 || timeout.aborted)) return undefined
    asked = !feed.busy
    if (feed.empty) await Promise.allSettled([sleep(LOOK_MS, undefined, { signal: until() })])
    else await feed.fill(Math.max(0, timeoutMs), signal)
  }
  return undefined
}

/**
 * Brings the share up to date: tells what is lost, takes part in a rebalance that is due, gives up what goes to another,
 * takes what is new.
 *
 * @returns false when `until` was aborted before, with the other members still to come.
 */
async function settle(membership: Membership, member: GroupMember, until?: () => AbortSignal): Promise<boolean> {
  const { place, share } = membership
  for (;;) {
    if (place.failed !== undefined) throw place.failed.error
    if (place.lost && membership.entering === undefined) await startOver(membership)
    if (place.due || membership.entering !== undefined) {
      if (!(await entered(membership, until?.()))) return false
      continue
    }
    const surplus = [...share.committed.keys()].filter((partition) => !membership.given.includes(partition))
    if (surplus.length > 0) {
      await share.giveUp(surplus)
      forget(membership, surplus)
      // Only now may another have them: the round that hands them over.
      place.due = true
      continue
    }
    await takeOver(
      membership,
      membership.given.filter((partition) => !share.committed.has(partition)),
    )
    await share.announce(member)
    if (!place.due && !place.lost) return true
  }
}

/** All partitions are another's, or must be taken to be: they are forgotten, and a new place is taken. */
async function startOver(membership: Membership): Promise<void> {
  await membership.underWay
  const all = [...membership.share.committed.keys()]
  forget(membership, all)
  membership.given = []
  await membership.place.vacate()
  await membership.share.lose(all)
}

/** Takes part in a rebalance, once what this member commits is done. @returns false when `until` was aborted before. */
async function entered(membership: Membership, until: AbortSignal | undefined): Promise<boolean> {
  // One that ends may be followed by another at once.
  for (let commits; commits !== membership.underWay; await commits) commits = membership.underWay
  membership.entering ??= membership.place.enter([...membership.share.committed.keys()])
  const { promise: abandoned, resolve } = Promise.withResolvers<'abandoned'>()
  const abandon = (): void => resolve('abandoned')
  if (until?.aborted === true) abandon()
  until?.addEventListener('abort', abandon, { once: true })
  // A rebalance that fails while nobody waits for it is looked at by the next who does.
  void Promise.allSettled([membership.entering])
  try {
    const outcome = await Promise.race([membership.entering, abandoned])
    if (outcome === 'abandoned') return false
    if (outcome !== undefined) membership.given = outcome
    membership.entering = undefined
    return true
  } catch (error) {
    membership.entering = undefined
    membership.place.due = true
    throw error
  } finally {
    until?.removeEventListener('abort', abandon)
  }
}

/**
 * The order matters: the transactional id first, which aborts what a dead owner left open and shuts a living one out; then
 * the committed offset, which nobody else can move any more.
 */
async function takeOver(
  { seat, place, share, feed, transactions }: Membership,
  partitions: readonly number[],
): Promise<void> {
  if (partitions.length === 0) return
  const opened = await Promise.all(partitions.map((partition) => openTransactions(seat, place.standing, partition)))
  const committed = await committedOffsets(seat, partitions)
  await warnOfLostTopic(seat, committed)
  for (const [i, partition] of partitions.entries()) {
    transactions.set(partition, opened[i])
    feed.add(partition, committed.get(partition) ?? 0)
  }
  share.gain(committed)
}

/** Nothing of the partitions is read or written any more. */
function forget({ feed, transactions }: Membership, partitions: readonly number[]): void {
  for (const partition of partitions) {
    feed.drop(partition)
    transactions.delete(partition)
  }
}

/** Commits, of several partitions at once. What is under way is known from the call on, so that a rebalance waits for it. */
function commit(
  membership: Membership,
  partition: number,
  nextOffset: number,
  outputs: Map<string, NewRecord[]>,
): Promise<{ durable: Promise<void> }> {
  const begun = begin(membership, partition, nextOffset, outputs)
  const done = begun.then(({ durable }) => durable)
  membership.underWay = Promise.allSettled([membership.underWay, done]).then(() => {})
  return begun
}

async function begin(
  { seat, place, share, transactions, entering }: Membership,
  partition: number,
  nextOffset: number,
  outputs: Map<string, NewRecord[]>,
): Promise<{ durable: Promise<void> }> {
  // The generation that a commit shows must not change while it is under way.
  await entering
  if (place.failed !== undefined) throw place.failed.error
  const own = transactions.get(partition)
  if (own === undefined)
    throw new PartitionLost(
      `Partition ${partition} of topic "${seat.topic}" is not this member's of group "${seat.group}". Nothing of this commit was written.`,
    )
  if (place.lost) throw takenOver(seat, partition)
  const { durable } = await own.begin(nextOffset, outputs)
  const done = durable.then(
    () => void share.committed.set(partition, nextOffset),
    (error: unknown) => {
      if (error instanceof PartitionLost) place.lost = true
      throw error
    },
  )
  return { durable: done }
}

/** Committed offsets behind the end belong to a topic of this name that is no more. */
async function warnOfLostTopic(
  { cluster, topics, group, topic }: KafkaSeat,
  committed: ReadonlyMap<number, number>,
): Promise<void> {
  const numbers = [...committed.keys()]
  const ends = await topics.offsets(topic, numbers)
  for (const [i, partition] of numbers.entries()) {
    const offset = committed.get(partition) ?? 0
    const { end } = ends[i]
    if (offset <= end) continue
    cluster.tell(
      `Group "${group}" has committed offset ${offset} of topic "${topic}", partition ${partition}, which ends at ${end}: was the topic deleted and made again? Nothing is read before it gets there; another group (--group NAME) reads all.`,
    )
  }
}

function aborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true
}
