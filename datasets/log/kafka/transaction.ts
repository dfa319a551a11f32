import { addOffsetsToTxnV3, addPartitionsToTxnV3, endTxnV3, txnOffsetCommitV3 } from '@platformatic/kafka'
import { SECOND } from '../../table/transaction.ts'
import { PartitionLost, type CommitUnderWay, type Outputs } from '../event-log.ts'
import type { Request } from './cluster.ts'
import { kafkaErrors } from './error.ts'
import { groupId, type GroupTopic, type MemberIdentity } from './group.ts'
import { newIdentity, type PartitionRecords, partitionRecords, SequencedWriter } from './producer.ts'

/** Commits of a group's member to one partition: outputs and the next input offset in one Kafka transaction. */
export interface Transactions {
  /**
   * Begins one. Resolves when the transaction is under way; `durable` resolves when it is done.
   *
   * @throws PartitionLost, from the call or from `durable`, when another member owns the partition. Then
   * nothing was written.
   */
  begin(nextOffset: number, outputs: Outputs): Promise<CommitUnderWay>
}

/**
 * After this time the broker aborts the open transaction of a process that has ended, unless a successor did it before.
 */
const TRANSACTION_TIMEOUT = 60 * SECOND
/** Kafka's errors by which a broker says that a producer or member has been replaced. */
const FENCED = new Set([
  'INVALID_PRODUCER_EPOCH',
  'PRODUCER_FENCED',
  'INVALID_PRODUCER_ID_MAPPING',
  'UNKNOWN_MEMBER_ID',
  'ILLEGAL_GENERATION',
  'FENCED_INSTANCE_ID',
  'FENCED_MEMBER_EPOCH',
])

/** The transactional producer of one of a member's partitions. */
interface PartitionProducer {
  groupTopic: GroupTopic
  identity: MemberIdentity
  partition: number
  /** The transactional id. It belongs to the group's partition, whoever owns it. */
  id: string
  writer: SequencedWriter
}

/**
 * Takes over the partition's transactional id. That aborts a transaction that the last owner left open, and fences the
 * last owner: everything that it sends from now on is refused. A commit of offsets also shows the member's id and
 * generation, so that a member that lost its membership in a rebalance is refused, too. Every partition has an id of
 * its own, because partitions change owners one by one.
 */
export async function openTransactions(
  groupTopic: GroupTopic,
  identity: MemberIdentity,
  partition: number,
): Promise<Transactions> {
  const { cluster, topics } = groupTopic
  const id = `${groupId(groupTopic)}/${partition}`
  const writer = new SequencedWriter(cluster, await newIdentity(cluster, id, TRANSACTION_TIMEOUT), id)
  const run = transactionRunner({ groupTopic, identity, partition, id, writer })
  return {
    async begin(nextOffset, outputs) {
      const parts: PartitionRecords[] = []
      for (const [topic, records] of outputs) {
        await topics.ensure(topic)
        parts.push(...partitionRecords(cluster.location.prefix, topic, await topics.require(topic), records))
      }
      const durable = run(nextOffset, parts).catch((error: unknown) => {
        throw kafkaErrors(error).some((name) => FENCED.has(name)) ? takenOver(groupTopic, partition, error) : error
      })
      return { durable }
    },
  }
}

/** Runs the partition's transactions. After one that failed, the next runs under a new producer epoch. */
function transactionRunner(
  producer: PartitionProducer,
): (nextOffset: number, parts: PartitionRecords[]) => Promise<void> {
  const { groupTopic, id, writer } = producer
  let broken = false
  return async (nextOffset, parts) => {
    if (broken) {
      writer.become(await newIdentity(groupTopic.cluster, id, TRANSACTION_TIMEOUT, writer.identity))
    }
    broken = true
    try {
      await transact(producer, nextOffset, parts)
      broken = false
    } catch (error) {
      await abort(producer)
      throw error
    }
  }
}

/** The error of a member that has been replaced, or was silent for longer than its session. */
export function takenOver({ group, topic, cluster }: GroupTopic, partition: number, cause?: unknown): PartitionLost {
  return new PartitionLost(
    `Partition ${partition} of topic "${topic}" was taken over by another member of group "${group}", ` +
      `or this one was silent for ${cluster.location.session / SECOND} s. ` +
      'Nothing of this commit was written; the new owner goes on from the committed offset.',
    { cause },
  )
}

/** One transaction: announced, written, and ended. Each step is sent again until it is answered. */
async function transact(producer: PartitionProducer, nextOffset: number, parts: PartitionRecords[]): Promise<void> {
  await announce(producer, parts)
  await write(producer, nextOffset, parts)
  // The coordinator answers a repeated request in the same way, so one whose answer was lost can be sent again.
  await producer.groupTopic.cluster.call(coordinatorOf(producer), endRequest(producer, true))
}

function coordinatorOf({ id }: PartitionProducer): { to: 'transaction'; key: string } {
  return { to: 'transaction', key: id }
}

/** Tells the coordinator which offsets and partitions the transaction will write. */
async function announce(producer: PartitionProducer, parts: PartitionRecords[]): Promise<void> {
  const { groupTopic, id, writer } = producer
  const { id: producerId, epoch } = writer.identity
  const { cluster } = groupTopic
  const coordinator = coordinatorOf(producer)
  const group = groupId(groupTopic)
  const topics = [...Map.groupBy(parts, (part) => part.topic)].map(([name, own]) => ({
    name,
    partitions: own.map((part) => part.partition),
  }))
  const requests = [{ transactionalId: id, producerId, producerEpoch: epoch, verifyOnly: false, topics }]
  await Promise.all([
    cluster.call(coordinator, (connection) => addOffsetsToTxnV3.api.async(connection, id, producerId, epoch, group)),
    ...(topics.length === 0
      ? []
      : [cluster.call(coordinator, (connection) => addPartitionsToTxnV3.api.async(connection, requests))]),
  ])
}

/** Writes the outputs and the next offset. Awaits both whatever comes of one: nothing may arrive after an abort. */
async function write(producer: PartitionProducer, nextOffset: number, parts: PartitionRecords[]): Promise<void> {
  const { groupTopic, writer } = producer
  const written = await Promise.allSettled([
    writer.write(parts),
    groupTopic.cluster.call({ to: 'group', key: groupId(groupTopic) }, offsetRequest(producer, nextOffset)),
  ])
  for (const outcome of written) if (outcome.status === 'rejected') throw outcome.reason
}

function offsetRequest(producer: PartitionProducer, nextOffset: number): Request<unknown> {
  const { groupTopic, identity, partition: partitionIndex, id, writer } = producer
  const { id: producerId, epoch } = writer.identity
  const { memberId, generation } = identity
  const group = groupId(groupTopic)
  const committedOffset = BigInt(nextOffset)
  const partitions = [{ partitionIndex, committedOffset, committedLeaderEpoch: -1, committedMetadata: '' }]
  const topics = [{ name: groupTopic.cluster.location.prefix + groupTopic.topic, partitions }]
  return (connection) =>
    txnOffsetCommitV3.api.async(connection, id, group, producerId, epoch, generation, memberId, null, topics)
}

function endRequest({ id, writer }: PartitionProducer, committed: boolean): Request<unknown> {
  const { id: producerId, epoch } = writer.identity
  return (connection) => endTxnV3.api.async(connection, id, producerId, epoch, committed)
}

/**
 * Aborts, so that no reader waits for an outcome. Sent once: if it fails, the next owner aborts the transaction, or the
 * broker does when its time is over.
 */
async function abort(producer: PartitionProducer): Promise<void> {
  await Promise.allSettled([producer.groupTopic.cluster.once(coordinatorOf(producer), endRequest(producer, false))])
}
