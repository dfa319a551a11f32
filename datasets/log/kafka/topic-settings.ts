import {
  AclOperations,
  ConfigResourceTypes,
  describeConfigsV4,
  describeGroupsV5,
  metadataV12,
} from '@platformatic/kafka'
import { broken, find, findings, type Finding, type Judgement, warning } from '../../../configs/finding.ts'
import { UserError } from '../../../configs/user-error.ts'
import { DAY } from '../../table/transaction.ts'
import type { LogNeeds } from '../event-log.ts'
import type { KafkaCluster } from './cluster.ts'
import { kafkaErrors } from './error.ts'
import { groupId } from './group.ts'
import { LARGEST_BATCH } from './records.ts'

/** A topic as the cluster has it. */
export interface ClusterTopic {
  /** With the log's prefix, as Kafka's tools name it. */
  name: string
  brokers: number
  /** Copies of each partition, and how many of them have all records at the moment, the least of any partition. */
  replicas: number[]
  inSync: number
  settings: Record<string, string>
}

const SETTINGS = ['retention.ms', 'retention.bytes', 'cleanup.policy', 'max.message.bytes', 'min.insync.replicas']

/** The settings of fd's topics, and what this user may do with each of them and with the scorer's group. */
export async function inspectTopics(cluster: KafkaCluster, needs: LogNeeds): Promise<Finding[]> {
  const faults: Judgement[] = []
  const names: string[] = []
  for (const { topic, ...need } of [needs.input, ...needs.outputs.map((topic) => ({ topic }))]) {
    const found = await describeTopic(cluster, cluster.location.prefix + topic)
    if (found === undefined) continue
    names.push(topic)
    faults.push(...(Array.isArray(found) ? found : judgeTopic(found, { bootstrap: bootstrapOf(cluster), ...need })))
  }
  const missing = names.includes(needs.input.topic)
    ? []
    : [
        {
          state: 'missing',
          detail: `topic "${needs.input.topic}" is not there yet. Run: fd produce --dataset simulated`,
        } as const,
      ]
  const group = await find('permissions', () => judgeGroup(cluster, needs))
  return [
    ...(group.state === 'ok' ? [] : [group]),
    ...findings('topics', [...faults, ...missing], `${names.join(', ')}: settings as they should be`),
  ]
}

/** The topic, undefined when it is not there, or what keeps us from seeing or using it. */
async function describeTopic(cluster: KafkaCluster, name: string): Promise<ClusterTopic | Judgement[] | undefined> {
  const refused = (operations: string[]): Judgement[] =>
    operations.map((operation) =>
      broken(`this user may not ${operation} topic "${name}". ${grant(cluster, `--topic ${name}`, operation)}`),
    )
  try {
    // A topic that is not there is an answer here, and not one to wait for.
    if ((await cluster.leaders(name)) === undefined) return undefined
    const { topics, brokers } = await cluster.call({ to: 'any' }, (connection) =>
      metadataV12.api.async(connection, [name], false, true),
    )
    const [{ partitions, topicAuthorizedOperations }] = topics
    const missing = refusedOperations(topicAuthorizedOperations, ['READ', 'WRITE', 'DESCRIBE_CONFIGS'])
    if (missing.length > 0) return refused(missing)
    const resource = { resourceType: ConfigResourceTypes.TOPIC, resourceName: name, configurationKeys: SETTINGS }
    const { results } = await cluster.call({ to: 'any' }, (connection) =>
      describeConfigsV4.api.async(connection, [resource], false, false),
    )
    const settings = Object.fromEntries(results[0].configs.map(({ name, value }) => [name, value ?? '']))
    return {
      name,
      brokers: brokers.length,
      replicas: partitions.map(({ replicaNodes }) => replicaNodes.length),
      inSync: Math.min(...partitions.map(({ isrNodes }) => isrNodes.length)),
      settings,
    }
  } catch (error) {
    if (error instanceof UserError && kafkaErrors(error.cause).includes('TOPIC_AUTHORIZATION_FAILED'))
      return refused(['DESCRIBE'])
    throw error
  }
}

async function judgeGroup(cluster: KafkaCluster, { group, input }: LogNeeds): Promise<string | Judgement> {
  const id = groupId({ cluster, group, topic: input.topic })
  const refused = broken(`this user may not READ group "${id}". ${grant(cluster, `--group ${id}`, 'READ')}`)
  try {
    const { groups } = await cluster.call({ to: 'group', key: id }, (connection) =>
      describeGroupsV5.api.async(connection, [id], true),
    )
    return refusedOperations(groups[0].authorizedOperations, ['READ']).length === 0 ? `may read group "${id}"` : refused
  } catch (error) {
    if (error instanceof UserError && kafkaErrors(error.cause).includes('GROUP_AUTHORIZATION_FAILED')) return refused
    throw error
  }
}

/** `set`: bits of AclOperation, as brokers send them; −2^31 when they do not say. */
function refusedOperations(set: number, wanted: (keyof typeof AclOperations)[]): string[] {
  return set === -(2 ** 31) ? [] : wanted.filter((operation) => (set & (1 << AclOperations[operation])) === 0)
}

function grant(cluster: KafkaCluster, resource: string, operation: string): string {
  const user = cluster.location.sasl?.username
  return `Run: kafka-acls.sh --bootstrap-server ${bootstrapOf(cluster)} --add --allow-principal User:${typeof user === 'string' ? user : 'NAME'} --operation ${operation} ${resource}`
}

function bootstrapOf(cluster: KafkaCluster): string {
  return cluster.location.brokers.map(({ host, port }) => `${host}:${port}`).join(',')
}

/** What of a topic's settings loses records, refuses them, or is less than was asked for; each with the command that mends it. */
export function judgeTopic(
  { name, brokers, replicas, inSync, settings }: ClusterTopic,
  { bootstrap, partitions, retention }: { bootstrap: string; partitions?: number; retention?: number },
): Judgement[] {
  const faults: Judgement[] = []
  const set = (setting: string): string =>
    `Run: kafka-configs.sh --bootstrap-server ${bootstrap} --alter --topic ${name} --add-config ${setting}`
  const {
    'retention.ms': kept = '-1',
    'retention.bytes': keptBytes = '-1',
    'cleanup.policy': policy = 'delete',
    'max.message.bytes': most = '',
    'min.insync.replicas': least = '1',
  } = settings
  if (partitions !== undefined && replicas.length < partitions) {
    faults.push(
      broken(
        `topic "${name}" has ${replicas.length} partition${replicas.length === 1 ? '' : 's'}, the configuration wants ${partitions}. Set scorer.partitions: ${replicas.length}, or add some before the first record is in it, since keys change their partition: ` +
          `kafka-topics.sh --bootstrap-server ${bootstrap} --alter --topic ${name} --partitions ${partitions}`,
      ),
    )
  }
  if (retention !== undefined && Number(kept) >= 0 && Number(kept) < retention) {
    faults.push(
      warning(
        `topic "${name}" keeps records for ${days(Number(kept))} days, the longest window reaches back ${days(retention)}: what is older cannot be folded again. ${set('retention.ms=-1')}`,
      ),
    )
  }
  if (partitions !== undefined && Number(keptBytes) >= 0)
    faults.push(
      warning(
        `topic "${name}" forgets what is over ${keptBytes} bytes a partition, whatever its age. ${set('retention.bytes=-1')}`,
      ),
    )
  if (policy.includes('compact'))
    faults.push(
      broken(
        `topic "${name}" is compacted (cleanup.policy=${policy}): of a key only the last event stays. ${set('cleanup.policy=delete')}`,
      ),
    )
  if (Number(most) < LARGEST_BATCH)
    faults.push(
      broken(
        `topic "${name}" takes ${most} bytes at once (max.message.bytes), fd sends up to ${LARGEST_BATCH}. ${set(`max.message.bytes=${8 << 20}`)}`,
      ),
    )
  return [
    ...faults,
    ...judgeReplicas(name, { brokers, replicas: Math.min(...replicas), inSync, least: Number(least) }, set),
  ]
}

function judgeReplicas(
  name: string,
  { brokers, replicas, inSync, least }: { brokers: number; replicas: number; inSync: number; least: number },
  set: (setting: string) => string,
): Judgement[] {
  if (inSync < least)
    return [
      broken(
        `topic "${name}" has ${inSync} of ${replicas} replicas in sync and takes no writes below ${least} (min.insync.replicas). Bring the brokers back, or see: ${set(`min.insync.replicas=${inSync}`).replace('Run: ', '')}`,
      ),
    ]
  if (brokers === 1) return []
  if (replicas === 1)
    return [
      warning(
        `topic "${name}" has one replica on a cluster of ${brokers} brokers: it is gone with its disk. Add replicas with kafka-reassign-partitions.sh, and set default.replication.factor on the brokers`,
      ),
    ]
  if (least === replicas)
    return [
      warning(
        `topic "${name}" has ${replicas} replicas and wants all of them for every write: one broker that restarts stops it. ${set(`min.insync.replicas=${replicas - 1}`)}`,
      ),
    ]
  if (least === 1)
    return [
      warning(
        `topic "${name}" takes a record as written when one of ${replicas} replicas has it (min.insync.replicas=1): it is lost with that broker. ${set('min.insync.replicas=2')}`,
      ),
    ]
  return []
}

function days(milliseconds: number): string {
  return String(Number((milliseconds / DAY).toFixed(2)))
}
