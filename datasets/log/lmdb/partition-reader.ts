import type { RecordBatch } from '../event-log.ts'
import type { Bell } from './bell.ts'
import { endOffset, partitionCursor, type Partition, type PartitionCursor } from './partition.ts'
import type { TopicStore } from './topic-store.ts'
import type { Volume } from './volume.ts'

/** Reads one partition of a topic, which may have no record and no home yet. */
export interface PartitionReader {
  /** The offset the next record will get. */
  end(): number
  /** As `PartitionCursor.take`, on the newest snapshot. */
  take(from: number, maxRecords: number, end: number): RecordBatch | undefined
  /** The bell that announces news of the partition and how often it was heard. Listen first, then take, then wait: nothing falls between. */
  listen(): { bell: Bell; heard: number }
}

/** A reader of the partition of an existing topic. */
export function partitionReader(store: TopicStore, topic: string, number: number): PartitionReader {
  let found: { volume: Volume; partition: Partition; cursor: PartitionCursor } | undefined
  const find = (): typeof found => {
    if (found !== undefined) return found
    const entry = store.require(topic)
    if (entry.home === undefined) return undefined
    const partition = store.partition(entry, number)
    found = { volume: store.volumeOf(entry), partition, cursor: partitionCursor(partition) }
    return found
  }
  return {
    end() {
      const place = find()
      return place === undefined ? 0 : place.volume.environment.read(() => endOffset(place.partition))
    },
    take(from, maxRecords, end) {
      const place = find()
      return place?.volume.environment.read(() => place.cursor.take(from, maxRecords, end))
    },
    listen() {
      const { bell } = find()?.volume ?? store.shared
      return { bell, heard: bell.heard() }
    },
  }
}
