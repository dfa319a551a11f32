import type { EpochMs } from '../../table/transaction.ts'
import type { RecordBatch } from '../event-log.ts'
import type { Bell } from './bell.ts'
import { endOffset, offsetAt, partitionCursor, type Partition, type PartitionCursor } from './partition.ts'
import type { TopicStore } from './topic-store.ts'
import type { Volume } from './volume.ts'

/** Reads one partition of a topic. The topic may have no record, and so no home, yet. */
export interface PartitionReader {
  /** The offset the next record will get. */
  end(): number
  /** As `EventLog.offsetAt`. */
  offsetAt(time: EpochMs): number
  /** Does what `PartitionCursor.take` does, on the newest snapshot. */
  take(from: number, maxRecords: number, end: number): RecordBatch | undefined
  /**
   * The bell that announces news of the partition, and how often it was heard. Listen first, then take, then wait: so
   * no news is missed between two calls.
   */
  listen(): { bell: Bell; heard: number }
}

/** A reader of one partition of an existing topic. */
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
      const known = find()
      return known === undefined ? 0 : known.volume.environment.read(() => endOffset(known.partition))
    },
    offsetAt(time) {
      const known = find()
      return known === undefined ? 0 : known.volume.environment.read(() => offsetAt(known.partition, time))
    },
    take(from, maxRecords, end) {
      const known = find()
      return known?.volume.environment.read(() => known.cursor.take(from, maxRecords, end))
    },
    listen() {
      const { bell } = find()?.volume ?? store.shared
      return { bell, heard: bell.heard() }
    },
  }
}
