import type { RecordBatch } from './event-log.ts'
import type { DateRange, LakeFile } from './lake.ts'
import type { EpochMs } from './transaction.ts'

/** The path of a file relative to the lake. */
export function lakePath({ topic, date, partition, offset }: Omit<LakeFile, 'path'>): string {
  return `raw/${topic}/date=${date}/partition-${partition}-offset-${offset}.parquet`
}

/** What a path says, or undefined when it is no file of a lake (one that is being written, for instance). */
export function parseLakePath(path: string): LakeFile | undefined {
  const match = /^raw\/([^/]+)\/date=(\d{4}-\d\d-\d\d)\/partition-(\d+)-offset-(\d+)\.parquet$/.exec(path)
  return match === null ? undefined : { path, topic: match[1], date: match[2], partition: Number(match[3]), offset: Number(match[4]) }
}

/** By topic, partition, first offset, date. */
export function compareLakeFiles(a: LakeFile, b: LakeFile): number {
  return compareText(a.topic, b.topic) || a.partition - b.partition || a.offset - b.offset || compareText(a.date, b.date)
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : Number(a > b)
}

/** True when the file's day is within the range. */
export function inRange({ date }: LakeFile, { from, to }: DateRange): boolean {
  return (from === undefined || date >= from) && (to === undefined || date <= to)
}

/** Rows of the batch by day (UTC) of their timestamps, in order. A timestamp outside of the calendar's years counts as the epoch's day. */
export function rowsByDate(batch: RecordBatch): Map<string, number[]> {
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
