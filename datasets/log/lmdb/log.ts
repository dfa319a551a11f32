import { setImmediate as turnOfTheLoop } from 'node:timers/promises'
import { UserError } from '../../../configs/user-error.ts'
import { SECOND, type DurationMs } from '../../table/transaction.ts'
import type { EventLog, GroupMember, NewRecord, ReadOptions, RecordBatch, Topic } from '../event-log.ts'
import { checkLogName } from '../log-name.ts'
import { joinGroup } from './member.ts'
import { partitionReader } from './partition-reader.ts'
import { endOffset, startOffset } from './partition.ts'
import type { CatalogEntry } from './topic-catalog.ts'
import { checkPartition, openTopicStore, type TopicStore } from './topic-store.ts'

/**
 * The embedded event log: LMDB environments under one folder, shared by any number of processes.
 *
 *     FOLDER/shared/       the catalog of topics, the groups' owners and offsets, and every topic that a commit writes
 *     FOLDER/topics/NAME/  a topic that `append` writes
 *
 * **Environments.** An LMDB environment has one writer at a time. So a topic that is appended to has an environment of
 * its own, and its producer never waits for the scorer's disk. Everything that a commit writes is in one environment,
 * so that a commit is one LMDB transaction. The first writer of a topic decides (`topic-catalog.ts`). Reading and
 * appending work the same way in both.
 *
 * **Groups.** Members of a group find each other in the shared environment and watch each other's processes. If a
 * process has ended, or has been stopped for a session, its partitions go to the others. A member that runs but does
 * not poll keeps its partitions.
 *
 * **Durability.** A commit is on disk when the call returns, and nobody sees it before. So power loss takes nothing
 * either, and two environments agree after it. Without the sync, a group's offset could outlive the input that it
 * counts. LMDB's overlapping sync does not keep that order and cost as much. `event-log.bench.ts` prints the cost of a
 * sync by size of the commit. The scorer commits whatever has arrived, so a slower disk makes batches larger, not the
 * queue longer.
 */
export function openLmdbEventLog(url: string): EventLog {
  const { folder, sync, session } = parseLocation(url)
  const store = openTopicStore(folder, sync)
  const members: GroupMember[] = []
  return {
    async createTopic(name, settings) {
      store.catalog.ensure(name, settings)
      return describe(store, store.require(name))
    },
    topics: async () => store.catalog.list().map((entry) => describe(store, entry)),
    topic: async (name) => describe(store, store.require(name)),
    append: async (name, records) => appendRecords(store, name, records),
    read: (name, partition, options) => readRecords(store, name, partition, options),
    offsetAt: async (name, partition, time) => {
      checkPartition(store.require(name), partition)
      return partitionReader(store, name, partition).offsetAt(time)
    },
    async join(group, topic, share = {}) {
      checkLogName(group)
      const { partitions } = store.require(topic)
      const groupTopic = { groups: store.shared.database('groups'), group, topic, partitions }
      const member = await joinGroup(store, groupTopic, session, share)
      members.push(member)
      return member
    },
    async [Symbol.asyncDispose]() {
      for (const member of members) await member[Symbol.asyncDispose]()
      await store.close()
    },
  }
}

interface LmdbLocation {
  folder: string
  sync: boolean
  session: DurationMs
}

/**
 * Reads `FOLDER[?PARAMETER=VALUE&…]`:
 *
 *     sync     false: commits survive the death of processes, but not of the machine. For tests and measurements
 *     session  seconds for which a group's member may be stopped before the others divide its partitions (10)
 *
 * @throws UserError for anything else.
 */
function parseLocation(location: string): LmdbLocation {
  const [folder, query = ''] = location.split('?')
  const { sync = 'true', session = '10', ...others } = Object.fromEntries(new URLSearchParams(query))
  if (folder === '' || !['true', 'false'].includes(sync) || !(Number(session) > 0) || Object.keys(others).length > 0) {
    throw new UserError(`No event log at "lmdb:${location}". Use lmdb:FOLDER[?sync=false&session=SECONDS].`)
  }
  return { folder, sync: sync === 'true', session: Number(session) * SECOND }
}

function describe(store: TopicStore, entry: CatalogEntry): Topic {
  const { name, partitions, retention } = entry
  if (entry.home === undefined) {
    return { name, partitions, retention, offsets: Array.from({ length: partitions }, () => ({ start: 0, end: 0 })) }
  }
  const all = Array.from({ length: partitions }, (_, number) => store.partition(entry, number))
  const offsets = store
    .volumeOf(entry)
    .environment.read(() => all.map((partition) => ({ start: startOffset(partition), end: endOffset(partition) })))
  return { name, partitions, retention, offsets }
}

function appendRecords(store: TopicStore, name: string, records: NewRecord[]): void {
  const entry = store.place(name, 'own')
  const encoded = store.encode(entry, records)
  if (encoded.partitions.length > 0) store.volumeOf(entry).write(() => store.write(encoded))
}

async function* readRecords(
  store: TopicStore,
  name: string,
  number: number,
  options: ReadOptions = {},
): AsyncGenerator<RecordBatch, void, undefined> {
  const { from = 0, maxRecords = 1024, follow = false, signal } = options
  checkPartition(store.require(name), number)
  const reader = partitionReader(store, name, number)
  const end = follow ? Infinity : reader.end()
  let next = from
  while (!aborted(signal)) {
    const { bell, heard } = reader.listen()
    const batch = reader.take(next, maxRecords, end)
    if (batch !== undefined) {
      next = batch.offsets[batch.size - 1] + 1
      yield batch
      // Signals, timers and sockets get their turn while a process reads a long backlog.
      await turnOfTheLoop()
      continue
    }
    if (!follow) return
    await bell.wait(heard, signal)
  }
}

function aborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true
}
