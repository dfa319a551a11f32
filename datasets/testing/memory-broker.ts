import { UserError } from '../../configs/user-error.ts'
import type { NewRecord, RecordBatch, TopicSettings } from '../log/event-log.ts'
import { checkLogName, isLogName, unknownTopic } from '../log/log-name.ts'
import { partitionOf } from '../log/murmur2.ts'

interface StoredRecord {
  key: Buffer
  value: Buffer
  timestamp: number
}

export interface MemoryTopic {
  name: string
  partitions: StoredRecord[][]
  retention: number | undefined
}

interface Owner {
  /** Rises with every owner. A commit shows the epoch under which its member took the partition. */
  epoch: number
  member: number | undefined
  committed: number
}

export interface MemoryMembership {
  number: number
  process: string
}

/** The members of a group on a topic, and who owns which partition. */
export interface MemoryGroup {
  group: string
  topic: string
  members: MemoryMembership[]
  /** By partition. */
  owners: Owner[]
  /** The number of the next member. */
  next: number
  /** Rises with every change. */
  version: number
  /** Resolves at the next change. */
  changed: Promise<void>
}

/** What the processes that have a log in memory open share. */
export class MemoryBroker {
  readonly topics = new Map<string, MemoryTopic>()
  /** By group and topic. */
  readonly groups = new Map<string, MemoryGroup>()
  /** Resolves at the next change. */
  changed: Promise<void>
  #ring: () => void
  /** By group: resolves its `changed`. */
  readonly #tell = new Map<MemoryGroup, () => void>()

  /** Called just before a commit takes effect, in the same step. */
  onCommit: (group: MemoryGroup, partition: number, next: number) => void = () => {}

  constructor() {
    ;({ promise: this.changed, resolve: this.#ring } = Promise.withResolvers<void>())
  }

  /** Wakes all who wait. */
  ring(): void {
    this.#ring()
    ;({ promise: this.changed, resolve: this.#ring } = Promise.withResolvers<void>())
  }

  /** Makes the topic if it is missing. */
  ensure(name: string, { partitions = 1, retention }: Partial<TopicSettings> = {}): MemoryTopic {
    const known = this.topics.get(name)
    if (known !== undefined) return known
    checkLogName(name)
    const topic = { name, partitions: Array.from({ length: partitions }, () => []), retention }
    this.topics.set(name, topic)
    return topic
  }

  require(name: string): MemoryTopic {
    const topic = isLogName(name) ? this.topics.get(name) : undefined
    if (topic === undefined) throw unknownTopic(name, this.names())
    return topic
  }

  names(): string[] {
    return [...this.topics.keys()].toSorted()
  }

  group(group: string, topic: string): MemoryGroup {
    const id = `${group}\0${topic}`
    let found = this.groups.get(id)
    if (found === undefined) {
      const owners = this.require(topic).partitions.map(() => ({ epoch: 0, member: undefined, committed: 0 }))
      const { promise: changed, resolve } = Promise.withResolvers<void>()
      found = { group, topic, members: [], owners, next: 0, version: 0, changed }
      this.#tell.set(found, resolve)
      this.groups.set(id, found)
    }
    return found
  }

  /** Removes members as a session that is over does. They go on, and learn of it when they next look. */
  evict(group: MemoryGroup, gone: (member: MemoryMembership) => boolean): void {
    const left = group.members.filter((member) => !gone(member))
    if (left.length === group.members.length) return
    group.members = left
    for (const owner of group.owners) if (!left.some(({ number }) => number === owner.member)) owner.member = undefined
    this.change(group)
  }

  /** Notes that a group has changed. */
  change(group: MemoryGroup): void {
    group.version++
    this.#tell.get(group)?.()
    const { promise: changed, resolve } = Promise.withResolvers<void>()
    group.changed = changed
    this.#tell.set(group, resolve)
    this.ring()
  }

  write(name: string, records: readonly NewRecord[]): void {
    const { partitions } = this.ensure(name)
    const placed = records.map((record) => {
      const key = Buffer.from(record.key ?? '')
      const partition = record.partition ?? (key.length === 0 ? 0 : partitionOf(key, partitions.length))
      if (partitions[partition] === undefined) throw new UserError(`Topic "${name}" has no partition ${partition}`)
      return { partition, stored: { key, value: Buffer.from(record.value), timestamp: record.timestamp } }
    })
    for (const { partition, stored } of placed) partitions[partition].push(stored)
    this.ring()
  }

  /** The offset of the first record with this timestamp or a later one; the end when there is none. */
  offsetAt(name: string, partition: number, time: number): number {
    const all = this.require(name).partitions[partition]
    if (all === undefined) throw new UserError(`Topic "${name}" has no partition ${partition}`)
    const found = all.findIndex(({ timestamp }) => timestamp >= time)
    return found < 0 ? all.length : found
  }

  /** Records `from` to below `end`, at most `most`. Undefined when there is none. */
  batch(name: string, partition: number, from: number, most: number, end = Infinity): RecordBatch | undefined {
    const all = this.require(name).partitions[partition]
    const records = all.slice(from, Math.min(end, from + most))
    return records.length === 0 ? undefined : batchOf(name, partition, from, records)
  }
}

function batchOf(topic: string, partition: number, from: number, records: readonly StoredRecord[]): RecordBatch {
  const size = records.length
  const batch = {
    topic,
    partition,
    size,
    offsets: Float64Array.from(records, (_, i) => from + i),
    timestamps: Float64Array.from(records, ({ timestamp }) => timestamp),
    bytes: Buffer.concat(records.flatMap(({ key, value }) => [key, value])),
    keyStart: new Uint32Array(size),
    valueStart: new Uint32Array(size),
    valueEnd: new Uint32Array(size),
  }
  let at = 0
  for (const [i, { key, value }] of records.entries()) {
    batch.keyStart[i] = at
    batch.valueStart[i] = at + key.length
    at += key.length + value.length
    batch.valueEnd[i] = at
  }
  return batch
}
