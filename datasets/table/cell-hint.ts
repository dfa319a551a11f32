/** Texts that other tools write for an empty cell. */
const EMPTY_WORDS = new Set(['na', 'n/a', '#n/a', 'nan', 'null', 'none', 'nil', '\\n', '?', '-', '.', 'unknown'])

/** What a column is to hold. */
export type CellRole = 'time' | 'amount' | 'number' | 'other'

/** What a cell that was refused looks like, and how a dataset declares it; '' where it looks like nothing known. */
export function cellHint(cell: string, column: string, role: CellRole): string {
  const text = cell.trim()
  if (text === column) return 'It repeats the header: two files were joined here. Remove this line.\n'
  if (role === 'time') return timeHint(text)
  if (role !== 'amount' && EMPTY_WORDS.has(text.toLowerCase()))
    return `If this stands for an empty cell, declare it in the schema: missing: [${JSON.stringify(text)}]\n`
  return role === 'other' ? '' : numberHint(text)
}

/** A day of Excel's in this century, with or without its fraction. */
const EXCEL_DAY = /^[34567]\d{4}([.,]\d+)?$/

function timeHint(text: string): string {
  if (EXCEL_DAY.test(text))
    return "Days as Excel counts them are declared so: time: { column: …, unit: d, origin: '1899-12-30' }\n"
  const date = /^(\d{1,4})([./-])\d{1,2}\2(\d{2,4})/.exec(text)
  if (date === null) return ''
  const [whole, first, separator, last] = date
  const day = first.length === 4 ? ['%Y', '%m', '%d'] : ['%d', '%m', last.length === 2 ? '%y' : '%Y']
  const rest = text
    .slice(whole.length)
    .replace(/\d{1,2}:\d{2}:\d{2}/, '%H:%M:%S')
    .replace(/\d{1,2}:\d{2}/, '%H:%M')
  const format = `format: '${day.join(separator)}${rest}'`
  return `Times in a form of their own are declared by it, as in Python: ${format}, or with day and month exchanged\n`
}

function numberHint(text: string): string {
  if (!/^[+-]?\d[\d.,' \u00a0\u202f\u2019]*$/.test(text)) return ''
  const decimal = /,\d{1,2}$/.test(text) || /\..*,/.test(text) ? ',' : '.'
  const thousands = (decimal === ',' ? /[^\d+,-]/ : /[^\d+.-]/).exec(text)?.[0]
  const shown = thousands === undefined ? '' : `, thousands: ${JSON.stringify(SEPARATORS[thousands] ?? thousands)}`
  return `If numbers are written so, declare it in the schema: numbers: { decimal: '${decimal}'${shown} }\n`
}

/** The characters that a declared separator stands for, where that is another. */
const SEPARATORS: Record<string, string> = { '\u00a0': ' ', '\u202f': ' ', '\u2019': "'" }
