import { addOffsetsToTxnV3, addPartitionsToTxnV3, endTxnV3, txnOffsetCommitV3 } from '@platformatic/kafka'
import type { NewRecord } from './event-log.ts'
import { kafkaErrors } from './kafka-error.ts'
import { groupId, isForgotten, type KafkaSeat, type Membership, takenOver } from './kafka-group.ts'
import { newIdentity, type PartitionRecords, partitionRecords, SequencedWriter } from './kafka-producer.ts'
import type { KafkaTopics } from './kafka-topics.ts'
import { SECOND } from './transaction.ts'

/** Commits of a group's member: outputs and the next input offset in one Kafka transaction. */
export interface Transactions {
  /**
   * Begins one: resolves when it is on its way; `durable` when it is done.
   *
   * @throws UserError, here or from `durable`, when another owner has come; then nothing of it was written.
   */
  begin(partition: number, nextOffset: number, outputs: Map<string, NewRecord[]>): Promise<{ durable: Promise<void> }>
}

/** After this an open transaction of a process that has gone is aborted, if no successor did it before. */
const TRANSACTION_TIMEOUT = 60 * SECOND
/** By these a broker says that a producer or member has been replaced. */
const REPLACED = new Set(['INVALID_PRODUCER_EPOCH', 'PRODUCER_FENCED', 'INVALID_PRODUCER_ID_MAPPING', 'UNKNOWN_MEMBER_ID', 'ILLEGAL_GENERATION', 'FENCED_INSTANCE_ID', 'FENCED_MEMBER_EPOCH'])

/**
 * Takes the group's transactional id over: a transaction that the last owner left open is aborted, and all that it sends
 * from now on is refused. The offset also shows the member's id and generation, so that one who lost its place to a
 * rebalance is refused as well.
 */
export async function openTransactions(seat: KafkaSeat, membership: Membership, topics: KafkaTopics): Promise<Transactions> {
  const { cluster } = seat
  const id = groupId(seat)
  const writer = new SequencedWriter(cluster, await newIdentity(cluster, id, TRANSACTION_TIMEOUT), id)
  let broken = false
  const run = async (partition: number, nextOffset: number, parts: PartitionRecords[]): Promise<void> => {
    if (broken) writer.become(await newIdentity(cluster, id, TRANSACTION_TIMEOUT, writer.identity))
    broken = true
    try {
      await transact(seat, membership, writer, { partition, nextOffset, parts })
      broken = false
    } catch (error) {
      // Asked once, so that no reader waits for an outcome; whoever comes next aborts it otherwise, or the broker when its time is over.
      const { id: producer, epoch } = writer.identity
      await Promise.allSettled([cluster.once({ to: 'transaction', key: id }, (connection) => endTxnV3.api.async(connection, id, producer, epoch, false))])
      throw error
    }
  }
  return {
    async begin(partition, nextOffset, outputs) {
      if (membership.lost !== undefined) throw membership.lost
      const parts: PartitionRecords[] = []
      for (const [topic, records] of outputs) {
        await topics.ensure(topic)
        parts.push(...partitionRecords(cluster.location.prefix, topic, await topics.require(topic), records))
      }
      const durable = run(partition, nextOffset, parts).catch(async (error: unknown) => {
        throw kafkaErrors(error).some((name) => REPLACED.has(name)) ? await takenOver(seat, error) : error
      })
      return { durable }
    },
  }
}

/** One transaction: announced, written, and closed, each step sent again until it is answered. */
async function transact(seat: KafkaSeat, membership: Membership, writer: SequencedWriter, work: { partition: number; nextOffset: number; parts: PartitionRecords[] }): Promise<void> {
  const { cluster, topic } = seat
  const id = groupId(seat)
  const { id: producer, epoch } = writer.identity
  const coordinator = { to: 'transaction', key: id } as const
  const topics = [...Map.groupBy(work.parts, (part) => part.topic)].map(([name, own]) => ({ name, partitions: own.map(({ partition }) => partition) }))
  const announcements = [cluster.call(coordinator, (connection) => addOffsetsToTxnV3.api.async(connection, id, producer, epoch, id))]
  if (topics.length > 0) {
    const request = [{ transactionalId: id, producerId: producer, producerEpoch: epoch, verifyOnly: false, topics }]
    announcements.push(cluster.call(coordinator, (connection) => addPartitionsToTxnV3.api.async(connection, request)).then(() => ({ throttleTimeMs: 0, errorCode: 0 })))
  }
  await Promise.all(announcements)
  const offset = [{ name: cluster.location.prefix + topic, partitions: [{ partitionIndex: work.partition, committedOffset: BigInt(work.nextOffset), committedLeaderEpoch: -1, committedMetadata: '' }] }]
  const commitOffset = async (): Promise<void> =>
    void (await cluster.call({ to: 'group', key: id }, (connection) => txnOffsetCommitV3.api.async(connection, id, id, producer, epoch, membership.generation, membership.memberId, null, offset)))
  // Both are awaited whatever comes of one: nothing may arrive after the transaction was aborted.
  const written = await Promise.allSettled([
    writer.write(work.parts),
    commitOffset().catch(async (error: unknown) => {
      if (!isForgotten(error) || !(await membership.retake())) throw error
      await commitOffset()
    }),
  ])
  for (const outcome of written) if (outcome.status === 'rejected') throw outcome.reason
  // Answered twice with the same word, so that one whose answer was lost can be asked again.
  await cluster.call(coordinator, (connection) => endTxnV3.api.async(connection, id, producer, epoch, true))
}
