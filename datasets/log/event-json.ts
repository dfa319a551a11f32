import { TextDecoder } from 'node:util'
import { errorMessage } from '../../configs/user-error.ts'
import {
  batchShape,
  columnEntities,
  decimalsOf,
  type DatasetSchema,
  DEFAULT_ID,
  FRAUD_KNOWN_AT,
  type PlacedEntity,
} from '../table/dataset.ts'
import { compoundKeys } from '../table/key.ts'
import { END_OF_TIME, EXPECTED_TIME, timeCount } from '../table/time.ts'
import {
  emptyBatch,
  FRAUD_LABEL,
  HOUR,
  TRANSACTION,
  type DurationMs,
  type EpochMs,
  type EventBatch,
} from '../table/transaction.ts'
import {
  cellForms,
  field,
  readAmount,
  readCategory,
  readInstant,
  readKey,
  readNumeric,
  readTime,
  Refusal,
  show,
  type CellForms,
  type Fields,
  type RejectionKind,
} from './event-field.ts'
import type { NewRecord, RecordBatch } from './event-log.ts'

/**
 * Events as JSON records. A topic's records are written by producers that may be older, newer or simply wrong, so the
 * decoder rejects a bad record with a reason and reads on.
 */

/**
 * Optional field of a record: the version of its format; 1 when the field is missing. A format that changes the meaning
 * of a known field gets the next number.
 */
export const SCHEMA_VERSION = 'schema_version'
const KNOWN_VERSION = 1

/**
 * Largest record, key and value, in bytes. What fd writes of a record (a dead letter, a record between stages) must fit
 * into a topic with Kafka's usual limit of 1 MB, and a batch of records into memory.
 */
export const LARGEST_RECORD = 512 * 1024

/** A record that is not an event of the schema. */
export interface Rejection {
  /** Index in the record batch. */
  index: number
  kind: RejectionKind
  /** Names the field, what was expected there and what was found. */
  reason: string
  /** Of a transaction that is in the log for the second time: where the first one stands. */
  first?: { partition: number; offset: number }
}

export interface DecodedBatch {
  events: EventBatch
  /** For each row of `events`, its index in the record batch. */
  index: Uint32Array
  rejected: Rejection[]
}

/**
 * Encodes one event as a JSON record. A transaction is the dataset's row under the dataset's own column names (amount
 * in major units; time, if there are times, in the column's unit, or ISO 8601; null for what is missing). A fraud label
 * repeats id, time and entity keys and adds `fraud_known_at`. The record's key is the first entity's key, so that all
 * events of one card share a partition; without entities, the key is the id.
 *
 * @param timestamp the record's own: when it was put into the log, not when the transaction happened.
 */
export function encodeEvent(schema: DatasetSchema, batch: EventBatch, row: number, timestamp: EpochMs): NewRecord {
  const key = String(batch.entities.length > 0 ? batch.entities[0][row] : batch.ids[row])
  const value: Record<string, number | string | null> = {
    [(schema.id ?? DEFAULT_ID).column]: batch.ids[row],
  }
  const { time } = schema
  if (time !== 'none') value[time.column] = timeCount(batch.time[row], time.unit, time.origin)
  for (const { entity, index } of columnEntities(schema))
    value[entity.column] = nullForMissing(batch.entities[index][row])
  if (batch.kind[row] === FRAUD_LABEL) {
    // Without times nobody knows more than that the label is known now.
    value[FRAUD_KNOWN_AT] = time === 'none' ? timestamp : batch.knownAt[row]
  } else {
    value[schema.amount.column] = batch.amount[row] / 10 ** schema.amount.minorUnits
    schema.numeric.forEach((column, n) => (value[column] = nullForMissing(batch.numeric[n][row])))
    schema.categorical.forEach((column, c) => (value[column] = nullForMissing(batch.categorical[c][row])))
  }
  return { key, value: JSON.stringify(value), timestamp }
}

/** Missing are a key or a number that is NaN, and a key or a category that is ''. */
function nullForMissing(cell: number | string): number | string | null {
  return cell === '' || Number.isNaN(cell) ? null : cell
}

/**
 * A decoder of one schema's records into event columns. The columns are reused: a decoded batch is valid until the next
 * one. Unknown fields are ignored. A record is rejected with a reason when it is not UTF-8 JSON, lacks a field, has a
 * field of the wrong type, is larger than `LARGEST_RECORD`, or has a newer format than this code knows. Whatever is
 * thrown while a record is read is that record's rejection, so that no record can stop its readers.
 *
 * @param maxAhead how far an event may lie ahead of the moment when its record was appended. One from far ahead would
 * make every later event of its key late, and could come from anybody. That moment is the record's timestamp, or that
 * of the log where it has one and it is earlier. Both are in the log, so every reader decides the same.
 */
export function eventDecoder(
  schema: DatasetSchema,
  { maxAhead = HOUR }: { maxAhead?: DurationMs } = {},
): (records: RecordBatch) => DecodedBatch {
  const shape = batchShape(schema)
  const reader = eventReader(schema)
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
      try {
        const fields = parse(utf8, records, i)
        if (versioned) checkVersion(field(fields, SCHEMA_VERSION))
        readEvent(reader, fields, events, row)
        const appended = appendedBy(records, i)
        if (schema.time === 'none') events.time[row] = arrival(appended)
        else {
          events.time[row] = readTime(fields, schema.time, reader.forms)
          checkAhead(schema.time.column, events.time[row], appended, maxAhead)
        }
        index[row++] = i
      } catch (error) {
        const kind = error instanceof Refusal ? error.kind : 'wrong_value'
        rejected.push({ index: i, kind, reason: errorMessage(error) })
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
    schema.time === 'none' ? undefined : schema.time.column,
    schema.amount.column,
    ...columnEntities(schema).map(({ entity }) => entity.column),
    ...schema.numeric,
    ...schema.categorical,
  ]
}

function parse(utf8: TextDecoder, { bytes, keyStart, valueStart, valueEnd }: RecordBatch, i: number): Fields {
  const size = valueEnd[i] - keyStart[i]
  if (size > LARGEST_RECORD) {
    throw new Refusal(`expected a record of at most ${LARGEST_RECORD} bytes, found ${size}`, 'too_large')
  }
  let value: unknown
  try {
    value = JSON.parse(utf8.decode(bytes.subarray(valueStart[i], valueEnd[i])))
  } catch (error) {
    throw new Refusal(`not JSON: ${errorMessage(error)}`, 'not_json')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Refusal(`expected a JSON object, found ${show(value)}`, 'not_json')
  }
  return value as Fields
}

function checkVersion(version: unknown): void {
  if (version === undefined || version === KNOWN_VERSION) return
  const found = `${SCHEMA_VERSION}: expected ${KNOWN_VERSION}, found ${show(version)}`
  throw new Refusal(`${found}: the record is of a newer form than this fd reads`, 'newer_schema')
}

/** The event time where events have none: when the record came, which every reader finds in the log. */
function arrival(appended: EpochMs): EpochMs {
  if (appended > 0 && appended < END_OF_TIME) return appended
  if (appended >= END_OF_TIME && appended < Infinity) {
    const what = `expected a record whose timestamp is ${EXPECTED_TIME}, since its dataset has no times`
    throw new Refusal(`${what}, found ${appended}`)
  }
  throw new Refusal('expected a record with a timestamp, since its dataset has no times, found none', 'missing_field')
}

/**
 * When the record stood in the log at the latest: its timestamp, unless the log knows better. A timestamp of 0 or less
 * is none. Both stand in the log, so every reader finds the same. Infinity where neither says anything.
 */
function appendedBy({ timestamps, appended }: RecordBatch, i: number): EpochMs {
  return Math.min(timestamps[i] > 0 ? timestamps[i] : Infinity, appended?.[i] ?? Infinity)
}

function checkAhead(column: string, time: EpochMs, appended: EpochMs, maxAhead: DurationMs): void {
  if (time <= appended + maxAhead) return
  const found = `found ${new Date(time).toISOString()}`
  if (appended <= 0)
    throw new Refusal(
      `${column}: ${found} in a record whose timestamp is none (${appended}), so that nothing says how far ahead it ` +
        'is; let the producer set timestamps, or the topic (message.timestamp.type=LogAppendTime)',
      'ahead_of_time',
    )
  const most = new Date(appended + maxAhead).toISOString()
  throw new Refusal(
    `${column}: expected a time until ${most}, which is scorer.maxAhead after the record was appended, ${found}`,
    'ahead_of_time',
  )
}

/** A schema, ready to read records by. */
interface EventReader {
  schema: DatasetSchema
  forms: CellForms
  entities: PlacedEntity[]
  numeric: { column: string; decimals: number | undefined }[]
  compound: ReturnType<typeof compoundKeys>
}

function eventReader(schema: DatasetSchema): EventReader {
  return {
    schema,
    forms: cellForms(schema),
    entities: columnEntities(schema),
    numeric: schema.numeric.map((column) => ({ column, decimals: decimalsOf(schema, column) })),
    compound: compoundKeys(schema),
  }
}

function readEvent(
  { schema, forms, entities, numeric, compound }: EventReader,
  fields: Fields,
  events: EventBatch,
  row: number,
): void {
  readKey(fields, schema.id ?? DEFAULT_ID, events.ids, row, forms)
  for (const { entity, index } of entities) readKey(fields, entity, events.entities[index], row, forms)
  const fault = compound(events.entities, row)
  if (fault !== undefined) throw new Refusal(`${fault.column}: expected a key that makes up ${fault.problem}`)
  if (field(fields, FRAUD_KNOWN_AT) === undefined) {
    events.kind[row] = TRANSACTION
    events.amount[row] = readAmount(fields, schema, forms)
    events.knownAt[row] = Infinity
    numeric.forEach((column, n) => {
      events.numeric[n][row] = readNumeric(fields, column, forms)
    })
    schema.categorical.forEach((column, c) => {
      events.categorical[c][row] = readCategory(fields, column, forms)
    })
  } else {
    events.kind[row] = FRAUD_LABEL
    events.amount[row] = 0
    events.knownAt[row] = readInstant(fields, FRAUD_KNOWN_AT)
  }
}
