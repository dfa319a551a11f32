import { type Connection, initProducerIdV4, Reader, ResponseError, Writer } from '@platformatic/kafka'
import { UserError } from '../../../configs/user-error.ts'
import type { DurationMs } from '../../table/transaction.ts'
import type { NewRecord } from '../event-log.ts'
import { partitionOf } from '../murmur2.ts'
import type { KafkaCluster } from './cluster.ts'
import { kafkaErrors } from './error.ts'
import { bootstrapServers } from './location.ts'
import { batchLength, encodeBatch } from './records.ts'
import { checkPartitionNumber, configureTopic, mostBytes } from './topics.ts'

/** A producer as the broker knows it. A higher epoch fences every lower epoch of the same id. */
export interface ProducerIdentity {
  id: bigint
  epoch: number
}

/** Records for one partition, in order. */
export interface PartitionRecords {
  /** With the log's prefix. */
  topic: string
  partition: number
  records: NewRecord[]
}

/** Longest that a broker waits for its replicas. */
const REPLICATION_MS = 30_000
const PRODUCE = 0
const PRODUCE_VERSION = 9
const ALL_REPLICAS = -1

/**
 * Divides records by partition: the one that a record names, else that of its key's hash, else 0.
 *
 * @throws UserError for a partition that the topic does not have.
 */
export function partitionRecords(
  prefix: string,
  topic: string,
  partitions: number,
  records: NewRecord[],
): PartitionRecords[] {
  const groups = new Map<number, NewRecord[]>()
  for (const record of records) {
    const number =
      record.partition ??
      (record.key === undefined || partitions === 1 ? 0 : partitionOf(bytesOf(record.key), partitions))
    checkPartitionNumber(topic, partitions, number)
    const group = groups.get(number)
    if (group === undefined) groups.set(number, [record])
    else group.push(record)
  }
  return [...groups].map(([partition, own]) => ({ topic: prefix + topic, partition, records: own }))
}

function bytesOf(key: string | Uint8Array): Uint8Array {
  return typeof key === 'string' ? Buffer.from(key) : key
}

/**
 * A new producer identity. With a transactional id, it succeeds the last identity of that id; this fences the last
 * identity and aborts its open transaction.
 */
export async function newIdentity(
  cluster: KafkaCluster,
  transactionalId: string | null,
  timeout: DurationMs,
  last: ProducerIdentity = { id: -1n, epoch: -1 },
): Promise<ProducerIdentity> {
  const route =
    transactionalId === null ? ({ to: 'any' } as const) : ({ to: 'transaction', key: transactionalId } as const)
  const { producerId, producerEpoch } = await cluster.call(route, (connection) =>
    initProducerIdV4.api.async(connection, transactionalId, timeout, last.id, last.epoch),
  )
  return { id: producerId, epoch: producerEpoch }
}

/**
 * Appends batches under one identity. The broker recognizes a repeated batch by its sequence number, so a request whose
 * answer was lost can be sent again without doubling a record. Takes one call at a time.
 */
export class SequencedWriter {
  readonly #cluster: KafkaCluster
  readonly #transactionalId: string | null
  readonly #sequences = new Map<string, number>()
  identity: ProducerIdentity

  constructor(cluster: KafkaCluster, identity: ProducerIdentity, transactionalId: string | null = null) {
    this.#cluster = cluster
    this.identity = identity
    this.#transactionalId = transactionalId
  }

  /** Continues under another identity, whose sequence numbers begin at 0. */
  become(identity: ProducerIdentity): void {
    this.identity = identity
    this.#sequences.clear()
  }

  /** Resolves when all in-sync replicas have the records. A partition's batches go one by one, partitions together. */
  async write(parts: PartitionRecords[]): Promise<void> {
    let rest = parts.map((part) => ({ ...part, from: 0 }))
    while (rest.length > 0) {
      const batches = rest.map((part) => this.#encode(part))
      await this.#cluster.retry(() => this.#send(batches))
      for (const { key, count } of batches) this.#sequences.set(key, (this.#sequence(key) + count) % 2 ** 31)
      rest = rest
        .map((part, i) => ({ ...part, from: part.from + batches[i].count }))
        .filter((part) => part.from < part.records.length)
    }
  }

  #sequence(key: string): number {
    return this.#sequences.get(key) ?? 0
  }

  #encode({ topic, partition, records, from }: PartitionRecords & { from: number }): Batch {
    const key = `${topic} ${partition}`
    const count = batchLength(records, from)
    const producer = {
      ...this.identity,
      sequence: this.#sequence(key),
      transactional: this.#transactionalId !== null,
    }
    return { topic, partition, key, count, bytes: encodeBatch(records, from, from + count, producer) }
  }

  /** Sends each leader one request. If one fails, the caller sends all again; brokers do not take a batch twice. */
  async #send(batches: Batch[]): Promise<void> {
    const byLeader = new Map<number, Batch[]>()
    for (const batch of batches) {
      const leader = (await this.#cluster.leaders(batch.topic))?.[batch.partition] ?? -1
      byLeader.set(leader, [...(byLeader.get(leader) ?? []), batch])
    }
    const sent = await Promise.allSettled(
      [...byLeader.values()].map((group) =>
        this.#cluster.once(
          { to: 'leader', ...group[0] },
          (connection) => produce(connection, this.#transactionalId, group),
          'write',
        ),
      ),
    )
    const failed = sent.find((outcome) => outcome.status === 'rejected')
    if (failed === undefined) return
    if (kafkaErrors(failed.reason).some((name) => name === 'MESSAGE_TOO_LARGE' || name === 'RECORD_LIST_TOO_LARGE'))
      throw await tooLarge(this.#cluster, batches, failed.reason)
    throw failed.reason
  }
}

interface Batch {
  topic: string
  partition: number
  /** Names topic and partition. */
  key: string
  /** Records in the batch. */
  count: number
  bytes: Buffer
}

/** The error that names the batch that is furthest over its topic's limit, and the command that raises the limit. */
async function tooLarge(cluster: KafkaCluster, batches: Batch[], cause: unknown): Promise<UserError> {
  const limits = await Promise.all(batches.map(({ topic }) => mostBytes(cluster, topic)))
  const over = batches
    .map((batch, i) => ({ ...batch, limit: limits[i], excess: batch.bytes.length - (limits[i] ?? 0) }))
    .toSorted((a, b) => b.excess - a.excess)
  const { topic, bytes, count, limit } = over[0]
  const { length } = bytes
  const what = count === 1 ? `A record of ${length} bytes is` : `${count} records sent together, ${length} bytes, are`
  const name = topic.slice(cluster.location.prefix.length)
  const enough = 2 ** Math.ceil(Math.log2(length + 1))
  return new UserError(
    `${what} over the limit of topic "${name}", which takes ${limit ?? 'fewer'} bytes at once (max.message.bytes); ` +
      'nothing of it was written, what was written before stays. ' +
      'Raise the limit, then run the command again: ' +
      configureTopic(bootstrapServers(cluster.location), topic, `max.message.bytes=${enough}`),
    { cause },
  )
}

/**
 * Sends a produce request, version 9 (Kafka protocol guide). The client library's own takes messages as objects; this
 * one takes encoded batches.
 */
function produce(connection: Connection, transactionalId: string | null, batches: Batch[]): Promise<void> {
  const topics = Map.groupBy(batches, (batch) => batch.topic)
  const writer = (): Writer =>
    Writer.create()
      .appendString(transactionalId)
      .appendInt16(ALL_REPLICAS)
      .appendInt32(REPLICATION_MS)
      .appendArray([...topics], (w, [topic, own]) => {
        w.appendString(topic).appendArray(own, (v, { partition, bytes }) => {
          v.appendInt32(partition).appendBytes(bytes)
        })
      })
      .appendTaggedFields()
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  connection.send(PRODUCE, PRODUCE_VERSION, writer, readProduceResponse, true, true, (error) =>
    error === null ? resolve() : reject(error),
  )
  return promise
}

function readProduceResponse(_correlation: number, apiKey: number, apiVersion: number, reader: Reader): void {
  const errors: [string, [number, string | null]][] = []
  reader.readArray((r) => {
    const topic = r.readString()
    r.readArray((p) => {
      const partition = p.readInt32()
      const code = p.readInt16()
      if (code !== 0) errors.push([`${topic}/${partition}`, [code, null]])
      p.readInt64()
      p.readInt64()
      p.readInt64()
      p.readArray((e) => [e.readInt32(), e.readNullableString()])
      p.readNullableString()
    })
  })
  if (errors.length > 0) throw new ResponseError(apiKey, apiVersion, Object.fromEntries(errors), {})
}
