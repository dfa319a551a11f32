import { join } from 'node:path'
import { UserError } from '../../../configs/user-error.ts'
import type { EpochMs } from '../../table/transaction.ts'
import type { NewRecord } from '../event-log.ts'
import { unknownTopic } from '../log-name.ts'
import { partitionOf } from '../murmur2.ts'
import { encodeBlocks, keyBytes, type RecordBlock } from './block.ts'
import { appendBlocks, expireBlocks, type Partition } from './partition.ts'
import { openCatalog, type Catalog, type CatalogEntry, type Home, type PlacedEntry } from './topic-catalog.ts'
import { openVolume, type Volume } from './volume.ts'

/** The topics of a log. Opens a topic's volume when it is first needed. */
export interface TopicStore {
  shared: Volume
  catalog: Catalog
  /** @throws UserError when there is no such topic; the message lists those that exist. */
  require(name: string): CatalogEntry
  /** The volume of a topic. For a topic without a home, the shared one: its bell rings when the topic gets a home. */
  volumeOf(entry: CatalogEntry): Volume
  partition(entry: CatalogEntry, number: number): Partition
  /** The topic for a writer. Makes a missing topic and gives it a home. Remembered, because a topic never moves. */
  place(name: string, home: Home): PlacedEntry
  /**
   * Encodes records by partition, for `write`. Call it before the transaction, to hold the writer's lock only shortly.
   */
  encode(entry: CatalogEntry, records: NewRecord[]): EncodedRecords
  /** Appends, and deletes what the topic's retention does not keep. Call within a write transaction of its volume. */
  write(encoded: EncodedRecords): void
  close(): Promise<void>
}

export interface EncodedRecords {
  entry: CatalogEntry
  partitions: { partition: Partition; blocks: RecordBlock[] }[]
}

/** Opens the log in `folder`, and creates it if it is missing. @throws UserError as `openEnvironment`. */
export function openTopicStore(folder: string, sync: boolean): TopicStore {
  const shared = openVolume(join(folder, 'shared'), { sync })
  const catalog = openCatalog(shared)
  const volumes = new Map<string, Volume>()
  const placed = new Map<string, PlacedEntry>()
  const volumeOf = (entry: CatalogEntry): Volume => {
    if (entry.home !== 'own') return shared
    const volume = volumes.get(entry.name) ?? openVolume(join(folder, 'topics', entry.name), { sync })
    volumes.set(entry.name, volume)
    return volume
  }
  const partition = (entry: CatalogEntry, number: number): Partition => partitionIn(volumeOf(entry), entry, number)
  return {
    shared,
    catalog,
    volumeOf,
    partition,
    require: (name) => requireEntry(catalog, name),
    place(name, home) {
      const entry = placed.get(name) ?? catalog.place(name, home)
      placed.set(name, entry)
      return entry
    },
    encode: (entry, records) => ({
      entry,
      partitions: [...byPartition(entry, records)].map(([number, rows]) => ({
        partition: partition(entry, number),
        blocks: encodeBlocks(rows),
      })),
    }),
    write: recordWriter(),
    async close() {
      for (const volume of [...volumes.values(), shared]) await volume.close()
      volumes.clear()
    },
  }
}

function partitionIn(volume: Volume, { name }: CatalogEntry, number: number): Partition {
  return { blocks: volume.database(`topic ${name}`), topic: name, number, file: volume.environment.file }
}

/** @throws UserError when there is no such topic; the message lists those that exist. */
function requireEntry(catalog: Catalog, name: string): CatalogEntry {
  const entry = catalog.find(name)
  if (entry !== undefined) return entry
  throw unknownTopic(
    name,
    catalog.list().map((topic) => topic.name),
  )
}

/** `write` of a topic store. Remembers for each partition when its oldest block expires, to look for it only then. */
function recordWriter(): TopicStore['write'] {
  const expiry = new Map<string, EpochMs>()
  return ({ entry, partitions }) => {
    for (const { partition, blocks } of partitions) {
      appendBlocks(partition, blocks)
      if (entry.retention === undefined) continue
      const id = `${entry.name} ${partition.number}`
      const { newest } = blocks[blocks.length - 1]
      if ((expiry.get(id) ?? -Infinity) < newest - entry.retention) {
        expiry.set(id, expireBlocks(partition, newest, entry.retention))
      }
    }
  }
}

function byPartition(entry: CatalogEntry, records: NewRecord[]): Map<number, NewRecord[]> {
  if (entry.partitions === 1 && records.every((record) => record.partition === undefined)) {
    return new Map(records.length === 0 ? [] : [[0, records]])
  }
  const groups = new Map<number, NewRecord[]>()
  for (const record of records) {
    const number = record.partition ?? (record.key === undefined ? 0 : partitionOf(keyBytes(record), entry.partitions))
    checkPartition(entry, number)
    const group = groups.get(number)
    if (group === undefined) groups.set(number, [record])
    else group.push(record)
  }
  return groups
}

/** @throws UserError when the topic has no partition of this number. */
export function checkPartition(entry: CatalogEntry, number: number): void {
  if (Number.isInteger(number) && number >= 0 && number < entry.partitions) return
  throw new UserError(`Topic "${entry.name}" has no partition ${number}: it has ${entry.partitions}, counted from 0.`)
}
