import { setImmediate as turnOfTheLoop } from 'node:timers/promises'
import type { Tell } from '../../../configs/tell.ts'
import type { EventLog, GroupMember, NewRecord, ReadOptions, RecordBatch } from '../event-log.ts'
import { checkLogName } from '../log-name.ts'
import { KafkaCluster } from './cluster.ts'
import { PartitionFeed } from './feed.ts'
import { parseKafkaUrl } from './location.ts'
import { joinKafkaGroup } from './member.ts'
import { newIdentity, partitionRecords, SequencedWriter } from './producer.ts'
import { checkPartitionNumber, kafkaTopics, type KafkaTopics } from './topics.ts'

/**
 * The event log on Apache Kafka 4. What the port leaves open, here:
 *
 * - Offsets have gaps: every transaction leaves a marker. `end` counts records of transactions under way; a reader whose
 *   end is fixed waits for their outcome, at most a minute when their process has died and had no successor.
 * - Timestamps are whole milliseconds. Retention is the broker's: by its clock, a segment at a time.
 * - A rebalance waits for all members of the group. One that lives but does not poll holds the others up for at most three
 *   sessions; then its partitions go to them, and it hears that they are lost.
 * - A topic is a Kafka topic of the same name, a group's topic the Kafka group GROUP/TOPIC, each behind the URL's prefix.
 *
 * `tell` hears what a call waits for, and when that is over.
 */
export function openKafkaEventLog(url: string, tell: Tell): EventLog {
  const cluster = new KafkaCluster(parseKafkaUrl(url), tell)
  const topics = kafkaTopics(cluster)
  const append = appender(cluster, topics)
  const members = new Set<GroupMember>()
  let lanes = 0
  return {
    async createTopic(name, settings) {
      await topics.ensure(name, settings)
      return (await topics.describe([name]))[0]
    },
    topics: () => topics.list(),
    topic: async (name) => (await topics.describe([name]))[0],
    append,
    read: (name, partition, options) =>
      readRecords(cluster, topics, { name, partition, lane: `reader ${lanes++}`, ...options }),
    async join(group, topic, share = {}) {
      checkLogName(group, cluster.location.prefix)
      const member = await joinKafkaGroup({ cluster, topics, group, topic, lane: `member ${lanes++}` }, share)
      members.add(member)
      return member
    },
    async [Symbol.asyncDispose]() {
      for (const member of members) await member[Symbol.asyncDispose]()
      await cluster[Symbol.asyncDispose]()
    },
  }
}

/** Appends of this log, one after the other under one identity, so that the broker can tell one that is sent again. */
function appender(cluster: KafkaCluster, topics: KafkaTopics): EventLog['append'] {
  let writer: SequencedWriter | undefined
  let last: Promise<void> = Promise.resolve()
  const write = async (name: string, records: NewRecord[]): Promise<void> => {
    await topics.ensure(name)
    const parts = partitionRecords(cluster.location.prefix, name, await topics.require(name), records)
    writer ??= new SequencedWriter(cluster, await newIdentity(cluster, null, 0))
    try {
      await writer.write(parts)
    } catch (error) {
      // What has arrived of it is unknown, and with it the next sequence number.
      writer = undefined
      throw error
    }
  }
  return (name, records) => {
    const done = last.then(() => write(name, records))
    last = done.catch(() => {})
    return done
  }
}

async function* readRecords(
  cluster: KafkaCluster,
  topics: KafkaTopics,
  what: ReadOptions & { name: string; partition: number; lane: string },
): AsyncGenerator<RecordBatch, void, undefined> {
  const { name, partition, lane, from = 0, maxRecords = 1024, follow = false, signal } = what
  checkPartitionNumber(name, await topics.require(name), partition)
  const offsets = async (): Promise<{ start: number; end: number }> => (await topics.offsets(name, [partition]))[0]
  const bounds = await offsets()
  const end = follow ? Infinity : bounds.end
  const feed = new PartitionFeed(
    { cluster, topic: name, offsets, lane },
    new Map([[partition, Math.max(from, bounds.start)]]),
  )
  try {
    while (!aborted(signal) && feed.position(partition) < end) {
      const batch = cut(feed.take(maxRecords), end)
      if (batch === undefined) {
        await feed.fill(Infinity, signal)
        continue
      }
      if (batch.size > 0) yield batch
      await turnOfTheLoop()
    }
  } finally {
    await feed.close()
  }
}

/** The batch without records from `end` on, which came after the reader did. */
function cut(batch: RecordBatch | undefined, end: number): RecordBatch | undefined {
  if (batch === undefined || batch.offsets[batch.size - 1] < end) return batch
  return { ...batch, size: batch.offsets.subarray(0, batch.size).findIndex((offset) => offset >= end) }
}

function aborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true
}
