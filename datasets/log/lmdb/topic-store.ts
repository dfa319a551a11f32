import { join } from 'node:path'
import { UserError } from '../../../configs/user-error.ts'
import type { EpochMs } from '../../table/transaction.ts'
import type { NewRecord } from '../event-log.ts'
import { partitionOf } from '../murmur2.ts'
import { encodeBlocks, keyBytes, type RecordBlock } from './block.ts'
import { appendBlocks, expireBlocks, type Partition } from './partition.ts'
import { openCatalog, type Catalog, type CatalogEntry, type Home, type PlacedEntry } from './topic-catalog.ts'
import { openVolume, type Volume } from './volume.ts'

/** The topics of a log, their volumes opened when first needed. */
export interface TopicStore {
  shared: Volume
  catalog: Catalog
  /** @throws UserError when there is no such topic (lists those that exist). */
  require(name: string): CatalogEntry
  /** The volume of a topic that has a home; of one that has none yet, the shared one, whose bell rings when it gets one. */
  volumeOf(entry: CatalogEntry): Volume
  partition(entry: CatalogEntry, number: number): Partition
  /** The topic for a writer, made when missing and given a home. Remembered: a topic never moves. */
  place(name: string, home: Home): PlacedEntry
  /** Encoded records by partition, as `write` takes them. Done before the transaction, to hold the writer's lock shortly. */
  encode(entry: CatalogEntry, records: NewRecord[]): EncodedRecords
  /** Appends inside a write transaction of the topic's volume, and lets go of what the topic's retention does not keep. */
  write(encoded: EncodedRecords): void
  close(): Promise<void>
}

export interface EncodedRecords {
  entry: CatalogEntry
  partitions: { partition: Partition; blocks: RecordBlock[] }[]
}

/** Opens the log in `folder`, making it when missing. @throws UserError as `openEnvironment`. */
export function openTopicStore(folder: string, sync: boolean): TopicStore {
  const shared = openVolume(join(folder, 'shared'), { sync })
  const catalog = openCatalog(shared)
  const volumes = new Map<string, Volume>()
  const placed = new Map<string, PlacedEntry>()
  const expiry = new Map<string, EpochMs>()
  const volumeOf = (entry: CatalogEntry): Volume => {
    if (entry.home !== 'own') return shared
    const volume = volumes.get(entry.name) ?? openVolume(join(folder, 'topics', entry.name), { sync })
    volumes.set(entry.name, volume)
    return volume
  }
  const partition = (entry: CatalogEntry, number: number): Partition => {
    const volume = volumeOf(entry)
    return { blocks: volume.database(`topic ${entry.name}`), topic: entry.name, number, file: volume.environment.file }
  }
  return {
    shared,
    catalog,
    volumeOf,
    partition,
    require(name) {
      const entry = catalog.find(name)
      if (entry !== undefined) return entry
      const known = catalog.list().map((topic) => topic.name)
      throw new UserError(
        `No topic "${name}". ${known.length === 0 ? 'There is none yet; fill one with: fd produce' : `Topics: ${known.join(', ')}`}.`,
      )
    },
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
    write({ entry, partitions }) {
      for (const { partition, blocks } of partitions) {
        appendBlocks(partition, blocks)
        if (entry.retention === undefined) continue
        const id = `${entry.name} ${partition.number}`
        const newest = blocks[blocks.length - 1].newest
        if ((expiry.get(id) ?? -Infinity) < newest - entry.retention)
          expiry.set(id, expireBlocks(partition, newest, entry.retention))
      }
    },
    async close() {
      for (const volume of [...volumes.values(), shared]) await volume.close()
      volumes.clear()
    },
  }
}

function byPartition(entry: CatalogEntry, records: NewRecord[]): Map<number, NewRecord[]> {
  if (entry.partitions === 1 && records.every((record) => record.partition === undefined))
    return new Map(records.length === 0 ? [] : [[0, records]])
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
