import { setImmediate as turnOfTheLoop } from 'node:timers/promises'
import type { GroupMember, RecordBatch } from './event-log.ts'
import { PartitionFeed } from './kafka-feed.ts'
import { committedOffsets, groupId, type KafkaSeat, type Membership, takeSeat } from './kafka-group.ts'
import type { KafkaTopics } from './kafka-topics.ts'
import { openTransactions, type Transactions } from './kafka-transaction.ts'

/**
 * Makes this process the owner of all partitions of a group's topic.
 *
 * The order matters: the place in the group first; then the transactional id, which aborts what a dead owner left open
 * and shuts a living one out; then the committed offsets, which nobody else can move any more.
 */
export async function joinKafkaGroup(seat: KafkaSeat, topics: KafkaTopics): Promise<GroupMember> {
  const membership = await takeSeat(seat)
  try {
    const transactions = await openTransactions(seat, membership, topics)
    const committed = await committedOffsets(seat)
    await warnOfLostTopic(seat, topics, committed)
    return kafkaMember(seat, topics, { membership, transactions, committed })
  } catch (error) {
    await membership[Symbol.asyncDispose]()
    throw error
  }
}

/** Committed offsets behind the end belong to a topic of this name that is no more. */
async function warnOfLostTopic({ cluster, group, topic }: KafkaSeat, topics: KafkaTopics, committed: Map<number, number>): Promise<void> {
  const ends = await topics.offsets(topic, [...committed.keys()])
  for (const [partition, offset] of committed) {
    const { end } = ends[partition]
    if (offset <= end) continue
    cluster.tell(
      `Group "${group}" has committed offset ${offset} of topic "${topic}", partition ${partition}, which ends at ${end}: was the topic deleted and made again? Nothing is read before it gets there; another group (--group NAME) reads all.`,
    )
  }
}

interface Parts {
  membership: Membership
  transactions: Transactions
  committed: Map<number, number>
}

function kafkaMember(seat: KafkaSeat, topics: KafkaTopics, { membership, transactions, committed }: Parts): GroupMember {
  const { cluster, topic } = seat
  const numbers = [...committed.keys()]
  const offsets = async (partition: number): Promise<{ start: number; end: number }> => (await topics.offsets(topic, [partition]))[0]
  const feed = new PartitionFeed({ cluster, topic, offsets, lane: `member ${groupId(seat)}` }, committed)
  return {
    committed,
    seek: (partition, offset) => feed.seek(partition, offset),
    async poll(options) {
      await turnOfTheLoop()
      if (membership.lost !== undefined) throw membership.lost
      return poll(feed, options)
    },
    async idle() {
      const ends = await topics.offsets(topic, numbers)
      return numbers.every((partition) => feed.position(partition) >= ends[partition].end)
    },
    async commit(partition, nextOffset, outputs) {
      const { durable } = await transactions.begin(partition, nextOffset, outputs)
      return { durable: durable.then(() => void committed.set(partition, nextOffset)) }
    },
    async [Symbol.asyncDispose]() {
      await feed.close()
      await membership[Symbol.asyncDispose]()
    },
  }
}

async function poll(feed: PartitionFeed, { maxRecords, timeoutMs, signal }: Parameters<GroupMember['poll']>[0]): Promise<RecordBatch | undefined> {
  const timeout = AbortSignal.timeout(Math.max(0, timeoutMs))
  // An answer that was under way may have been empty only because it was asked for too early: one more is always asked for.
  let asked = false
  while (!aborted(signal)) {
    const batch = feed.take(maxRecords)
    if (batch !== undefined) return batch
    if (asked && (timeoutMs <= 0 || timeout.aborted)) return undefined
    asked = !feed.busy
    await feed.fill(Math.max(0, timeoutMs), signal)
  }
  return undefined
}

function aborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true
}
