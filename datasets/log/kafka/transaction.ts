import { addOffsetsToTxnV3, addPartitionsToTxnV3, endTxnV3, txnOffsetCommitV3 } from '@platformatic/kafka'
import { SECOND } from '../../table/transaction.ts'
import { PartitionLost, type NewRecord } from '../event-log.ts'
import { kafkaErrors } from './error.ts'
import { groupId, type KafkaSeat, type Standing } from './group.ts'
import { newIdentity, type PartitionRecords, partitionRecords, SequencedWriter } from './producer.ts'

/** Commits of a group's member to one partition: outputs and the next input offset in one Kafka transaction. */
export interface Transactions {
  /**
   * Begins one: resolves when it is on its way; `durable` when it is done.
   *
   * @throws PartitionLost, here or from `durable`, when another owner has come; then nothing of it was written.
   */
  begin(nextOffset: number, outputs: Map<string, NewRecord[]>): Promise<{ durable: Promise<void> }>
}

/** After this an open transaction of a process that has gone is aborted, if no successor did it before. */
const TRANSACTION_TIMEOUT = 60 * SECOND
/** By these a broker says that a producer or member has been replaced. */
const REPLACED = new Set([
  'INVALID_PRODUCER_EPOCH',
  'PRODUCER_FENCED',
  'INVALID_PRODUCER_ID_MAPPING',
  'UNKNOWN_MEMBER_ID',
  'ILLEGAL_GENERATION',
  'FENCED_INSTANCE_ID',
  'FENCED_MEMBER_EPOCH',
])

/** What a member's transactions on a partition are done with. */
interface Account {
  seat: KafkaSeat
  standing: Standing
  partition: number
  /** The transactional id: that of the partition in the group, whoever has it. */
  id: string
  writer: SequencedWriter
}

/**
 * Takes the partition's transactional id over: a transaction that the last owner left open is aborted, and all that it
 * sends from now on is refused. The offset also shows the member's id and generation, so that one who lost its place to a
 * rebalance is refused as well. An id for each partition, because partitions change hands one by one.
 */
export async function openTransactions(seat: KafkaSeat, standing: Standing, partition: number): Promise<Transactions> {
  const { cluster, topics } = seat
  const id = `${groupId(seat)}/${partition}`
  const account: Account = {
    seat,
    standing,
    partition,
    id,
    writer: new SequencedWriter(cluster, await newIdentity(cluster, id, TRANSACTION_TIMEOUT), id),
  }
  let broken = false
  const run = async (nextOffset: number, parts: PartitionRecords[]): Promise<void> => {
    if (broken) account.writer.become(await newIdentity(cluster, id, TRANSACTION_TIMEOUT, account.writer.identity))
    broken = true
    try {
      await transact(account, nextOffset, parts)
      broken = false
    } catch (error) {
      await abort(account)
      throw error
    }
  }
  return {
    async begin(nextOffset, outputs) {
      const parts: PartitionRecords[] = []
      for (const [topic, records] of outputs) {
        await topics.ensure(topic)
        parts.push(...partitionRecords(cluster.location.prefix, topic, await topics.require(topic), records))
      }
      const durable = run(nextOffset, parts).catch((error: unknown) => {
        throw kafkaErrors(error).some((name) => REPLACED.has(name)) ? takenOver(seat, partition, error) : error
      })
      return { durable }
    },
  }
}

/** The error of a member that has been replaced, or was silent for longer than its session. */
export function takenOver({ group, topic, cluster }: KafkaSeat, partition: number, cause?: unknown): PartitionLost {
  return new PartitionLost(
    `Partition ${partition} of topic "${topic}" was taken over by another member of group "${group}", or this one was silent for ${cluster.location.session / SECOND} s. Nothing of this commit was written; the new owner goes on from the committed offset.`,
    { cause },
  )
}

/** Asked once, so that no reader waits for an outcome; whoever comes next aborts it otherwise, or the broker when its time is over. */
async function abort({ seat, id, writer }: Account): Promise<void> {
  const { id: producer, epoch } = writer.identity
  await Promise.allSettled([
    seat.cluster.once({ to: 'transaction', key: id }, (connection) =>
      endTxnV3.api.async(connection, id, producer, epoch, false),
    ),
  ])
}

/** One transaction: announced, written, and closed, each step sent again until it is answered. */
async function transact(
  { seat, standing, partition, id, writer }: Account,
  nextOffset: number,
  parts: PartitionRecords[],
): Promise<void> {
  const { cluster, topic } = seat
  const group = groupId(seat)
  const { id: producer, epoch } = writer.identity
  const coordinator = { to: 'transaction', key: id } as const
  const topics = [...Map.groupBy(parts, (part) => part.topic)].map(([name, own]) => ({
    name,
    partitions: own.map((part) => part.partition),
  }))
  const announcements = [
    cluster.call(coordinator, (connection) => addOffsetsToTxnV3.api.async(connection, id, producer, epoch, group)),
  ]
  if (topics.length > 0) {
    const request = [{ transactionalId: id, producerId: producer, producerEpoch: epoch, verifyOnly: false, topics }]
    announcements.push(
      cluster
        .call(coordinator, (connection) => addPartitionsToTxnV3.api.async(connection, request))
        .then(() => ({ throttleTimeMs: 0, errorCode: 0 })),
    )
  }
  await Promise.all(announcements)
  const { memberId, generation } = standing
  const offset = [
    {
      name: cluster.location.prefix + topic,
      partitions: [
        {
          partitionIndex: partition,
          committedOffset: BigInt(nextOffset),
          committedLeaderEpoch: -1,
          committedMetadata: '',
        },
      ],
    },
  ]
  // Both are awaited whatever comes of one: nothing may arrive after the transaction was aborted.
  const written = await Promise.allSettled([
    writer.write(parts),
    cluster.call({ to: 'group', key: group }, (connection) =>
      txnOffsetCommitV3.api.async(connection, id, group, producer, epoch, generation, memberId, null, offset),
    ),
  ])
  for (const outcome of written) if (outcome.status === 'rejected') throw outcome.reason
  // Answered twice with the same word, so that one whose answer was lost can be asked again.
  await cluster.call(coordinator, (connection) => endTxnV3.api.async(connection, id, producer, epoch, true))
}
