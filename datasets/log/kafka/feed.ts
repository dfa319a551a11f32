import { setTimeout as sleep } from 'node:timers/promises'
import { type Connection, ProtocolError } from '@platformatic/kafka'
import { UserError } from '../../../configs/user-error.ts'
import type { DurationMs } from '../../table/transaction.ts'
import type { OffsetRange, RecordBatch } from '../event-log.ts'
import { joinBatches, sliceBatch } from '../record-batch.ts'
import { deletedUnread } from '../retention.ts'
import type { KafkaCluster } from './cluster.ts'
import { isTransient } from './error.ts'
import { fetchPartitions, type FetchedPartition } from './fetch.ts'
import { decodeBatches } from './record-decoder.ts'

/** The feed fetches no more of a partition that has this many records waiting to be taken. */
const ENOUGH_RECORDS = 8192
/** Longest that a broker holds back an answer that would be empty. A follower then asks again. */
const LONGEST_WAIT: DurationMs = 500
const OFFSET_OUT_OF_RANGE = 1

/** What the feed reads, and how it learns a partition's bounds. */
export interface FeedSource {
  cluster: KafkaCluster
  /** Name without the log's prefix. */
  topic: string
  offsets(partition: number): Promise<OffsetRange>
  /** Names connections of the feed's own: a fetch that waits at the broker blocks requests behind it. */
  lane: string
  /** Whether every record counts, so that one that retention deleted is an error. Otherwise it is passed over. */
  complete?: boolean
}

/** What has been fetched of one partition and not yet been taken. */
interface Buffered {
  partition: number
  /** The offset to fetch next. */
  next: number
  batches: RecordBatch[]
  records: number
  /** Whether a fetch is under way. */
  asked: boolean
  /** Whether something was fetched from where the partition was added or sought. */
  begun: boolean
}

/** Committed records of some partitions of a topic, fetched ahead and returned in order. */
export class PartitionFeed {
  readonly #source: FeedSource
  readonly #buffers: Buffered[]
  readonly #fetches = new Set<Promise<void>>()
  #turn = 0
  #closed = false
  #failed: { error: unknown } | undefined

  constructor(source: FeedSource, positions: Map<number, number>) {
    this.#source = source
    this.#buffers = [...positions].map(([partition, next]) => emptyBuffer(partition, next))
  }

  /** Whether there is no partition to read. An empty feed never fetches. */
  get empty(): boolean {
    return this.#buffers.length === 0
  }

  /** Adds a partition, to be read from offset `next`. */
  add(partition: number, next: number): void {
    this.#buffers.push(emptyBuffer(partition, next))
  }

  /** Stops reading a partition and discards what has been fetched of it. */
  drop(partition: number): void {
    const at = this.#buffers.findIndex((buffer) => buffer.partition === partition)
    if (at >= 0) this.#buffers.splice(at, 1)
  }

  /** The offset after everything that was taken, including transaction markers. */
  position(partition: number): number {
    const { batches, next } = this.#buffer(partition)
    return batches.length > 0 ? batches[0].offsets[0] : next
  }

  seek(partition: number, offset: number): void {
    Object.assign(this.#buffer(partition), { next: offset, batches: [], records: 0, begun: false })
  }

  /** At most `maxRecords` of the first partition that has records, beginning with the one whose turn it is. */
  take(maxRecords: number): RecordBatch | undefined {
    this.#throwIfFailed()
    const count = this.#buffers.length
    for (let i = 0; i < count; i++) {
      const buffer = this.#buffers[(this.#turn + i) % count]
      if (buffer.batches.length === 0) continue
      this.#turn = (this.#turn + i + 1) % count
      const batch = takeFrom(buffer, maxRecords)
      // Fetch what is needed next while the caller works on this batch.
      if (buffer.records < ENOUGH_RECORDS) this.#askInBackground()
      return batch
    }
    return undefined
  }

  /** Whether fetches are under way. Such a fetch may have been sent too early to return what has arrived since. */
  get busy(): boolean {
    return this.#fetches.size > 0
  }

  /**
   * Resolves when a fetch is answered, or on abort. The broker holds back an empty answer for `wait`, 0.5 s at most.
   */
  async fill(wait: DurationMs, signal?: AbortSignal): Promise<void> {
    const { promise: aborted, resolve } = Promise.withResolvers<void>()
    const abort = (): void => resolve()
    signal?.addEventListener('abort', abort, { once: true })
    try {
      await Promise.race([this.#ask(wait).then(() => this.#nextAnswer()), aborted])
    } finally {
      signal?.removeEventListener('abort', abort)
    }
    this.#throwIfFailed()
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#source.cluster.closeLane(this.#source.lane)
    await Promise.all(this.#fetches)
  }

  #nextAnswer(): Promise<void> | undefined {
    // The last answer may have come while others were asked for, and a race of no promises would never end.
    return this.#fetches.size === 0 ? undefined : Promise.race(this.#fetches)
  }

  #askInBackground(): void {
    this.#ask(0).catch((error: unknown) => (this.#failed ??= { error }))
  }

  /** Sends each leader one fetch, for its partitions that have too few records and no fetch under way. */
  async #ask(wait: DurationMs): Promise<void> {
    const { cluster, topic } = this.#source
    const found = await cluster.leaders(cluster.location.prefix + topic)
    if (found === undefined) throw new UserError(`Topic "${topic}" is there no longer. See: fd topics list`)
    const wanted = this.#buffers.filter(({ asked, records }) => !asked && records < ENOUGH_RECORDS)
    for (const group of Map.groupBy(wanted, ({ partition }) => found[partition]).values()) {
      for (const buffer of group) buffer.asked = true
      const fetch = this.#fetch(group, Math.min(wait, LONGEST_WAIT))
        .catch((error: unknown) => {
          if (!this.#closed) this.#failed ??= { error }
        })
        .finally(() => {
          for (const buffer of group) buffer.asked = false
          this.#fetches.delete(fetch)
        })
      this.#fetches.add(fetch)
    }
  }

  async #fetch(group: Buffered[], wait: DurationMs): Promise<void> {
    const { cluster, topic, lane } = this.#source
    const name = cluster.location.prefix + topic
    const from = group.map(({ partition, next }) => ({ partition, offset: next }))
    const route = { to: 'leader', topic: name, partition: from[0].partition } as const
    const request = (connection: Connection): Promise<FetchedPartition[]> =>
      fetchPartitions(connection, name, from, Math.ceil(wait))
    // A closed feed has cut its own connection. That is not a fault to retry.
    const answers = await cluster.retry(async () => (this.#closed ? [] : cluster.once(route, request, lane)))
    for (const [i, { offset, partition }] of from.entries()) {
      const answer = answers.find((candidate) => candidate.partition === partition)
      // The position may have changed meanwhile, by `seek`.
      if (answer !== undefined && group[i].next === offset) await this.#absorb(group[i], answer)
    }
  }

  async #absorb(buffer: Buffered, { error, bytes, aborted }: FetchedPartition): Promise<void> {
    const { cluster, topic } = this.#source
    if (error === OFFSET_OUT_OF_RANGE) return this.#comeInRange(buffer)
    if (error !== 0) {
      const refusal = new ProtocolError(error)
      if (!isTransient(refusal)) throw refusal
      cluster.forget()
      await sleep(50)
      return
    }
    const { batches, next } = decodeBatches(bytes, topic, buffer.partition, buffer.next, aborted)
    buffer.batches.push(...batches)
    buffer.records += batches.reduce((sum, { size }) => sum + size, 0)
    buffer.next = next
    buffer.begun = true
  }

  /**
   * Before the oldest kept record, the feed moves up to it, or fails where every record counts and some were read.
   * Beyond the end, it waits until the log gets there.
   */
  async #comeInRange(buffer: Buffered): Promise<void> {
    const asked = buffer.next
    const { start } = await this.#source.offsets(buffer.partition)
    if (buffer.next !== asked) return
    const { complete, topic } = this.#source
    if (asked < start && complete && buffer.begun) throw deletedUnread(topic, buffer.partition, asked, start)
    if (asked < start) buffer.next = start
    else await sleep(100)
  }

  #buffer(partition: number): Buffered {
    const buffer = this.#buffers.find((candidate) => candidate.partition === partition)
    if (buffer === undefined) {
      throw new UserError(`Partition ${partition} of topic "${this.#source.topic}" is not read here.`)
    }
    return buffer
  }

  #throwIfFailed(): void {
    if (this.#failed !== undefined) throw this.#failed.error
  }
}

function emptyBuffer(partition: number, next: number): Buffered {
  return { partition, next, batches: [], records: 0, asked: false, begun: false }
}

/** The first records of the buffer, at most `maxRecords`, joined from as many fetched batches as needed. */
function takeFrom(buffer: Buffered, maxRecords: number): RecordBatch {
  const parts: RecordBatch[] = []
  let size = 0
  while (buffer.batches.length > 0 && size < maxRecords) {
    const [first] = buffer.batches
    const count = Math.min(first.size, maxRecords - size)
    parts.push(sliceBatch(first, 0, count))
    if (count === first.size) buffer.batches.shift()
    else buffer.batches[0] = sliceBatch(first, count, first.size)
    size += count
  }
  buffer.records -= size
  return joinBatches(parts)
}
