import { apiVersionsV3, metadataV12 } from '@platformatic/kafka'
import { find, findLatency, type Finding, type Inspection, type Judgement, warning } from '../../../configs/finding.ts'
import type { LogNeeds } from '../event-log.ts'
import { KafkaCluster } from './cluster.ts'
import { parseKafkaUrl } from './location.ts'
import { inspectTopics } from './topic-settings.ts'
import { tryCluster } from './trial.ts'

/** The client's name and version, as brokers log them. */
const CLIENT = ['fd', '1'] as const

/**
 * The first `metadata.version` of each release (MetadataVersion.java of Kafka 4.3). A broker tells its metadata
 * version, but not its release.
 */
const RELEASES: [number, string][] = [
  [1, '3.0'],
  [8, '3.4'],
  [9, '3.5'],
  [12, '3.6'],
  [15, '3.7'],
  [20, '3.8'],
  [21, '3.9'],
  [22, '4.0'],
  [26, '4.1'],
  [28, '4.2'],
  [30, '4.3'],
]
const OLDEST_TESTED = 22

/**
 * Inspects a cluster as `fd` will use it: who answers and how fast, whether this user may do what fd does (tried on a
 * topic of its own, which is removed), the settings of fd's topics, and the brokers' clocks.
 */
export async function inspectKafka(url: string, inspection: Inspection, needs: LogNeeds): Promise<Finding[]> {
  await using cluster = new KafkaCluster(parseKafkaUrl(url), inspection.tell)
  const server = await find('server', () => describeCluster(cluster))
  if (server.state === 'broken') return [server]
  const latency = await findLatency(inspection.now, () =>
    cluster.call({ to: 'any' }, (connection) => apiVersionsV3.api.async(connection, ...CLIENT)),
  )
  return [server, latency, ...(await tryCluster(cluster, inspection)), ...(await inspectTopics(cluster, needs))]
}

async function describeCluster(cluster: KafkaCluster): Promise<string | Judgement> {
  const { finalizedFeatures = [] } = await cluster.call({ to: 'any' }, (connection) =>
    apiVersionsV3.api.async(connection, ...CLIENT),
  )
  const { brokers } = await cluster.call({ to: 'any' }, (connection) =>
    metadataV12.api.async(connection, [], false, false),
  )
  const level = finalizedFeatures.find(({ name }) => name === 'metadata.version')?.maxVersionLevel ?? 0
  const shown = `${cluster.location.shown}: Kafka ${releaseOf(level)} (metadata.version ${level}), ${count(brokers)}`
  if (level >= OLDEST_TESTED) return shown
  const [{ host, port }] = cluster.location.brokers
  const upgrade = `kafka-features.sh --bootstrap-server ${host}:${port} upgrade --release-version 4.3`
  return warning(`${shown}; fd is tested on 4.0 and later. When all brokers run a later one, run: ${upgrade}`)
}

function releaseOf(level: number): string {
  const [newest] = RELEASES[RELEASES.length - 1]
  const release = RELEASES.findLast(([first]) => first <= level)?.[1] ?? 'before 3.0'
  return level > newest ? `${release} or later` : release
}

function count(brokers: readonly unknown[]): string {
  return `${brokers.length} broker${brokers.length === 1 ? '' : 's'}`
}
