import { TextDecoder } from 'node:util'
import type { RecordBatch } from '../../datasets/log/event-log.ts'
import { instant } from './output.ts'
import { cutCells, padCells, printable } from './text-width.ts'

/** A record of a topic as a reader sees it. */
export interface TopicRecord {
  partition: number
  offset: number
  /** Null for a record without a key. */
  key: string | null
  timestamp: number
  /** The value that its JSON stands for, or its text when it is not JSON. */
  value: unknown
}

/** What a record must be to be shown; absent: anything. */
export interface RecordFilter {
  key?: string
  /** The earliest timestamp, EpochMs. */
  since?: number
  /** The id of the transaction that the record is about. */
  transaction?: string
}

const utf8 = new TextDecoder()

/** The records of a batch that pass the filter. `isId` tells the names of fields that hold the id of a transaction. */
export function* topicRecords(
  batch: RecordBatch,
  { key, since, transaction }: RecordFilter,
  isId: (name: string) => boolean,
): Generator<TopicRecord> {
  const wanted = key === undefined ? undefined : Buffer.from(key)
  for (let i = 0; i < batch.size; i++) {
    if (since !== undefined && !(batch.timestamps[i] >= since)) continue
    const bytes = batch.bytes.subarray(batch.keyStart[i], batch.valueStart[i])
    if (wanted?.equals(bytes) === false) continue
    const value = asJson(utf8.decode(batch.bytes.subarray(batch.valueStart[i], batch.valueEnd[i])))
    if (transaction !== undefined && !isAbout(value, transaction, isId)) continue
    yield {
      partition: batch.partition,
      offset: batch.offsets[i],
      key: bytes.length === 0 ? null : utf8.decode(bytes),
      timestamp: batch.timestamps[i],
      value,
    }
  }
}

/** The value that the text is the JSON of, or the text itself when it is not JSON. */
function asJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    if (error instanceof SyntaxError) return text
    throw error
  }
}

/** Whether a field with the id of a transaction has this value, here or in the record that a dead letter carries. */
function isAbout(value: unknown, id: string, isId: (name: string) => boolean): boolean {
  if (typeof value !== 'object' || value === null) return false
  const fields = Object.entries(value)
  if (fields.some(([name, content]) => isId(name) && String(content) === id)) return true
  const { reason, text } = value as Record<string, unknown>
  if (typeof reason !== 'string' || typeof text !== 'string') return false
  const original = asJson(text)
  return typeof original === 'object' && isAbout(original, id, isId)
}

/** A record as a line of JSON. What is written out in it would be control characters on a terminal. */
export function recordLine(record: TopicRecord): string {
  return `${printable(JSON.stringify(record))}\n`
}

/** Cells of a column of the table. The value takes what is left of the terminal. */
function columnsOf(width: number): { partition: number; offset: number; timestamp: number; key: number } {
  return { partition: 9, offset: 8, timestamp: 19, key: width < 100 ? 10 : 22 }
}

/** The line above `recordRow`s. */
export function recordHeading(width: number): string {
  const columns = Object.entries(columnsOf(width))
  const names = columns.map(([name, cells]) => padCells(name, cells, isNumber(name) ? 'left' : 'right'))
  const rules = columns.map(([, cells]) => '─'.repeat(cells))
  const rule = '─'.repeat(Math.min(valueWidth(width), 60))
  const lines = [
    [...names, 'value'],
    [...rules, rule],
  ].map((cells) => cutCells(cells.join('  '), width))
  return `${lines.join('\n')}\n`
}

/** A record as one line of a table that is `width` cells wide; what does not fit is cut off. */
export function recordRow({ partition, offset, key, timestamp, value }: TopicRecord, width: number): string {
  const columns = columnsOf(width)
  const cells = [
    padCells(String(partition), columns.partition, 'left'),
    padCells(String(offset), columns.offset, 'left'),
    padCells(when(timestamp), columns.timestamp, 'right'),
    padCells(cutCells(oneLine(key ?? ''), columns.key), columns.key, 'right'),
    cutCells(oneLine(readable(value)), valueWidth(width)),
  ]
  return `${cutCells(cells.join('  ').trimEnd(), width)}\n`
}

/** A value for people: fields with their names, without the marks of JSON. What is deeper stays JSON. */
function readable(value: unknown): string {
  if (typeof value === 'string') return value
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return JSON.stringify(value)
  const fields = Object.entries(value) as [name: string, content: unknown][]
  const text = (content: unknown): string => (typeof content === 'string' ? content : JSON.stringify(content))
  return fields.map(([name, content]) => `${name} ${text(content)}`).join('  ')
}

function isNumber(column: string): boolean {
  return column === 'partition' || column === 'offset'
}

function valueWidth(width: number): number {
  const taken = Object.values(columnsOf(width)).reduce((sum, cells) => sum + cells + 2, 0)
  return Math.max(0, width - taken)
}

/** A timestamp may be any number, and not every number is a date. */
function when(timestamp: number): string {
  return Math.abs(timestamp) <= 8.64e15 && timestamp > 0 ? instant(timestamp).slice(0, 19) : String(timestamp)
}

function oneLine(text: string): string {
  return printable(text).replaceAll('\n', ' ')
}
