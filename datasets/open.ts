import type { Finding, Inspection } from '../configs/finding.ts'
import type { Tell } from '../configs/tell.ts'
import { withoutPassword } from '../configs/url.ts'
import { UserError } from '../configs/user-error.ts'
import type { Lake } from './lake/lake.ts'
import type { S3Options } from './lake/s3-bucket.ts'
import type { EventLog, LogNeeds } from './log/event-log.ts'

/**
 * Opens the log that `url` names: `lmdb:FOLDER[?…]` for the embedded one (parameters in `log/lmdb/log.ts`), or
 * `kafka://HOST:PORT[,HOST:PORT…][?…]` for Apache Kafka (parameters in `log/kafka/location.ts`).
 *
 * `tell` receives a sentence about what a call waits for, such as a broker that is gone. Without it, Node prints that
 * sentence as a warning.
 *
 * @throws UserError for a URL that no driver knows.
 */
export async function openEventLog(url: string, tell: Tell = warn): Promise<EventLog> {
  if (url.startsWith('lmdb:')) return (await import('./log/lmdb/log.ts')).openLmdbEventLog(url.slice('lmdb:'.length))
  if (url.startsWith('kafka:')) return (await import('./log/kafka/log.ts')).openKafkaEventLog(url, tell)
  throw new UserError(`No event log driver for "${withoutPassword(url)}". Use lmdb:FOLDER or kafka://HOST:PORT.`)
}

/**
 * Inspects the service behind `url` from the point of view of a user who is about to use it: server, latency,
 * permissions, topics, clock. Creates a trial topic and removes it. Finds nothing for an embedded log: opening one
 * already inspects it.
 *
 * @throws UserError for a URL that cannot be read.
 */
export async function inspectEventLog(url: string, inspection: Inspection, needs: LogNeeds): Promise<Finding[]> {
  return url.startsWith('kafka:')
    ? (await import('./log/kafka/inspection.ts')).inspectKafka(url, inspection, needs)
    : []
}

function warn(message: string): void {
  process.emitWarning(message, 'EventLog')
}

/**
 * Opens the lake that `url` names: `file:FOLDER`, or
 * `s3://BUCKET[/PREFIX][?endpoint=URL&region=NAME&patience=SECONDS]`, whose store is not contacted before the first
 * call.
 *
 * @param s3 keys and endpoint of the store, for an S3 lake.
 * @param tell receives a sentence when a call waits for the store.
 * @throws UserError for a URL that no driver knows.
 */
export async function openLake(url: string, s3: S3Options = {}, tell: Tell = () => {}): Promise<Lake> {
  if (url.startsWith('file:') && url.length > 'file:'.length) {
    return (await import('./lake/folder.ts')).openFolderLake(url.slice('file:'.length))
  }
  if (url.startsWith('s3:')) return (await import('./lake/s3.ts')).openS3Lake(url, s3, tell)
  throw new UserError(`No lake driver for "${withoutPassword(url)}". Use file:FOLDER or s3://BUCKET.`)
}

/**
 * Inspects the store behind `url` from the point of view of a user who is about to use it: bucket, latency,
 * permissions, clock. Creates a trial object and deletes it. Finds nothing for a folder, because opening one already
 * inspects it.
 *
 * @throws UserError for an invalid URL or invalid keys.
 */
export async function inspectLake(url: string, s3: S3Options, inspection: Inspection): Promise<Finding[]> {
  return url.startsWith('s3:') ? (await import('./lake/s3-inspection.ts')).inspectS3(url, s3, inspection) : []
}
