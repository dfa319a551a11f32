import type { Finding, Inspection } from '../configs/finding.ts'
import type { Tell } from '../configs/tell.ts'
import { UserError } from '../configs/user-error.ts'
import type { RecordBatch } from './event-log.ts'
import type { S3Options } from './s3-bucket.ts'

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

/**
 * Opens the lake that `url` names: `file:FOLDER`, or `s3://BUCKET[/PREFIX][?endpoint=URL&region=NAME&patience=SECONDS]`, which is not asked before
 * the first call.
 *
 * @param s3 keys and endpoint of the store, for an S3 lake. @param tell hears that a store is waited for.
 */
export async function openLake(url: string, s3: S3Options = {}, tell: Tell = () => {}): Promise<Lake> {
  if (url.startsWith('file:') && url.length > 'file:'.length) return (await import('./lake-folder.ts')).openFolderLake(url.slice('file:'.length))
  if (url.startsWith('s3:')) return (await import('./lake-s3.ts')).openS3Lake(url, s3, tell)
  throw new UserError(`No lake driver for "${url}". Use file:FOLDER or s3://BUCKET.`)
}

/**
 * What the store behind `url` looks like to one who will use it: bucket, latency, permissions, clock. None for a folder, which is
 * inspected by opening it. Makes an object for a trial, and deletes it.
 *
 * @throws UserError for a URL or keys that cannot be.
 */
export async function inspectLake(url: string, s3: S3Options, inspection: Inspection): Promise<Finding[]> {
  return url.startsWith('s3:') ? (await import('./s3-inspection.ts')).inspectS3(url, s3, inspection) : []
}
