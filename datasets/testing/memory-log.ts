import { UserError } from '../../configs/user-error.ts'
import type { EventLog, GroupMember, ReadOptions, RecordBatch, Topic } from '../log/event-log.ts'
import { checkLogName } from '../log/log-name.ts'
import type { MemoryBroker, MemoryTopic } from './memory-broker.ts'
import { MemoryMember } from './memory-member.ts'
import type { Scheduler } from './scheduler.ts'

/**
 * The event log in memory, as one process has it open. Every access is a step of the scheduler's. It keeps all records:
 * `retention` is remembered only.
 */
export function openMemoryLog(broker: MemoryBroker, scheduler: Scheduler): EventLog {
  const members: GroupMember[] = []
  return {
    createTopic: (name, settings) =>
      scheduler.call(`creation of ${name}`, () => describe(broker.ensure(name, settings))),
    topics: () => scheduler.call('topics', () => broker.names().map((name) => describe(broker.require(name)))),
    topic: (name) => scheduler.call(`topic ${name}`, () => describe(broker.require(name))),
    append: (name, records) => scheduler.call(`append to ${name}`, () => broker.write(name, records)),
    read: (name, partition, options) => read(broker, scheduler, name, partition, options),
    offsetAt: (name, partition, time) =>
      scheduler.call(`offset in ${name}`, () => broker.offsetAt(name, partition, time)),
    async join(group, topic, share = {}) {
      checkLogName(group)
      const member = await MemoryMember.join(broker, scheduler, group, topic, share)
      members.push(member)
      return member
    },
    async [Symbol.asyncDispose]() {
      for (const member of members) await member[Symbol.asyncDispose]()
    },
  }
}

function describe({ name, partitions, retention }: MemoryTopic): Topic {
  const offsets = partitions.map(({ length }) => ({ start: 0, end: length }))
  return { name, partitions: partitions.length, retention, offsets }
}

async function* read(
  broker: MemoryBroker,
  scheduler: Scheduler,
  name: string,
  partition: number,
  { from = 0, maxRecords = 1024, follow = false, signal }: ReadOptions = {},
): AsyncGenerator<RecordBatch, void, undefined> {
  const all = broker.require(name).partitions[partition]
  if (all === undefined) throw new UserError(`Topic "${name}" has no partition ${partition}`)
  const end = follow ? Infinity : all.length
  let next = Math.max(0, from)
  while (!aborted(signal)) {
    const { changed } = broker
    const batch = await scheduler.call(`read of ${name}`, () => broker.batch(name, partition, next, maxRecords, end))
    if (batch !== undefined) {
      next += batch.size
      yield batch
    } else if (!follow) return
    else await scheduler.wait(Infinity, changed, signal)
  }
}

function aborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true
}
