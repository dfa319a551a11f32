import { TextDecoder } from 'node:util'
import { errorMessage } from '../../configs/user-error.ts'
import type { DatasetSchema } from '../table/dataset.ts'
import {
  emptyBatch,
  FRAUD_LABEL,
  TRANSACTION,
  type EpochMs,
  type EventBatch,
  type KeyColumn,
} from '../table/transaction.ts'
import type { NewRecord, RecordBatch } from './event-log.ts'

/**
 * Events as JSON records. A topic's records are written by producers that may be older, newer or simply wrong, so the
 * decoder rejects a bad record with a reason and reads on.
 */

/** When the fraud became known, EpochMs. A record that has this field is a label; any other is a transaction. */
export const FRAUD_KNOWN_AT = 'fraud_known_at'

/**
 * Optional field of a record: the version of its format; 1 when the field is missing. A format that changes the meaning
 * of a known field gets the next number.
 */
export const SCHEMA_VERSION = 'schema_version'
const KNOWN_VERSION = 1

/** Name of the id field when the dataset has no id column. */
const DEFAULT_ID = 'transaction_id'

/** Longest id, key or category, in UTF-16 units. They become keys in stores, and stores limit the length of keys. */
const LONGEST_TEXT = 256

/** Largest amount, in minor units. A million amounts of this size still sum exactly in a float64. */
const LARGEST_AMOUNT = 2 ** 53 / 1_000_000

/** The kinds of rejection, few enough to be counted by. */
export const REJECTION_KINDS = ['not_json', 'missing_field', 'wrong_value', 'newer_schema'] as const
export type RejectionKind = (typeof REJECTION_KINDS)[number]

/** A record that is not an event of the schema. */
export interface Rejection {
  /** Index in the record batch. */
  index: number
  kind: RejectionKind
  /** Names the field, what was expected there and what was found. */
  reason: string
}

export interface DecodedBatch {
  events: EventBatch
  /** For each row of `events`, its index in the record batch. */
  index: Uint32Array
  rejected: Rejection[]
}

/**
 * Encodes one event as a JSON record. A transaction is the dataset's row under the dataset's own column names (amount
 * in major units; time in the column's unit, or ISO 8601). A fraud label repeats id, time and entity keys and adds
 * `fraud_known_at`. The record's key is the first entity's key, so that all events of one card share a partition;
 * without entities, the key is the id.
 *
 * @param timestamp the record's own: when it was put into the log, not when the transaction happened.
 */
export function encodeEvent(schema: DatasetSchema, batch: EventBatch, row: number, timestamp: EpochMs): NewRecord {
  const key = String(batch.entities.length > 0 ? batch.entities[0][row] : batch.ids[row])
  const sinceOrigin = batch.time[row] - (schema.time.origin ?? 0)
  const value: Record<string, number | string | null> = {
    [schema.id?.column ?? DEFAULT_ID]: batch.ids[row],
    [schema.time.column]: schema.time.unit === 's' ? sinceOrigin / 1000 : sinceOrigin,
  }
  schema.entities.forEach((entity, e) => (value[entity.column] = batch.entities[e][row]))
  if (batch.kind[row] === FRAUD_LABEL) {
    value[FRAUD_KNOWN_AT] = batch.knownAt[row]
  } else {
    value[schema.amount.column] = batch.amount[row] / 10 ** schema.amount.minorUnits
    schema.numeric.forEach((column, n) => (value[column] = nullForNaN(batch.numeric[n][row])))
    schema.categorical.forEach((column, c) => (value[column] = nullForEmpty(batch.categorical[c][row])))
  }
  return { key, value: JSON.stringify(value), timestamp }
}

function nullForNaN(number: number): number | null {
  return Number.isNaN(number) ? null : number
}

function nullForEmpty(text: string): string | null {
  return text === '' ? null : text
}

/** Thrown while one record is read, and caught by the decoder: it rejects that record and continues with the batch. */
class Refusal extends Error {
  readonly kind: RejectionKind

  constructor(message: string, kind: RejectionKind = 'wrong_value') {
    super(message)
    this.kind = kind
  }
}

/** The refusal of a field whose value is missing or not what was expected. */
function unexpected(column: string, expected: string, found: unknown): Refusal {
  return new Refusal(
    `${column}: expected ${expected}, found ${show(found)}`,
    found === undefined ? 'missing_field' : 'wrong_value',
  )
}

/**
 * A decoder of one schema's records into event columns. The columns are reused: a decoded batch is valid until the next
 * one. Unknown fields are ignored. A record is rejected with a reason when it is not UTF-8 JSON, lacks a field, has a
 * field of the wrong type, or has a newer format than this code knows.
 */
export function eventDecoder(schema: DatasetSchema): (records: RecordBatch) => DecodedBatch {
  const shape = {
    id: schema.id?.type ?? ('integer' as const),
    entities: schema.entities,
    numeric: schema.numeric.length,
    categorical: schema.categorical.length,
  }
  const utf8 = new TextDecoder('utf-8', { fatal: true })
  const versioned = !columnsOf(schema).includes(SCHEMA_VERSION)
  let events = emptyBatch(shape, 0)
  let index = new Uint32Array(0)
  return (records) => {
    if (index.length < records.size) {
      events = emptyBatch(shape, records.size)
      index = new Uint32Array(records.size)
    }
    const rejected: Rejection[] = []
    let row = 0
    for (let i = 0; i < records.size; i++) {
      const bytes = records.bytes.subarray(records.valueStart[i], records.valueEnd[i])
      try {
        const value = parse(utf8, bytes)
        if (versioned && value[SCHEMA_VERSION] !== undefined) checkVersion(value[SCHEMA_VERSION])
        readEvent(schema, value, events, row)
        index[row++] = i
      } catch (error) {
        if (!(error instanceof Refusal)) throw error
        rejected.push({ index: i, kind: error.kind, reason: error.message })
      }
    }
    events.size = row
    return { events, index, rejected }
  }
}

/** All columns of the schema. One of them may have the name of the version field; then records carry no version. */
function columnsOf(schema: DatasetSchema): (string | undefined)[] {
  return [
    schema.id?.column,
    schema.time.column,
    schema.amount.column,
    ...schema.entities.map(({ column }) => column),
    ...schema.numeric,
    ...schema.categorical,
  ]
}

function parse(utf8: TextDecoder, bytes: Uint8Array): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(utf8.decode(bytes))
  } catch (error) {
    throw new Refusal(`not JSON: ${errorMessage(error)}`, 'not_json')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Refusal(`expected a JSON object, found ${show(value)}`, 'not_json')
  }
  return value as Record<string, unknown>
}

function checkVersion(version: unknown): void {
  if (version === KNOWN_VERSION) return
  const found = `${SCHEMA_VERSION}: expected ${KNOWN_VERSION}, found ${show(version)}`
  throw new Refusal(`${found}: the record is of a newer form than this fd reads`, 'newer_schema')
}

function readEvent(schema: DatasetSchema, value: Record<string, unknown>, events: EventBatch, row: number): void {
  readKey(value, schema.id?.column ?? DEFAULT_ID, events.ids, row)
  events.time[row] = readTime(value, schema)
  schema.entities.forEach((entity, e) => readKey(value, entity.column, events.entities[e], row))
  if (value[FRAUD_KNOWN_AT] === undefined) {
    events.kind[row] = TRANSACTION
    events.amount[row] = readAmount(value, schema)
    events.knownAt[row] = Infinity
    schema.numeric.forEach((column, n) => {
      events.numeric[n][row] = value[column] === null ? Number.NaN : readNumber(value, column)
    })
    schema.categorical.forEach((column, c) => {
      events.categorical[c][row] = value[column] === null ? '' : readText(value, column)
    })
  } else {
    events.kind[row] = FRAUD_LABEL
    events.amount[row] = 0
    events.knownAt[row] = readNumber(value, FRAUD_KNOWN_AT)
  }
}

function readKey(value: Record<string, unknown>, column: string, into: KeyColumn, row: number): void {
  if (Array.isArray(into)) {
    const text = readText(value, column)
    if (text === '') throw new Refusal(`${column}: expected text, found ""`)
    into[row] = text
    return
  }
  const number = value[column]
  if (!Number.isSafeInteger(number)) throw unexpected(column, 'a whole number', number)
  into[row] = number as number
}

function readText(value: Record<string, unknown>, column: string): string {
  const text = value[column]
  if (typeof text !== 'string') throw unexpected(column, 'text', text)
  if (text.length > LONGEST_TEXT) {
    throw new Refusal(`${column}: expected at most ${LONGEST_TEXT} characters, found ${text.length}`)
  }
  return text
}

function readNumber(value: Record<string, unknown>, column: string): number {
  const number = value[column]
  if (typeof number !== 'number' || !Number.isFinite(number)) throw unexpected(column, 'a number', number)
  return number
}

function readAmount(value: Record<string, unknown>, schema: DatasetSchema): number {
  const { column, minorUnits } = schema.amount
  const major = readNumber(value, column)
  const minor = Math.round(major * 10 ** minorUnits)
  if (Math.abs(major * 10 ** minorUnits - minor) > 1e-4) {
    throw new Refusal(`${column}: expected at most ${minorUnits} decimals, found ${major}`)
  }
  if (minor < 0 || minor > LARGEST_AMOUNT) {
    throw new Refusal(`${column}: expected an amount from 0 to ${LARGEST_AMOUNT / 10 ** minorUnits}, found ${major}`)
  }
  return minor
}

/** Times must lie from 1970 to 2999. A time outside was given in the wrong unit. */
const LATEST_TIME = Date.UTC(3000, 0)

function readTime(value: Record<string, unknown>, schema: DatasetSchema): number {
  const { column, unit, origin } = schema.time
  const raw = value[column]
  const time = typeof raw === 'string' ? Date.parse(raw) : readNumber(value, column) * millis(unit) + (origin ?? 0)
  if (!(time >= 0 && time < LATEST_TIME)) {
    throw new Refusal(`${column}: expected a time from 1970 to 2999, found ${show(raw)}`)
  }
  return Math.round(time)
}

/** Milliseconds in one unit of the time column. */
function millis(unit: DatasetSchema['time']['unit']): number {
  return unit === 's' ? 1000 : 1
}

function show(value: unknown): string {
  if (value === undefined) return 'nothing'
  const text = JSON.stringify(value)
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}
