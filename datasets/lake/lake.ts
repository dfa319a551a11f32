import type { RecordBatch } from '../log/event-log.ts'

/**
 * The lake: topics at rest, as Parquet, kept for ever. It serves batch work, which folds records in the order of the
 * stream.
 *
 * Layout. A file is `raw/TOPIC/date=YYYY-MM-DD/partition-P-offset-O.parquet`. It holds records of one partition and one
 * day (UTC, by the record's timestamp), from offset O on.
 *
 * Columns: partition, offset, key (NULL: none), timestamp and value. Key and value are BLOB: the bytes as they came,
 * whatever they are; in SQL `decode(value)` is the text. The timestamp is kept to the microsecond. One that no calendar
 * has is NULL, lies under the epoch's day and is read as 0.
 *
 * Ownership. Whoever opened a lake disposes of it; disposal waits for the writes under way. Several processes may write
 * to one lake at once.
 *
 * Durability. A written file is durable on return, whole or not at all. Writing the same offsets again replaces the
 * same files, so a writer that was killed goes on from its last committed offset.
 *
 * Ordering. `read` gives the records by partition, then offset, each once, even where files overlap.
 *
 * Errors. A fault that the user can mend is a UserError that names the file, or the store and the next step.
 */
export interface Lake extends AsyncDisposable {
  /** Writes the records of a batch. Returns the files they became. */
  write(batch: RecordBatch): Promise<LakeFile[]>
  /** The files of a topic by partition, first offset and date. Without a topic: those of all topics, by topic first. */
  list(topic?: string): Promise<LakeFile[]>
  /**
   * Records of a topic in the order of (partition, offset), each once. A batch is of one partition.
   *
   * @throws UserError when the lake has no file of the topic (the message lists the topics it has), or a file cannot be
   * read.
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
  /** Offset of the first record. */
  offset: number
}
