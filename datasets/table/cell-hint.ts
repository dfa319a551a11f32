import type { DatasetSchema, TimeRole } from './dataset.ts'
import { numberReader, type NumberForm } from './number-form.ts'
import { timeFormatFault } from './time-format.ts'
import { likelyUnit, parseTime, textTimeReader, type TimeForm } from './time.ts'

/**
 * What a text that was not understood should have been: a time, an amount, a number, or something else. Numbers and
 * other things may be missing, times and amounts may not.
 */
export type CellRole = 'time' | 'amount' | 'number' | 'other'

/** Texts that other tools write for an empty cell, in lower case. */
export const EMPTY_WORDS = new Set(['na', 'n/a', '#n/a', 'nan', 'null', 'none', 'nil', '\\n', '?', '-', '.', 'unknown'])

/**
 * What a cell that was refused looks like, and the declaration that reads it; '' where it looks like nothing known.
 *
 * @param role undefined where the text was understood, and is refused for what it says.
 */
export function cellHint(cell: string, column: string, role: CellRole | undefined, schema: DatasetSchema): string {
  const text = cell.trim()
  if (role === undefined) return ''
  if (schema.missing?.includes(cell) === true)
    return 'The dataset declares this text to stand for an empty cell (missing), and every row needs one here.\n'
  if (role === 'time') return schema.time === 'none' ? '' : timeHint(cell, column, schema.time, schema.numbers)
  if (role !== 'amount' && EMPTY_WORDS.has(text.toLowerCase()))
    return `If this stands for an empty cell, declare it in the schema: missing: [${JSON.stringify(cell)}]\n`
  return role === 'other' ? '' : numberHint(text, schema.numbers)
}

/** Forms of numbers, the likelier one first where a text may be of two: `1,234` is more often 1234. */
const FORMS: NumberForm[] = [
  { decimal: '.', thousands: ',' },
  { decimal: ',' },
  { decimal: ',', thousands: '.' },
  { decimal: '.', thousands: ' ' },
  { decimal: ',', thousands: ' ' },
  { decimal: '.', thousands: "'" },
  { decimal: ',', thousands: "'" },
]

/** The first form that reads the text, and all that the declared one reads. */
export function formOf(text: string, declared: Partial<NumberForm> = {}): NumberForm | undefined {
  // No group of thousands begins with a zero: 0,123 is a fraction.
  const fraction = /^[+-]?0/.test(text)
  return FORMS.find((form) => {
    const { decimal = form.decimal, thousands = form.thousands } = declared
    if (decimal !== form.decimal || thousands !== form.thousands) return false
    return !(fraction && form.thousands !== undefined) && !Number.isNaN(numberReader(form)(text))
  })
}

function numbersOf({ decimal, thousands }: NumberForm): string {
  const groups = thousands === undefined ? '' : `, thousands: ${JSON.stringify(thousands)}`
  return `numbers: { decimal: '${decimal}'${groups} }`
}

function numberHint(text: string, declared: NumberForm | undefined): string {
  if (TRUTH.test(text)) return 'Words for true and false are categories: list the column as categorical.\n'
  const form = formOf(text, declared)
  if (form !== undefined) return `If numbers are written so, declare it in the schema: ${numbersOf(form)}\n`
  return MORE_THAN_A_NUMBER.test(text) && Number.isNaN(Number(text))
    ? 'Write the number alone: without a currency, a unit or brackets, and with a plain minus before it.\n'
    : ''
}

const TRUTH = /^(true|false|yes|no|t|f|y|n)$/i

/** A figure, and beside it a letter, a sign of a currency, a bracket, or a minus that is none or stands behind. */
const MORE_THAN_A_NUMBER = /^(?=.*\d)(?=.*[\p{L}\p{Sc}%()−–]|.*-$)/u

function timeHint(cell: string, column: string, time: TimeRole, numbers: NumberForm | undefined): string {
  const text = cell.trim()
  const declare = (form: string): string => `time: { column: ${JSON.stringify(column)}, ${form} }`
  if (time.unit !== 'timestamp') {
    if (parseTime(text) >= 0)
      return `A time that is written, not counted, is declared so: ${declare('unit: timestamp')}\n`
    const hint = numberHint(text, numbers)
    if (hint !== '') return hint
  } else {
    const counted = countedForm(text, numbers)
    if (counted !== undefined)
      return `Times that are counted are declared so: ${declare(counted.unit)}${counted.also}\n`
    if (text !== cell && textTimeReader(time)(text) >= 0) return 'There are blanks at its ends: remove them.\n'
  }
  const [format, other] = formatsOf(cell, time)
  if (format === undefined) return ''
  const zone = time.zone === undefined ? '' : `, zone: ${time.zone}`
  const exchanged = other === undefined ? '' : ', or with day and month exchanged'
  const declared = declare(`unit: timestamp, format: '${format}'${zone}`)
  return `Times in a form of their own are declared by it, as in Python: ${declared}${exchanged}\n`
}

/** A day of Excel's in this century, with or without its fraction. */
const EXCEL_DAY = /^[34567]\d{4}([.,]\d+)?$/

/** The declaration of a time that is a number: of days as Excel counts them, or of what makes it a time of our day. */
function countedForm(text: string, numbers: NumberForm | undefined): { unit: string; also: string } | undefined {
  const count = numberReader(numbers ?? { decimal: '.' })(text)
  if (EXCEL_DAY.test(text)) {
    const form = Number.isNaN(count) ? formOf(text, numbers) : undefined
    const also = form === undefined ? '' : `, and ${numbersOf(form)}`
    return Number.isNaN(count) && form === undefined ? undefined : { unit: `unit: d, origin: '1899-12-30'`, also }
  }
  const unit = likelyUnit(count)
  return unit === undefined ? undefined : { unit: `unit: ${unit}`, also: '' }
}

/** A date, and perhaps a time of day with what belongs to it. */
const WRITTEN = new RegExp(
  [
    '^(?<date>\\d{1,4}(?<by>[./-])\\d{1,2}\\k<by>\\d{1,4}|\\d{8}',
    '|\\d{1,2}(?<beside>[ ./-])[a-z]{3,9}\\k<beside>\\d{2,4}|[a-z]{3,9} \\d{1,2},? \\d{4})',
    '(?:(?<before>[T ]?)(?<compact>\\d{4}(?:\\d\\d)?)(?<zone>Z|[+-]\\d\\d:?\\d\\d)?',
    '|(?<gap>,? +|T)\\d{1,2}:\\d\\d(?<seconds>:\\d\\d)?(?:(?<point>[.,])\\d{1,9})?',
    '(?:(?<blank> ?)(?<half>[ap]m))?(?:(?<space> ?)(?<offset>Z|[+-]\\d\\d:?\\d\\d))?(?<utc> UTC| GMT)?)?$',
  ].join(''),
  'i',
)

/** Orders of a date's parts, the likelier one first where a text may be of two. */
const ORDERS = ['Ymd', 'dmY', 'dmy', 'mdY', 'mdy', 'Ydm', 'dbY', 'dby', 'dBY', 'dBy', 'bdY', 'BdY']

/** The format that reads the text as a time, and the one with day and month exchanged, if it reads it too. */
export function formatsOf(text: string, { zone }: Pick<TimeForm, 'zone'>): string[] {
  const groups = WRITTEN.exec(text)?.groups
  // A clock that the text names by a word is UTC's, and no other that is declared.
  if (groups === undefined || (groups['utc'] !== undefined && zone !== undefined)) return []
  const separators = groups['date'].length === 8 && /^\d+$/.test(groups['date']) ? ['', ''] : between(groups['date'])
  const clock = clockFormat(groups)
  const reads = (format: string): boolean =>
    textTimeReader({ unit: 'timestamp', format, ...(zone === undefined ? {} : { zone }) })(text) >= 0
  const formats = ORDERS.map(([first, second, third]) => {
    return `%${first}${separators[0]}%${second}${separators[1]}%${third}${clock}`
  }).filter((format) => timeFormatFault(format) === undefined && reads(format))
  const [likely] = formats
  // With the year first, nobody writes the day before the month.
  const exchanged = likely?.startsWith('%Y') ? '' : likely?.replace(/%[dm]/g, (part) => (part === '%d' ? '%m' : '%d'))
  return formats.filter((format) => format === likely || format === exchanged)
}

/** What stands between the parts of a date. */
function between(date: string): string[] {
  return date.split(/\d+|[a-z]+/i).slice(1, -1)
}

function clockFormat(groups: Record<string, string | undefined>): string {
  const { before, compact, zone, gap, seconds, point, blank = '', half, space = '', offset, utc = '' } = groups
  if (compact !== undefined) return `${before}%H%M${compact.length === 6 ? '%S' : ''}${zone === undefined ? '' : '%z'}`
  if (gap === undefined) return ''
  const time = `${half === undefined ? '%H' : '%I'}:%M${seconds === undefined ? '' : ':%S'}`
  const fraction = point === undefined ? '' : `${point}%f`
  return (
    gap + time + fraction + blank + (half === undefined ? '' : '%p') + space + (offset === undefined ? '' : '%z') + utc
  )
}
