import { createTopicsV7, deleteTopicsV6, listOffsetsV7, metadataV12, ProtocolError } from '@platformatic/kafka'
import { type ClockSkew, clockSkew, judgeClock } from '../../../configs/clock-skew.ts'
import { find, type Finding, type Inspection } from '../../../configs/finding.ts'
import { UserError } from '../../../configs/user-error.ts'
import { SECOND } from '../../table/transaction.ts'
import type { KafkaCluster } from './cluster.ts'
import { reasonOf } from './error.ts'
import { fetchPartitions } from './fetch.ts'
import { newIdentity, SequencedWriter } from './producer.ts'

/** Asks `listOffsets` for the newest timestamp of a partition. */
const NEWEST_TIMESTAMP = -3n
const TRIAL = { value: 'fd doctor', timestamp: 0 }

/**
 * Tries out what `fd` does, on a topic of its own: makes it, writes to it, reads it and deletes it, and takes a
 * transactional id. The brokers stamp the records as they come (LogAppendTime), which shows their clocks.
 */
export async function tryCluster(cluster: KafkaCluster, { now, id }: Inspection): Promise<Finding[]> {
  const topic = `${cluster.location.prefix}fd-doctor-${id}`
  const clocks: Finding[] = []
  const permissions = await find('permissions', async () => {
    const { brokers } = await cluster.call({ to: 'any' }, (connection) =>
      metadataV12.api.async(connection, [], false, false),
    )
    await step(`make topic "${topic}"`, makeTopic(cluster, topic, brokers.length))
    try {
      const transactionalId = `${cluster.location.prefix}fd-doctor`
      await step(`take transactional id "${transactionalId}"`, newIdentity(cluster, transactionalId, 60 * SECOND))
      const leaders = (await cluster.leaders(topic)) ?? []
      // One partition per broker, if the cluster spreads them like that. Then every broker's clock is checked.
      for (const [broker, partition] of new Map(leaders.map((leader, number) => [leader, number]))) {
        const skew = await step(`write to and read topic "${topic}"`, appendTime(cluster, topic, partition, now))
        clocks.push(await find('clock', async () => judgeClock(skew, `The clock of broker ${broker}`)))
      }
    } finally {
      await step(`delete topic "${topic}"`, deleteTopic(cluster, topic))
    }
    return 'made, wrote, read and deleted a topic; took a transactional id'
  })
  return [permissions, ...clocks]
}

async function step<T>(what: string, work: Promise<T>): Promise<T> {
  return work.catch((error: unknown) => {
    const reason = error instanceof UserError ? error.message : reasonOf(error)
    throw new UserError(`Cannot ${what}: ${reason}`, { cause: error })
  })
}

function makeTopic(cluster: KafkaCluster, name: string, numPartitions: number): Promise<unknown> {
  const configs = [{ name: 'message.timestamp.type', value: 'LogAppendTime' }]
  const request = [{ name, numPartitions, replicationFactor: -1, assignments: [], configs }]
  return cluster.call({ to: 'any' }, (connection) => createTopicsV7.api.async(connection, request, 30 * SECOND, false))
}

function deleteTopic(cluster: KafkaCluster, name: string): Promise<unknown> {
  return cluster.call({ to: 'any' }, (connection) => deleteTopicsV6.api.async(connection, [{ name }], 30 * SECOND))
}

/**
 * Appends a record, reads it, and compares the broker's time stamp, taken between question and answer, with our clock.
 */
async function appendTime(
  cluster: KafkaCluster,
  topic: string,
  partition: number,
  now: () => number,
): Promise<ClockSkew> {
  const leader = { to: 'leader', topic, partition } as const
  const writer = new SequencedWriter(cluster, await newIdentity(cluster, null, 0))
  const before = now()
  await writer.write([{ topic, partition, records: [TRIAL] }])
  const after = now()
  const [{ error, bytes }] = await cluster.call(leader, (connection) =>
    fetchPartitions(connection, topic, [{ partition, offset: 0 }], SECOND),
  )
  if (error !== 0) throw new ProtocolError(error)
  if (bytes.length === 0) {
    throw new UserError(`the record that was written to partition ${partition} is not there. Look at the broker's log.`)
  }
  const asked = { partitionIndex: partition, currentLeaderEpoch: -1, timestamp: NEWEST_TIMESTAMP }
  const request = [{ name: topic, partitions: [asked] }]
  const { topics } = await cluster.call(leader, (connection) => listOffsetsV7.api.async(connection, -1, 0, request))
  return clockSkew(before, Number(topics[0].partitions[0].timestamp), after, 1)
}
