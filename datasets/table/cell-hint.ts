import type { DatasetSchema } from './dataset.ts'
import { numberReader, type NumberForm } from './number-form.ts'
import { timeFormatFault } from './time-format.ts'
import { parseTime, textTimeReader, type TimeForm } from './time.ts'

/**
 * What a text that was not understood should have been: a time, an amount, a number, or something else. Numbers and
 * other things may be missing, times and amounts may not.
 */
export type CellRole = 'time' | 'amount' | 'number' | 'other'

/** Texts that other tools write for an empty cell. */
const EMPTY_WORDS = new Set(['na', 'n/a', '#n/a', 'nan', 'null', 'none', 'nil', '\\n', '?', '-', '.', 'unknown'])

/**
 * What a cell that was refused looks like, and the declaration that reads it; '' where it looks like nothing known.
 *
 * @param role undefined where the text was understood, and is refused for what it says.
 */
export function cellHint(cell: string, column: string, role: CellRole | undefined, schema: DatasetSchema): string {
  const text = cell.trim()
  if (text === column.trim()) return 'It repeats the header: two files were joined here. Remove this line.\n'
  if (role === undefined) return ''
  if (role === 'time') return timeHint(text, column, schema)
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
function formOf(text: string, declared: Partial<NumberForm> = {}): NumberForm | undefined {
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
  const form = formOf(text, declared)
  return form === undefined ? '' : `If numbers are written so, declare it in the schema: ${numbersOf(form)}\n`
}

function timeHint(text: string, column: string, { time, numbers }: DatasetSchema): string {
  if (time === 'none') return ''
  const declare = (form: string): string => `time: { column: ${JSON.stringify(column)}, ${form} }`
  if (time.unit !== 'timestamp') {
    if (parseTime(text) >= 0)
      return `A time that is written, not counted, is declared so: ${declare('unit: timestamp')}\n`
    const hint = numberHint(text, numbers)
    if (hint !== '') return hint
  } else if (EXCEL_DAY.test(text)) {
    const isPlain = !Number.isNaN(numberReader(numbers ?? { decimal: '.' })(text))
    const form = isPlain ? undefined : formOf(text, numbers)
    const also = form === undefined ? '' : `, and ${numbersOf(form)}`
    if (isPlain || form !== undefined)
      return `Days as Excel counts them are declared so: ${declare(`unit: d, origin: '1899-12-30'`)}${also}\n`
  }
  const [format, other] = formatsOf(text, time)
  if (format === undefined) return ''
  const zone = time.zone === undefined ? '' : `, zone: ${time.zone}`
  const exchanged = other === undefined ? '' : ', or with day and month exchanged'
  const declared = declare(`unit: timestamp, format: '${format}'${zone}`)
  return `Times in a form of their own are declared by it, as in Python: ${declared}${exchanged}\n`
}

/** A day of Excel's in this century, with or without its fraction. */
const EXCEL_DAY = /^[34567]\d{4}([.,]\d+)?$/

/** A date in figures, and perhaps a time of day with what belongs to it. */
const WRITTEN = new RegExp(
  [
    '^(?<first>\\d{4}|\\d{1,2})(?<by>[./-])\\d{1,2}\\k<by>(?<last>\\d{4}|\\d{1,2})',
    '(?:(?<gap>,? +|T)\\d{1,2}:\\d\\d(?<seconds>:\\d\\d)?(?:(?<point>[.,])\\d{1,9})?',
    '(?:(?<blank> ?)(?<half>[ap]m))?(?:(?<space> ?)(?<offset>Z|[+-]\\d\\d:?\\d\\d))?(?<utc> UTC| GMT)?)?$',
  ].join(''),
  'i',
)

/** The formats that read the text as a time, of the two that differ in the order of day and month. */
function formatsOf(text: string, { zone }: TimeForm): string[] {
  const groups = WRITTEN.exec(text)?.groups
  // A clock that the text names by a word is UTC's, and no other that is declared.
  if (groups === undefined || (groups['utc'] !== undefined && zone !== undefined)) return []
  const { first, by, last } = groups
  const year = last.length === 4 ? '%Y' : '%y'
  const dates = first.length === 4 ? ['%Y.%m.%d', '%Y.%d.%m'] : [`%d.%m.${year}`, `%m.%d.${year}`]
  const formats = dates.map((date) => date.replaceAll('.', by) + clockFormat(groups))
  const reads = (format: string): boolean =>
    textTimeReader({ unit: 'timestamp', format, ...(zone === undefined ? {} : { zone }) })(text) >= 0
  return formats.filter((format) => timeFormatFault(format) === undefined && reads(format))
}

function clockFormat(groups: Record<string, string | undefined>): string {
  const { gap, seconds, point, blank = '', half, space = '', offset, utc = '' } = groups
  if (gap === undefined) return ''
  const time = `${half === undefined ? '%H' : '%I'}:%M${seconds === undefined ? '' : ':%S'}`
  const fraction = point === undefined ? '' : `${point}%f`
  return (
    gap + time + fraction + blank + (half === undefined ? '' : '%p') + space + (offset === undefined ? '' : '%z') + utc
  )
}
