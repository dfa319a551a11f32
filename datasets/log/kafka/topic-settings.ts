import {
  AclOperations,
  ConfigResourceTypes,
  describeConfigsV4,
  describeGroupsV5,
  metadataV12,
} from '@platformatic/kafka'
import { broken, find, findings, type Finding, type Judgement, warning } from '../../../configs/finding.ts'
import { UserError } from '../../../configs/user-error.ts'
import { DAY, HOUR, type DurationMs } from '../../table/transaction.ts'
import type { LogNeeds } from '../event-log.ts'
import type { KafkaCluster } from './cluster.ts'
import { kafkaErrors } from './error.ts'
import { groupId } from './group.ts'
import { bootstrapServers } from './location.ts'
import { LARGEST_BATCH } from './records.ts'
import { configureTopic } from './topics.ts'

/** A topic as the cluster reports it. */
export interface ClusterTopic {
  /** With the log's prefix, as Kafka's tools name it. */
  name: string
  brokers: number
  /** By partition: how many replicas it has. */
  replicas: number[]
  /** The fewest in-sync replicas (those that have all records now) of any partition. */
  inSync: number
  settings: Record<string, string>
}

const TIMESTAMP_AHEAD = 'message.timestamp.after.max.ms'
/**
 * How far ahead a topic may take timestamps without a warning. Whoever sets more than fd's hour, since the clocks of
 * producers or of their time zones are wrong, is not told to mend it. Beyond that, nothing is dated any more: an event
 * may lie ahead of its record's timestamp by `scorer.maxAhead` only, and the timestamp by this.
 */
const MOST_AHEAD = DAY
const SETTINGS = [
  'retention.ms',
  'retention.bytes',
  'cleanup.policy',
  'max.message.bytes',
  'min.insync.replicas',
  'message.timestamp.type',
  TIMESTAMP_AHEAD,
]

/** The settings of fd's topics, and what this user may do with each of them and with the scorer's group. */
export async function inspectTopics(cluster: KafkaCluster, needs: LogNeeds): Promise<Finding[]> {
  const bootstrap = bootstrapServers(cluster.location)
  const faults: Judgement[] = []
  const names: string[] = []
  for (const { topic, ...need } of [needs.input, ...needs.outputs.map((topic) => ({ topic }))]) {
    const found = await describeTopic(cluster, cluster.location.prefix + topic)
    if (found === undefined) continue
    names.push(topic)
    faults.push(...(Array.isArray(found) ? found : judgeTopic(found, { bootstrap, ...need })))
  }
  if (!names.includes(needs.input.topic)) {
    faults.push({
      state: 'missing',
      detail: `topic "${needs.input.topic}" is not there yet. Run: fd produce --dataset simulated`,
    })
  }
  const group = await find('permissions', () => judgeGroup(cluster, needs))
  return [
    ...(group.state === 'ok' ? [] : [group]),
    ...findings('topics', faults, `${names.join(', ')}: settings as they should be`),
  ]
}

/** The topic; undefined when it is not there; or the permissions that this user lacks to see or use it. */
async function describeTopic(cluster: KafkaCluster, name: string): Promise<ClusterTopic | Judgement[] | undefined> {
  const refused = (operations: string[]): Judgement[] =>
    operations.map((operation) =>
      broken(`this user may not ${operation} topic "${name}". ${grant(cluster, `--topic ${name}`, operation)}`),
    )
  try {
    // Checked first, because the metadata request below would wait for a missing topic.
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
    if (error instanceof UserError && kafkaErrors(error.cause).includes('TOPIC_AUTHORIZATION_FAILED')) {
      return refused(['DESCRIBE'])
    }
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

/** The operations of `wanted` that are not in `set`: bits of AclOperation, or −2^31 when a broker does not say. */
function refusedOperations(set: number, wanted: (keyof typeof AclOperations)[]): string[] {
  return set === -(2 ** 31) ? [] : wanted.filter((operation) => (set & (1 << AclOperations[operation])) === 0)
}

function grant(cluster: KafkaCluster, resource: string, operation: string): string {
  const user = cluster.location.sasl?.username
  const principal = `User:${typeof user === 'string' ? user : 'NAME'}`
  const server = bootstrapServers(cluster.location)
  return (
    `Run: kafka-acls.sh --bootstrap-server ${server} --add ` +
    `--allow-principal ${principal} --operation ${operation} ${resource}`
  )
}

/** What the configuration needs of a topic, and the brokers to name in commands. */
interface TopicNeed {
  bootstrap: string
  /** Given for the topic that the scorer reads. */
  partitions?: number
  retention?: DurationMs
}

/** A topic's settings as the rules below read them. */
interface JudgedTopic {
  name: string
  need: TopicNeed
  brokers: number
  partitions: number
  /** The fewest replicas of any partition. */
  replicas: number
  inSync: number
  /** retention.ms; negative keeps all. */
  kept: number
  /** retention.bytes; negative keeps all. */
  keptBytes: string
  policy: string
  /** max.message.bytes. */
  most: string
  /** min.insync.replicas. */
  least: number
  /** How far ahead of the broker's clock a record's timestamp may lie, ms. */
  ahead: number
}

interface TopicRule {
  /** How bad a violation is. */
  state: typeof broken | typeof warning
  violatedBy(topic: JudgedTopic): boolean
  says(topic: JudgedTopic): string
}

/** Settings that lose records, refuse them, or are less than was asked for; each with the command that mends it. */
const SETTING_RULES: TopicRule[] = [
  {
    state: broken,
    violatedBy: ({ need, partitions }) => need.partitions !== undefined && partitions < need.partitions,
    says: ({ name, need, partitions }) =>
      `topic "${name}" has ${partitions} partition${partitions === 1 ? '' : 's'}, ` +
      `the configuration wants ${need.partitions}. Set scorer.partitions: ${partitions}, ` +
      'or add some before the first record is in it, since keys change their partition: ' +
      `kafka-topics.sh --bootstrap-server ${need.bootstrap} --alter --topic ${name} --partitions ${need.partitions}`,
  },
  {
    state: warning,
    violatedBy: ({ need, kept }) => need.retention !== undefined && kept >= 0 && kept < need.retention,
    says: (topic) =>
      `topic "${topic.name}" keeps records for ${days(topic.kept)} days, ` +
      `the longest window reaches back ${days(topic.need.retention ?? 0)}: what is older cannot be folded again. ` +
      `Run: ${configure(topic, 'retention.ms=-1')}`,
  },
  {
    state: warning,
    violatedBy: ({ need, keptBytes }) => need.partitions !== undefined && Number(keptBytes) >= 0,
    says: (topic) =>
      `topic "${topic.name}" forgets what is over ${topic.keptBytes} bytes a partition, whatever its age. ` +
      `Run: ${configure(topic, 'retention.bytes=-1')}`,
  },
  {
    state: broken,
    violatedBy: ({ policy }) => policy.includes('compact'),
    says: (topic) =>
      `topic "${topic.name}" is compacted (cleanup.policy=${topic.policy}): of a key only the last event stays. ` +
      `Run: ${configure(topic, 'cleanup.policy=delete')}`,
  },
  {
    state: warning,
    violatedBy: ({ need, ahead }) => need.partitions !== undefined && ahead > MOST_AHEAD,
    says: (topic) =>
      `topic "${topic.name}" takes records with a timestamp up to ${days(topic.ahead)} days ahead ` +
      `(${TIMESTAMP_AHEAD}): ` +
      'one of them, from whoever may write to it, carries an event that makes all later ones of its card late. ' +
      `Run: ${configure(topic, `${TIMESTAMP_AHEAD}=${HOUR}`)}`,
  },
  {
    state: broken,
    violatedBy: ({ most }) => Number(most) < LARGEST_BATCH,
    says: (topic) =>
      `topic "${topic.name}" takes ${topic.most} bytes at once (max.message.bytes), ` +
      `fd sends up to ${LARGEST_BATCH}. Run: ${configure(topic, `max.message.bytes=${8 << 20}`)}`,
  },
]

/** Settings of replication. The first rule that a topic violates hides those after it. */
const REPLICA_RULES: TopicRule[] = [
  {
    state: broken,
    violatedBy: ({ inSync, least }) => inSync < least,
    says: (topic) =>
      `topic "${topic.name}" has ${topic.inSync} of ${topic.replicas} replicas in sync ` +
      `and takes no writes below ${topic.least} (min.insync.replicas). ` +
      `Bring the brokers back, or see: ${configure(topic, `min.insync.replicas=${topic.inSync}`)}`,
  },
  {
    state: warning,
    violatedBy: ({ brokers, replicas }) => brokers !== 1 && replicas === 1,
    says: ({ name, brokers }) =>
      `topic "${name}" has one replica on a cluster of ${brokers} brokers: it is gone with its disk. ` +
      'Add replicas with kafka-reassign-partitions.sh, and set default.replication.factor on the brokers',
  },
  {
    state: warning,
    violatedBy: ({ brokers, replicas, least }) => brokers !== 1 && least === replicas,
    says: (topic) =>
      `topic "${topic.name}" has ${topic.replicas} replicas and wants all of them for every write: ` +
      'one broker that restarts stops it. ' +
      `Run: ${configure(topic, `min.insync.replicas=${topic.replicas - 1}`)}`,
  },
  {
    state: warning,
    violatedBy: ({ brokers, least }) => brokers !== 1 && least === 1,
    says: (topic) =>
      `topic "${topic.name}" takes a record as written when one of ${topic.replicas} replicas has it ` +
      '(min.insync.replicas=1): it is lost with that broker. ' +
      `Run: ${configure(topic, 'min.insync.replicas=2')}`,
  },
]

/** The faults of a topic's settings, each with what mends it. */
export function judgeTopic(topic: ClusterTopic, need: TopicNeed): Judgement[] {
  const { name, brokers, replicas, inSync, settings } = topic
  const judged: JudgedTopic = {
    name,
    need,
    brokers,
    partitions: replicas.length,
    replicas: Math.min(...replicas),
    inSync,
    kept: Number(settings['retention.ms'] ?? '-1'),
    keptBytes: settings['retention.bytes'] ?? '-1',
    policy: settings['cleanup.policy'] ?? 'delete',
    most: settings['max.message.bytes'] ?? '',
    least: Number(settings['min.insync.replicas'] ?? '1'),
    ahead: settings['message.timestamp.type'] === 'LogAppendTime' ? 0 : Number(settings[TIMESTAMP_AHEAD] ?? '0'),
  }
  const replication = REPLICA_RULES.find((rule) => rule.violatedBy(judged))
  const rules = SETTING_RULES.filter((rule) => rule.violatedBy(judged))
  if (replication !== undefined) rules.push(replication)
  return rules.map(({ state, says }) => state(says(judged)))
}

function configure({ name, need }: JudgedTopic, setting: string): string {
  return configureTopic(need.bootstrap, name, setting)
}

function days(milliseconds: DurationMs): string {
  return String(Number((milliseconds / DAY).toFixed(2)))
}
