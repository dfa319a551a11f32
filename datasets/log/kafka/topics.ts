import { ConfigResourceTypes, createTopicsV7, describeConfigsV4, listOffsetsV7, metadataV12 } from '@platformatic/kafka'
import { UserError } from '../../../configs/user-error.ts'
import { HOUR, SECOND, type EpochMs } from '../../table/transaction.ts'
import type { OffsetRange, Topic, TopicSettings } from '../event-log.ts'
import { checkLogName, isLogName, unknownTopic } from '../log-name.ts'
import type { KafkaCluster } from './cluster.ts'
import { kafkaErrors } from './error.ts'

/** The topics of a log on a cluster. Names are without the log's prefix. */
export interface KafkaTopics {
  /** Makes the topic if it is missing. */
  ensure(name: string, settings?: Partial<TopicSettings>): Promise<void>
  /** The topic's number of partitions. @throws UserError when there is no such topic. */
  require(name: string): Promise<number>
  list(): Promise<Topic[]>
  describe(names: string[]): Promise<Topic[]>
  /** Oldest kept offset and next offset of each of the partitions. The next offset includes transactions under way. */
  offsets(name: string, partitions: number[]): Promise<OffsetRange[]>
  /** As `EventLog.offsetAt`. */
  offsetAt(name: string, partition: number, time: EpochMs): Promise<number>
}

const TOPIC = ConfigResourceTypes.TOPIC
const OLDEST = -2n
const NEWEST = -1n

/** The settings in which a topic of this log differs from a broker's defaults. */
const SETTINGS = {
  // Accept records of some megabytes, as the embedded log does.
  'max.message.bytes': String(8 << 20),
  // The broker vouches that no record's timestamp is far ahead of its clock: events are judged by it.
  'message.timestamp.after.max.ms': String(HOUR),
}

export function kafkaTopics(cluster: KafkaCluster): KafkaTopics {
  const { prefix } = cluster.location
  const topics: KafkaTopics = {
    async ensure(name, settings = {}) {
      checkLogName(name, prefix)
      if ((await cluster.leaders(prefix + name)) === undefined) await create(cluster, prefix + name, settings)
    },
    async require(name) {
      const found = isLogName(name, prefix) ? await cluster.leaders(prefix + name) : undefined
      if (found !== undefined) return found.length
      throw unknownTopic(name, await names(cluster))
    },
    list: async () => topics.describe(await names(cluster)),
    async describe(wanted) {
      const partitions = await Promise.all(wanted.map((name) => topics.require(name)))
      const retentions = await retentionOf(cluster, wanted)
      return Promise.all(
        wanted.map(async (name, i) => {
          const numbers = Array.from({ length: partitions[i] }, (_, number) => number)
          const offsets = await topics.offsets(name, numbers)
          return { name, partitions: partitions[i], retention: retentions[i], offsets }
        }),
      )
    },
    async offsets(name, partitions) {
      const start = await listOffsets(cluster, prefix + name, partitions, OLDEST)
      const end = await listOffsets(cluster, prefix + name, partitions, NEWEST)
      return partitions.map((_, i) => ({ start: start[i], end: end[i] }))
    },
    async offsetAt(name, partition, time) {
      // Times below 0 ask for other things; no record of a broker has one.
      const asked = BigInt(Math.max(0, Math.ceil(time)))
      const [found] = await listOffsets(cluster, prefix + name, [partition], asked)
      return found >= 0 ? found : (await listOffsets(cluster, prefix + name, [partition], NEWEST))[0]
    },
  }
  return topics
}

async function create(
  cluster: KafkaCluster,
  topic: string,
  { partitions = 1, retention }: Partial<TopicSettings>,
): Promise<void> {
  if (!Number.isInteger(partitions) || partitions < 1) {
    const name = topic.slice(cluster.location.prefix.length)
    throw new UserError(`Topic "${name}" cannot have ${partitions} partitions: give a whole number from 1.`)
  }
  const settings = { ...SETTINGS, 'retention.ms': String(retention ?? -1) }
  const configs = Object.entries(settings).map(([name, value]) => ({ name, value }))
  // A replication factor of −1 asks for the cluster's own default.
  const request = [{ name: topic, numPartitions: partitions, replicationFactor: -1, assignments: [], configs }]
  try {
    await cluster.call({ to: 'any' }, (connection) => createTopicsV7.api.async(connection, request, 30 * SECOND, false))
  } catch (error) {
    if (!kafkaErrors(error).includes('TOPIC_ALREADY_EXISTS')) throw error
  }
  // The controller knows the topic now, but not yet every broker. This waits until a broker does.
  await cluster.call({ to: 'any' }, (connection) => metadataV12.api.async(connection, [topic], false, false))
}

async function names(cluster: KafkaCluster): Promise<string[]> {
  const { prefix } = cluster.location
  const { topics } = await cluster.call({ to: 'any' }, (connection) =>
    metadataV12.api.async(connection, null, false, false),
  )
  return topics
    .filter(({ name, isInternal }) => !isInternal && name?.startsWith(prefix) === true)
    .map(({ name }) => (name ?? '').slice(prefix.length))
    .toSorted()
}

async function retentionOf(cluster: KafkaCluster, wanted: string[]): Promise<(number | undefined)[]> {
  if (wanted.length === 0) return []
  const resources = wanted.map((name) => ({
    resourceType: TOPIC,
    resourceName: cluster.location.prefix + name,
    configurationKeys: ['retention.ms'],
  }))
  const { results } = await cluster.call({ to: 'any' }, (connection) =>
    describeConfigsV4.api.async(connection, resources, false, false),
  )
  const byName = new Map(results.map(({ resourceName, configs }) => [resourceName, Number(configs[0]?.value ?? -1)]))
  return resources.map(({ resourceName }) => {
    const retention = byName.get(resourceName) ?? -1
    return retention < 0 ? undefined : retention
  })
}

/**
 * The largest batch that a topic (name with prefix) takes, in bytes. Undefined when this user may not see the setting.
 */
export async function mostBytes(cluster: KafkaCluster, topic: string): Promise<number | undefined> {
  const resource = { resourceType: TOPIC, resourceName: topic, configurationKeys: ['max.message.bytes'] }
  try {
    const { results } = await cluster.call({ to: 'any' }, (connection) =>
      describeConfigsV4.api.async(connection, [resource], false, false),
    )
    return Number(results[0].configs[0].value)
  } catch (error) {
    if (error instanceof UserError && kafkaErrors(error.cause).includes('TOPIC_AUTHORIZATION_FAILED')) return undefined
    throw error
  }
}

async function listOffsets(
  cluster: KafkaCluster,
  topic: string,
  partitions: number[],
  timestamp: bigint,
): Promise<number[]> {
  const one = async (partitionIndex: number): Promise<number> => {
    const request = [{ name: topic, partitions: [{ partitionIndex, currentLeaderEpoch: -1, timestamp }] }]
    const { topics } = await cluster.call({ to: 'leader', topic, partition: partitionIndex }, (connection) =>
      listOffsetsV7.api.async(connection, -1, 0, request),
    )
    return Number(topics[0].partitions[0].offset)
  }
  return Promise.all(partitions.map(one))
}

/** @throws UserError when the topic has no partition of this number. */
export function checkPartitionNumber(topic: string, partitions: number, number: number): void {
  if (Number.isInteger(number) && number >= 0 && number < partitions) return
  throw new UserError(`Topic "${topic}" has no partition ${number}: it has ${partitions}, counted from 0.`)
}

/** The command that changes a setting of a topic (name with prefix). */
export function configureTopic(bootstrapServers: string, topic: string, setting: string): string {
  return `kafka-configs.sh --bootstrap-server ${bootstrapServers} --alter --topic ${topic} --add-config ${setting}`
}
