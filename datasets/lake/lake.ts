import type { RecordBatch } from '../log/event-log.ts'

/**
 * The lake: topics at rest, as Parquet, kept for ever. A table of a topic has the columns partition, offset, key (NULL:
 * none), timestamp and value, so that batch work folds records in the order in which the stream had them.
 *
 *     raw/TOPIC/date=YYYY-MM-DD/partition-P-offset-O.parquet
 *
 * A file holds records of one partition of one day (UTC, by the record's timestamp), from offset O on. Key and value are BLOB: bytes
 * as they came, whatever they are; in SQL `decode(value)` is the text. The timestamp is kept to the microsecond; one that no
 * calendar has is NULL, lies under the epoch's day and is read as 0.
 */
export interface Lake extends AsyncDisposable {
  /**
   * Writes the records, each file whole or not at all. Writing the same offsets again replaces the same files, so a writer that
   * was killed writes on from its last committed offset. Durable on return.
   */
  write(batch: RecordBatch): Promise<LakeFile[]>
  /** The files of a topic by partition, first offset and date; of all topics, by name, when none is given. */
  list(topic?: string): Promise<LakeFile[]>
  /**
   * Records of a topic in the order of (partition, offset), each once, in batches of one partition.
   *
   * @throws UserError when the lake has no file of the topic (lists those it has), or one that cannot be read.
   */
  read(topic: string, range?: DateRange): AsyncIterable<RecordBatch>
}

/** Days in UTC as YYYY-MM-DD, both included; absent: no bound. */
export interface DateRange {
  from?: string
  to?: string
}

export interface LakeFile {
  /** Relative to the lake. */
  path: string
  topic: string
  date: string
  partition: number
  /** Of the first record. */
  offset: number
}
