import { UserError } from '../../configs/user-error.ts'
import type { RecordBatch } from '../log/event-log.ts'
import type { EpochMs } from '../table/transaction.ts'
import type { DateRange, LakeFile } from './lake.ts'

/** The path of a file relative to the lake. */
function lakePath({ topic, date, partition, offset }: Omit<LakeFile, 'path'>): string {
  return `raw/${topic}/date=${date}/partition-${partition}-offset-${offset}.parquet`
}

/** The parts of a path; undefined when it is no file of a lake, for instance one that is still being written. */
export function parseLakePath(path: string): LakeFile | undefined {
  const match = /^raw\/([^/]+)\/date=(\d{4}-\d\d-\d\d)\/partition-(\d+)-offset-(\d+)\.parquet$/.exec(path)
  return match === null
    ? undefined
    : { path, topic: match[1], date: match[2], partition: Number(match[3]), offset: Number(match[4]) }
}

/** By topic, partition, first offset, date. */
export function compareLakeFiles(a: LakeFile, b: LakeFile): number {
  return (
    compareText(a.topic, b.topic) || a.partition - b.partition || a.offset - b.offset || compareText(a.date, b.date)
  )
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : Number(a > b)
}

/** Files whose day is within the range, by partition; each partition's keep their order. */
export function byPartition(files: readonly LakeFile[], { from, to }: DateRange): Map<number, LakeFile[]> {
  const inRange = files.filter(({ date }) => (from === undefined || date >= from) && (to === undefined || date <= to))
  return Map.groupBy(inRange, (file) => file.partition)
}

/** The error for a topic of which a lake has no file. @param files all files of the lake. */
export function nothingOf(topic: string, lake: string, files: readonly LakeFile[]): UserError {
  const topics = [...new Set(files.map((file) => file.topic))]
  const content = topics.length === 0 ? 'It is empty.' : `It has: ${topics.join(', ')}.`
  return new UserError(`The lake at ${lake} has nothing of topic "${topic}". ${content}`)
}

/** The files that a batch becomes, each with its rows of the batch. */
export function filesOf(batch: RecordBatch): [LakeFile, number[]][] {
  return [...rowsByDate(batch)].map(([date, rows]) => {
    const name = { topic: batch.topic, date, partition: batch.partition, offset: batch.offsets[rows[0]] }
    return [{ path: lakePath(name), ...name }, rows]
  })
}

/**
 * Rows of the batch by the day (UTC) of their timestamps, in order. A timestamp outside of the years 1 to 9999 counts
 * to the epoch's day.
 */
function rowsByDate(batch: RecordBatch): Map<string, number[]> {
  const days = new Map<string, number[]>()
  for (let row = 0; row < batch.size; row++) {
    const date = dateOf(batch.timestamps[row])
    const rows = days.get(date)
    if (rows === undefined) days.set(date, [row])
    else rows.push(row)
  }
  return days
}

const FIRST_DAY: EpochMs = Date.parse('0001-01-01T00:00:00Z')
const AFTER_LAST_DAY: EpochMs = Date.parse('9999-12-31T00:00:00Z')

function dateOf(timestamp: EpochMs): string {
  const instant = timestamp >= FIRST_DAY && timestamp < AFTER_LAST_DAY ? timestamp : 0
  return new Date(instant).toISOString().slice(0, 10)
}
