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

/** Field of a label record, which is one because it has it: when the fraud became known, EpochMs. */
export const FRAUD_KNOWN_AT = 'fraud_known_at'

/** Optional field of a record: the version of its form, 1 where it has none. A form in which known fields mean something else gets the next number. */
export const SCHEMA_VERSION = 'schema_version'
const KNOWN_VERSION = 1

/** Name of the id field of a dataset that has no id column. */
const DEFAULT_ID = 'transaction_id'

/** Longest id, key or category in UTF-16 units: they become keys of stores, which bound them. */
const LONGEST_TEXT = 256

/** Amounts are at most this many minor units, so that a million of them still sum exactly in a float64. */
const LARGEST_AMOUNT = 2 ** 53 / 1_000_000

/** What is wrong with a record, in the few words that can be counted by. */
export const REJECTION_KINDS = ['not_json', 'missing_field', 'wrong_value', 'newer_schema'] as const
export type RejectionKind = (typeof REJECTION_KINDS)[number]

/** A record that is no event of the schema. */
export interface Rejection {
  /** Index in the record batch. */
  index: number
  kind: RejectionKind
  /** What is wrong: the field, what was expected, what was found. */
  reason: string
}

export interface DecodedBatch {
  events: EventBatch
  /** Index in the record batch of each row of `events`. */
  index: Uint32Array
  rejected: Rejection[]
}

/**
 * Records as JSON, one an event: a transaction is the dataset's row under its own column names (amount in major units,
 * time in the column's unit, or ISO 8601), a fraud label repeats id, time and entity keys and adds `fraud_known_at`.
 * The record's key is the first entity's, so that one card's events share a partition; without entities, the id.
 * `timestamp` is the record's: when it was put into the log, not when the transaction happened.
 */
export function encodeEvent(schema: DatasetSchema, batch: EventBatch, row: number, timestamp: EpochMs): NewRecord {
  const key = String(batch.entities.length > 0 ? batch.entities[0][row] : batch.ids[row])
  const value: Record<string, number | string | null> = {
    [schema.id?.column ?? DEFAULT_ID]: batch.ids[row],
    [schema.time.column]:
      schema.time.unit === 's'
        ? (batch.time[row] - (schema.time.origin ?? 0)) / 1000
        : batch.time[row] - (schema.time.origin ?? 0),
  }
  schema.entities.forEach((entity, e) => (value[entity.column] = batch.entities[e][row]))
  if (batch.kind[row] === FRAUD_LABEL) {
    value[FRAUD_KNOWN_AT] = batch.knownAt[row]
  } else {
    value[schema.amount.column] = batch.amount[row] / 10 ** schema.amount.minorUnits
    schema.numeric.forEach(
      (column, n) => (value[column] = Number.isNaN(batch.numeric[n][row]) ? null : batch.numeric[n][row]),
    )
    schema.categorical.forEach(
      (column, c) => (value[column] = batch.categorical[c][row] === '' ? null : batch.categorical[c][row]),
    )
  }
  return { key, value: JSON.stringify(value), timestamp }
}

/** Thrown inside a row, caught at its edge: the record is rejected, the batch goes on. */
class Refusal extends Error {
  readonly kind: RejectionKind

  constructor(message: string, kind: RejectionKind = 'wrong_value') {
    super(message)
    this.kind = kind
  }
}

/** A field's value is not what was expected; one that is not there is a fault of its own kind. */
function unexpected(column: string, expected: string, found: unknown): Refusal {
  return new Refusal(
    `${column}: expected ${expected}, found ${show(found)}`,
    found === undefined ? 'missing_field' : 'wrong_value',
  )
}

/**
 * A decoder of records of one schema into event columns. The columns are reused: a decoded batch is valid until the next.
 * A record that is not UTF-8 JSON, or lacks a field, or has one of the wrong type, or is of a form newer than this code, is
 * rejected with the reason; unknown fields are ignored.
 */
export function eventDecoder(schema: DatasetSchema): (records: RecordBatch) => DecodedBatch {
  const shape = {
    id: schema.id?.type ?? ('integer' as const),
    entities: schema.entities,
    numeric: schema.numeric.length,
    categorical: schema.categorical.length,
  }
  const utf8 = new TextDecoder('utf-8', { fatal: true })
  const versioned = ![
    schema.id?.column,
    schema.time.column,
    schema.amount.column,
    ...schema.entities.map(({ column }) => column),
    ...schema.numeric,
    ...schema.categorical,
  ].includes(SCHEMA_VERSION)
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

function parse(utf8: TextDecoder, bytes: Uint8Array): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(utf8.decode(bytes))
  } catch (error) {
    throw new Refusal(`not JSON: ${errorMessage(error)}`, 'not_json')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Refusal(`expected a JSON object, found ${show(value)}`, 'not_json')
  return value as Record<string, unknown>
}

function checkVersion(version: unknown): void {
  if (version !== KNOWN_VERSION)
    throw new Refusal(
      `${SCHEMA_VERSION}: expected ${KNOWN_VERSION}, found ${show(version)}: the record is of a newer form than this fd reads`,
      'newer_schema',
    )
}

function readEvent(schema: DatasetSchema, value: Record<string, unknown>, events: EventBatch, row: number): void {
  readKey(value, schema.id?.column ?? DEFAULT_ID, events.ids, row)
  events.time[row] = readTime(value, schema)
  schema.entities.forEach((entity, e) => readKey(value, entity.column, events.entities[e], row))
  if (value[FRAUD_KNOWN_AT] === undefined) {
    events.kind[row] = TRANSACTION
    events.amount[row] = readAmount(value, schema)
    events.knownAt[row] = Infinity
    schema.numeric.forEach(
      (column, n) => (events.numeric[n][row] = value[column] === null ? Number.NaN : readNumber(value, column)),
    )
    schema.categorical.forEach(
      (column, c) => (events.categorical[c][row] = value[column] === null ? '' : readText(value, column)),
    )
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
  if (text.length > LONGEST_TEXT)
    throw new Refusal(`${column}: expected at most ${LONGEST_TEXT} characters, found ${text.length}`)
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
  if (Math.abs(major * 10 ** minorUnits - minor) > 1e-4)
    throw new Refusal(`${column}: expected at most ${minorUnits} decimals, found ${major}`)
  if (minor < 0 || minor > LARGEST_AMOUNT)
    throw new Refusal(`${column}: expected an amount from 0 to ${LARGEST_AMOUNT / 10 ** minorUnits}, found ${major}`)
  return minor
}

/** Times from 1970 to 2999: what is outside is a wrong unit. */
const LATEST_TIME = Date.UTC(3000, 0)

function readTime(value: Record<string, unknown>, schema: DatasetSchema): number {
  const { column, unit, origin } = schema.time
  const raw = value[column]
  const time =
    typeof raw === 'string' ? Date.parse(raw) : readNumber(value, column) * (unit === 's' ? 1000 : 1) + (origin ?? 0)
  if (!(time >= 0 && time < LATEST_TIME))
    throw new Refusal(`${column}: expected a time from 1970 to 2999, found ${show(raw)}`)
  return Math.round(time)
}

function show(value: unknown): string {
  if (value === undefined) return 'nothing'
  const text = JSON.stringify(value)
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}
