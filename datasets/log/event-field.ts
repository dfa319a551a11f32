import { isCardNumber, quotedText, shownText } from '../file/shown-text.ts'
import { amountBounds, amountFault, toDecimal, toMinorUnits } from '../table/amount.ts'
import type { ColumnEntity, DatasetSchema, TimeRole } from '../table/dataset.ts'
import { isBlank, isWholeKey, keyFault, textFault, WHOLE_NUMBER } from '../table/key.ts'
import { numberReader } from '../table/number-form.ts'
import {
  countedTime,
  EXPECTED_TIME,
  likelyUnit,
  parseTime,
  textTimeForm,
  textTimeReader,
  TIME_FORM,
  type TimeUnit,
} from '../table/time.ts'
import type { EpochMs, KeyColumn } from '../table/transaction.ts'

/** The kinds of rejection, few enough to be counted by. */
export const REJECTION_KINDS = [
  'not_json',
  'missing_field',
  'wrong_value',
  'newer_schema',
  'ahead_of_time',
  'too_large',
  'duplicate',
] as const
export type RejectionKind = (typeof REJECTION_KINDS)[number]

/** Thrown while one record is read, and caught by the decoder: it rejects that record and continues with the batch. */
export class Refusal extends Error {
  readonly kind: RejectionKind

  constructor(message: string, kind: RejectionKind = 'wrong_value') {
    super(message)
    this.kind = kind
  }
}

/** A record as JSON gives it. Nothing is known of its values yet. */
export type Fields = Record<string, unknown>

/**
 * The value of a field of the record itself. What every object inherits, `constructor` and the like, is none: JSON has
 * no functions, and no value of it is the prototype. To ask `Object.hasOwn` for each field would cost a tenth.
 */
export function field(fields: Fields, column: string): unknown {
  const found = fields[column]
  return typeof found === 'function' || found === Object.prototype ? undefined : found
}

/** What a dataset declares of its cells, ready for the stream. */
export interface CellForms {
  /** Texts that stand for a missing value. */
  missing: ReadonlySet<string>
  /** Reads numbers that are text; without it text is no number. */
  number?: (text: string) => number
  /** Reads times that are text. */
  time: (text: string) => EpochMs
}

export function cellForms({ missing = [], numbers, time }: DatasetSchema): CellForms {
  return {
    missing: new Set(missing),
    ...(numbers === undefined ? {} : { number: numberReader(numbers) }),
    time: textTimeReader(time === 'none' ? { unit: 'timestamp' } : time),
  }
}

/** The value of a dataset's column; null where it is missing. */
function cell(fields: Fields, column: string, { missing }: CellForms): unknown {
  const found = field(fields, column)
  return missing.size > 0 && typeof found === 'string' && missing.has(found) ? null : found
}

/** The refusal of a field whose value is missing or not what was expected. */
function unexpected(column: string, expected: string, found: unknown): Refusal {
  return new Refusal(
    `${column}: expected ${expected}, found ${show(found)}`,
    found === undefined ? 'missing_field' : 'wrong_value',
  )
}

/**
 * Reads an id or entity key into row `row` of its column, which says by its type whether it is a number or text. An
 * optional key that is absent, null or blank becomes none.
 */
export function readKey(
  fields: Fields,
  { column, optional = false, token = false }: Pick<ColumnEntity, 'column' | 'optional' | 'token'>,
  into: KeyColumn,
  row: number,
  forms: CellForms,
): void {
  const found = cell(fields, column, forms)
  if (optional && (found === undefined || found === null || (typeof found === 'string' && isBlank(found)))) {
    into[row] = Array.isArray(into) ? '' : Number.NaN
    return
  }
  if (!Array.isArray(into)) {
    if (!isWholeKey(found)) throw unexpected(column, WHOLE_NUMBER, found)
    into[row] = found
    return
  }
  if (typeof found !== 'string') throw unexpected(column, 'text', found)
  const fault = keyFault(found)
  if (fault !== undefined) throw unexpected(column, fault, found)
  // Files are read as tokens. A number here would be stored as it is, and have another history than its token.
  if (token && isCardNumber(found))
    throw unexpected(column, 'a card token, since its dataset says `token: true`', found)
  into[row] = found
}

/** A category; null, which is missing, becomes ''. True and false are named as in a table that has them. */
export function readCategory(fields: Fields, column: string, forms: CellForms): string {
  const found = cell(fields, column, forms)
  if (found === null) return ''
  if (typeof found === 'boolean') return String(found)
  if (typeof found !== 'string') throw unexpected(column, 'text', found)
  const fault = textFault(found)
  if (fault !== undefined) throw unexpected(column, fault, found)
  return found
}

/** A numeric attribute, of declared decimals or any; null, which is missing, becomes NaN. True is 1, false 0. */
export function readNumeric(
  fields: Fields,
  { column, decimals }: { column: string; decimals: number | undefined },
  forms: CellForms,
): number {
  const found = cell(fields, column, forms)
  // A cell of blanks is missing where numbers may be text, as in a file.
  const blank = forms.number !== undefined && typeof found === 'string' && found.trim() === ''
  if (found === null || blank) return Number.NaN
  const read = typeof found === 'boolean' ? Number(found) : readNumber(found, column, forms)
  if (decimals === undefined) return read
  const number = toDecimal(read, decimals)
  if (!Number.isNaN(number)) return number
  throw unexpected(column, expectedNumber(read, decimals, true, 'a number'), read)
}

/** What was expected of a number that was refused for its size or its decimals. */
function expectedNumber(number: number, decimals: number, refunds: boolean | undefined, what: string): string {
  return amountFault(number, decimals, refunds) === 'too many decimals'
    ? `at most ${decimals} decimals`
    : `${what} from ${amountBounds(decimals, refunds)}`
}

function readNumber(found: unknown, column: string, { number }: CellForms): number {
  const read = typeof found === 'string' && number !== undefined ? number(found) : found
  if (typeof read !== 'number' || !Number.isFinite(read)) throw unexpected(column, 'a number', found)
  return read
}

/** The amount in minor units, below 0 for a refund. */
export function readAmount(fields: Fields, { amount, refunds }: DatasetSchema, forms: CellForms): number {
  const { column, minorUnits } = amount
  const major = readNumber(cell(fields, column, forms), column, forms)
  const minor = toMinorUnits(major, minorUnits, refunds)
  if (!Number.isNaN(minor)) return minor
  throw unexpected(column, expectedNumber(major, minorUnits, refunds, 'an amount'), major)
}

/** The event time: text in the schema's format, else ISO 8601, or a number in the unit of the schema. */
export function readTime(fields: Fields, time: TimeRole, forms: CellForms): EpochMs {
  const found = cell(fields, time.column, forms)
  const counted = typeof found === 'number' ? found : countedText(found, time.unit, forms)
  const instant = counted === undefined ? forms.time(String(found)) : countedTime(counted, time.unit, time.origin)
  return instant >= 0 ? instant : refuseTime(time.column, found, textTimeForm(time))
}

/** The count that a text holds where times are counted and numbers may be text. Else the text is a time, or nothing. */
function countedText(found: unknown, unit: TimeUnit, { number }: CellForms): number | undefined {
  if (typeof found !== 'string') return Number.NaN
  const count = unit === 'timestamp' || number === undefined ? Number.NaN : number(found)
  return Number.isNaN(count) ? undefined : count
}

/** An instant that is not a column of the dataset: ISO 8601 as text, or EpochMs. */
export function readInstant(fields: Fields, column: string): EpochMs {
  const found = field(fields, column)
  const instant = typeof found === 'number' ? countedTime(found, 'ms') : textTime(found)
  return instant >= 0 ? instant : refuseTime(column, found, TIME_FORM)
}

/** NaN for what is no text, or none that `parseTime` reads. */
function textTime(found: unknown): EpochMs {
  return typeof found === 'string' ? parseTime(found) : Number.NaN
}

/** @param form how times are written as text. */
function refuseTime(column: string, found: unknown, form: string): never {
  const unit = typeof found === 'number' ? likelyUnit(found) : undefined
  const refusal = unexpected(column, typeof found === 'string' ? `${EXPECTED_TIME}, as ${form}` : EXPECTED_TIME, found)
  if (unit === undefined) throw refusal
  throw new Refusal(`${refusal.message} (counted in ${unit}, it would be a time of our century)`)
}

/** A value for a message, short whatever it is. Of a list or an object only the first level: it may be deep. */
export function show(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (typeof value === 'string') return quotedText(value)
  // JSON has no infinity, and would show null.
  if (typeof value === 'number') return String(value)
  const text = JSON.stringify(value, (_, inner: unknown) =>
    inner !== value && typeof inner === 'object' && inner !== null ? '…' : inner,
  )
  return shownText(text)
}
