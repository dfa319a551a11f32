import type { EpochMs } from './transaction.ts'

/** A field of a time: where a match of its directive goes, and how it is read. */
interface Directive {
  pattern: string
  read(found: string, into: Fields): void
}

interface Fields {
  year: number
  month: number
  day: number
  hour: number
  minute: number
  second: number
  ms: number
  /** 12 for the afternoon, 0 for the morning, where the hour is one of twelve. */
  half: number | undefined
  /** Minutes ahead of UTC, where the text says it. */
  offset: number | undefined
}

const MONTHS = 'jan feb mar apr may jun jul aug sep oct nov dec'.split(' ')
const LONG_MONTHS = 'january february march april may june july august september october november december'.split(' ')

const number = (pattern: string, field: 'year' | 'month' | 'day' | 'hour' | 'minute' | 'second'): Directive => ({
  pattern,
  read: (found, into) => void (into[field] = Number(found)),
})

/** The directives of strptime that a format may use, as in Python, pandas and DuckDB. */
const DIRECTIVES: Record<string, Directive> = {
  Y: number('\\d{4}', 'year'),
  // As in POSIX: 69 is 1969, 68 is 2068.
  y: {
    pattern: '\\d{2}',
    read: (found, into) => void (into.year = Number(found) + (Number(found) < 69 ? 2000 : 1900)),
  },
  m: number('\\d{1,2}', 'month'),
  b: { pattern: MONTHS.join('|'), read: (found, into) => void (into.month = MONTHS.indexOf(found.toLowerCase()) + 1) },
  B: {
    pattern: LONG_MONTHS.join('|'),
    read: (found, into) => void (into.month = LONG_MONTHS.indexOf(found.toLowerCase()) + 1),
  },
  d: number('\\d{1,2}', 'day'),
  H: number('\\d{1,2}', 'hour'),
  I: number('\\d{1,2}', 'hour'),
  p: { pattern: 'am|pm', read: (found, into) => void (into.half = found.toLowerCase() === 'pm' ? 12 : 0) },
  M: number('\\d{1,2}', 'minute'),
  S: number('\\d{1,2}', 'second'),
  // Of up to nine digits three count.
  f: { pattern: '\\d{1,9}', read: (found, into) => void (into.ms = Number(found.slice(0, 3).padEnd(3, '0'))) },
  z: { pattern: 'Z|[+-]\\d\\d:?\\d\\d', read: (found, into) => void (into.offset = offsetOf(found)) },
}

function offsetOf(found: string): number {
  if (found.toUpperCase() === 'Z') return 0
  const [hours, minutes] = [Number(found.slice(1, 3)), Number(found.slice(-2))]
  if (hours > 23 || minutes > 59) return Number.NaN
  return (found.startsWith('-') ? -1 : 1) * (hours * 60 + minutes)
}

/** What formats are written in, for messages. */
const KNOWN = '%Y %y year, %m %b %B month, %d day, %H or %I with %p hour, %M minute, %S second, %f fraction, %z offset'

/** Why this is no format for times; undefined when it is one. */
export function timeFormatFault(format: string): string | undefined {
  const found = [...format.matchAll(/%(.?)/gs)].map(([, letter]) => letter)
  const unknown = found.find((letter) => letter !== '%' && !Object.hasOwn(DIRECTIVES, letter))
  if (unknown !== undefined) return `a format has no %${unknown}. It has: ${KNOWN}`
  const twice = found.find((letter, at) => letter !== '%' && found.indexOf(letter) !== at)
  if (twice !== undefined) return `%${twice} stands twice in the format`
  const has = (...letters: string[]): number => letters.filter((letter) => found.includes(letter)).length
  if (has('Y', 'y') !== 1 || has('m', 'b', 'B') !== 1 || has('d') !== 1)
    return 'a format needs one year, one month and one day, such as %d/%m/%Y %H:%M:%S'
  if (has('H', 'I') > 1 || has('I') !== has('p')) return 'give the hour as %H, or as %I with %p'
  return undefined
}

/**
 * A reader of times written in a format of strptime's directives. All else in the format stands for itself. Numbers may
 * leave out a leading zero; names of months are English, in upper or lower case.
 *
 * @param format one without fault.
 * @param clock turns the time on the clock, as if it were UTC, into the instant where the text gives no offset.
 * @returns a function that gives NaN for any other text, and for a day or an hour that no calendar has.
 */
export function timeFormat(format: string, clock: (local: number) => EpochMs): (text: string) => EpochMs {
  const directives: Directive[] = []
  const pattern = format.replaceAll(/%(.)|([^%])/gs, (_, letter: string | undefined, literal: string | undefined) => {
    if (letter === undefined || letter === '%') return (literal ?? '%').replace(/[\\^$.*+?()[\]{}|/-]/, '\\$&')
    directives.push(DIRECTIVES[letter])
    return `(${DIRECTIVES[letter].pattern})`
  })
  const whole = new RegExp(`^${pattern}$`, 'i')
  return (text) => {
    const match = whole.exec(text)
    if (match === null) return Number.NaN
    const fields = {
      year: 0,
      month: 0,
      day: 0,
      hour: 0,
      minute: 0,
      second: 0,
      ms: 0,
      half: undefined,
      offset: undefined,
    }
    directives.forEach((directive, at) => directive.read(match[at + 1], fields))
    return instantOf(fields, clock)
  }
}

function instantOf(
  { year, month, day, hour, minute, second, ms, half, offset }: Fields,
  clock: (local: number) => EpochMs,
): EpochMs {
  const date = new Date(Date.UTC(year, month - 1, day))
  // Date.UTC takes 31 April for 1 May, and month 13 for January.
  if (date.getUTCDate() !== day || date.getUTCMonth() + 1 !== month) return Number.NaN
  if (half !== undefined && (hour < 1 || hour > 12)) return Number.NaN
  const hours = half === undefined ? hour : (hour % 12) + half
  if (hours > 23 || minute > 59 || second > 59) return Number.NaN
  const local = date.getTime() + ((hours * 60 + minute) * 60 + second) * 1000 + ms
  return offset === undefined ? clock(local) : local - offset * 60_000
}
