import { setImmediate as turnOfTheLoop } from 'node:timers/promises'
import type { Tell } from '../../../configs/tell.ts'
import type { EventLog, GroupMember, NewRecord, OffsetRange, ReadOptions, RecordBatch } from '../event-log.ts'
import { checkLogName } from '../log-name.ts'
import { KafkaCluster } from './cluster.ts'
import { PartitionFeed } from './feed.ts'
import { parseKafkaUrl } from './location.ts'
import { joinKafkaGroup } from './member.ts'
import { newIdentity, partitionRecords, SequencedWriter } from './producer.ts'
import { checkPartitionNumber, kafkaTopics, type KafkaTopics } from './topics.ts'

/**
 * The event log on Apache Kafka 4. It settles what the port leaves open as follows.
 *
 * **Order.** Offsets have gaps, because every transaction leaves a marker. `end` includes records of transactions under
 * way. A reader with a fixed end waits for their outcome: at most a minute, if their process has died without a
 * successor. Timestamps are whole milliseconds.
 *
 * **Retention** is the broker's: by its clock, a segment at a time.
 *
 * **Groups.** A rebalance waits for all members of the group. A member that lives but does not poll holds the others up
 * for at most three sessions. Then its partitions go to them, and its listener is told that they are lost.
 *
 * **Names.** A topic is the Kafka topic of the same name. A group of a topic is the Kafka group GROUP/TOPIC. The URL's
 * prefix precedes both.
 *
 * @param tell receives a sentence when a call begins to wait, and when the wait is over.
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
    async offsetAt(name, partition, time) {
      checkPartitionNumber(name, await topics.require(name), partition)
      return topics.offsetAt(name, partition, time)
    },
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

/** Appends one call after the other, under one producer identity, so that the broker recognizes a batch sent again. */
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
      // How much of it has arrived is unknown, and so is the next sequence number.
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
  const offsets = async (): Promise<OffsetRange> => (await topics.offsets(name, [partition]))[0]
  const bounds = await offsets()
  const end = follow ? Infinity : bounds.end
  const positions = new Map([[partition, Math.max(from, bounds.start)]])
  const feed = new PartitionFeed({ cluster, topic: name, offsets, lane }, positions)
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

/** The batch without the records from `end` on, which were appended after the read began. */
function cut(batch: RecordBatch | undefined, end: number): RecordBatch | undefined {
  if (batch === undefined || batch.offsets[batch.size - 1] < end) return batch
  return { ...batch, size: batch.offsets.subarray(0, batch.size).findIndex((offset) => offset >= end) }
}

function aborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true
}
