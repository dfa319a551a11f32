import { setImmediate as turnOfTheLoop } from 'node:timers/promises'
import { UserError } from '../configs/user-error.ts'
import type { EncodedRecords, TopicStore } from './topic-store.ts'
import type { GroupMember, NewRecord, RecordBatch } from './event-log.ts'
import { assertOwner, claim, commitOffset, committedOffset, release, type GroupSeat } from './group.ts'
import { partitionReader, type PartitionReader } from './partition-reader.ts'

/** What a member knows of itself. */
interface Membership {
  store: TopicStore
  seat: GroupSeat
  epoch: number
  committed: Map<number, number>
  positions: Map<number, number>
  readers: PartitionReader[]
  /** The partition whose turn it is. */
  turn: number
}

/** Makes this process the owner of all partitions of `topic` for `group`. @throws UserError for an unknown topic, or one a living process owns. */
export function joinGroup(store: TopicStore, group: string, topic: string): GroupMember {
  const { partitions } = store.require(topic)
  const seat: GroupSeat = { groups: store.shared.database('groups'), group, topic }
  const [epoch, committed] = store.shared.write(() => {
    const claimed = claim(seat)
    return [claimed, new Map(Array.from({ length: partitions }, (_, partition) => [partition, committedOffset(seat, partition)]))]
  })
  const readers = Array.from({ length: partitions }, (_, partition) => partitionReader(store, topic, partition))
  const member: Membership = { store, seat, epoch, committed, positions: new Map(committed), readers, turn: 0 }
  return {
    committed,
    seek: (partition, offset) => void member.positions.set(partition, offset),
    poll: (options) => poll(member, options),
    idle: async () => readers.every((reader, partition) => position(member, partition) >= reader.end()),
    commit: (partition, nextOffset, outputs) => commit(member, partition, nextOffset, outputs),
    async [Symbol.asyncDispose]() {
      store.shared.write(() => release(seat, epoch))
    },
  }
}

function position(member: Membership, partition: number): number {
  return member.positions.get(partition) ?? 0
}

async function poll(member: Membership, options: { maxRecords: number; timeoutMs: number; signal?: AbortSignal }): Promise<RecordBatch | undefined> {
  // A member with a backlog would never wait: timers, signals and sockets of its process have their turn here.
  await turnOfTheLoop()
  let patience: AbortSignal | undefined
  while (options.signal?.aborted !== true) {
    const { bell, heard } = member.readers[0].listen()
    const batch = takeTurn(member, options.maxRecords)
    if (batch !== undefined) return batch
    patience ??= AbortSignal.any([AbortSignal.timeout(options.timeoutMs), ...(options.signal === undefined ? [] : [options.signal])])
    if (options.timeoutMs <= 0 || patience.aborted) return undefined
    await bell.wait(heard, patience)
  }
  return undefined
}

/** The next batch of the first partition that has one, beginning with the one whose turn it is. */
function takeTurn(member: Membership, maxRecords: number): RecordBatch | undefined {
  for (let i = 0; i < member.readers.length; i++) {
    const partition = (member.turn + i) % member.readers.length
    const batch = member.readers[partition].take(position(member, partition), maxRecords, Infinity)
    if (batch === undefined) continue
    member.positions.set(partition, batch.offsets[batch.size - 1] + 1)
    member.turn = (partition + 1) % member.readers.length
    return batch
  }
  return undefined
}

/**
 * Committed before it returns, in this thread: handed to LMDB's own, a backlog gained a tenth in throughput, a lone
 * transaction lost 0.2 ms on the way there and back, and a full disk ended the process by rejections nobody could await.
 */
async function commit(member: Membership, partition: number, nextOffset: number, outputs: Map<string, NewRecord[]>): Promise<{ durable: Promise<void> }> {
  const { store, seat, epoch } = member
  const encoded = [...outputs].map(([topic, records]) => encodeOutput(store, seat, topic, records))
  store.shared.write(() => {
    assertOwner(seat, epoch)
    for (const output of encoded) store.write(output)
    commitOffset(seat, partition, nextOffset)
  })
  member.committed.set(partition, nextOffset)
  return { durable: Promise.resolve() }
}

function encodeOutput(store: TopicStore, { group }: GroupSeat, topic: string, records: NewRecord[]): EncodedRecords {
  const entry = store.place(topic, 'shared')
  if (entry.home === 'shared') return store.encode(entry, records)
  throw new UserError(
    `Group "${group}" cannot commit to topic "${topic}": it is appended to, and so has a volume of its own. Commit to another topic, or start a new log (FD_HOME).`,
  )
}
