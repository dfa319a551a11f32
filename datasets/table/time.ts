import { timeFormat } from './time-format.ts'
import { zoneClock } from './time-zone.ts'
import { DAY, HOUR, SECOND, type EpochMs } from './transaction.ts'

/**
 * How a column writes times. `timestamp` is ISO 8601 as text, or a number of milliseconds since the epoch. The others
 * count from an origin.
 */
export const TIME_UNITS = ['timestamp', 'ns', 'us', 'ms', 's', 'm', 'h', 'd'] as const
export type TimeUnit = (typeof TIME_UNITS)[number]

/** Milliseconds of a unit; of `timestamp`, those of its numbers. */
export const MS_OF_UNIT: Record<TimeUnit, number> = {
  timestamp: 1,
  ns: 1e-6,
  us: 1e-3,
  ms: 1,
  s: SECOND,
  m: 60 * SECOND,
  h: HOUR,
  d: DAY,
}

/** Times lie in the years 1970 to 2999. Outside of them the unit is wrong, or the record. */
export const END_OF_TIME: EpochMs = Date.UTC(3000, 0)

/** What a time must be, for messages. */
export const EXPECTED_TIME = 'a time from 1970 to 2999'

/** What `parseTime` reads, for messages. */
export const TIME_FORM = 'a date such as 2018-07-25, or with a time 2018-07-25 12:00:00, 2018-07-25T12:00:00.25+02:00'

const FORM = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d(?::?\d\d)?)?)?$/

/**
 * Reads ISO 8601 as every part of fd does: records, files, options and YAML. The text is a date, or a date and a time
 * behind `T` or one space. Seconds may follow, with a fraction of up to nine digits, of which three count. Without an
 * offset (`Z`, `+02`, `+0200`, `+02:00`) it is UTC, whatever the time zone of the process.
 *
 * @param clock turns the time on the clock, as if it were UTC, into the instant where the text gives no offset.
 * @returns NaN for any other text, for a day or an hour that no calendar has, and outside of the years 1970 to 2999.
 */
export function parseTime(text: string, clock: (local: number) => EpochMs = utcClock): EpochMs {
  return inTime(parseInstant(text, clock))
}

/** The same outside of these years too, for what times are counted from: Excel counts days from 1899-12-30. */
export function parseInstant(text: string, clock: (local: number) => EpochMs = utcClock): EpochMs {
  const match = FORM.exec(text)
  if (match === null) return Number.NaN
  const [, year, month, day, hour = '0', minute = '0', second = '0', fraction = '', offset] = match
  // Date.UTC takes a year below 100 for one of the twentieth century.
  if (Number(year) < 100) return Number.NaN
  const midnight = Date.UTC(Number(year), Number(month) - 1, Number(day))
  // Date.UTC takes 31 April for 1 May, and month 13 for January: a day that no month has ends in another month.
  if (new Date(midnight).getUTCMonth() + 1 !== Number(month)) return Number.NaN
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return Number.NaN
  const minutes = Number(hour) * 60 + Number(minute)
  const local = midnight + minutes * 60_000 + Number(second) * 1000 + Number(fraction.slice(0, 3).padEnd(3, '0'))
  return offset === undefined ? clock(local) : local - offsetMinutes(offset) * 60_000
}

function utcClock(local: number): EpochMs {
  return local
}

/** NaN for an offset that no zone has. */
function offsetMinutes(offset: string): number {
  if (offset === 'Z') return 0
  const hours = Number(offset.slice(1, 3))
  const minutes = Number(offset.slice(3).replace(':', ''))
  if (hours > 23 || minutes > 59) return Number.NaN
  return (offset.startsWith('-') ? -1 : 1) * (hours * 60 + minutes)
}

/** How a column of times is written. */
export interface TimeForm {
  unit: TimeUnit
  /** Of text: strptime's directives (`time-format.ts`), instead of ISO 8601. */
  format?: string
  /** Of times without an offset: the IANA zone of their clock. UTC without it. */
  zone?: string
}

/** The clock of a column: from the time it shows, as if that were UTC, to the instant. */
export function clockOf({ zone }: TimeForm): (local: number) => EpochMs {
  return zone === undefined ? utcClock : zoneClock(zone)
}

/** The reader of a column's times as text. It gives NaN for any other text, and outside of the years 1970 to 2999. */
export function textTimeReader(form: TimeForm): (text: string) => EpochMs {
  const clock = clockOf(form)
  if (form.format === undefined) return (text) => parseTime(text, clock)
  const read = timeFormat(form.format, clock)
  return (text) => inTime(read(text))
}

/** What times must be as text, for messages. */
export function textTimeForm({ format, zone }: TimeForm): string {
  const skipped = zone === undefined ? '' : `, that the clocks of ${zone} do not skip`
  return (format === undefined ? TIME_FORM : `one in the format ${format}`) + skipped
}

/** A number of units since `origin`, to the nearest millisecond. @returns NaN outside of the years 1970 to 2999. */
export function countedTime(count: number, unit: TimeUnit, origin: EpochMs = 0): EpochMs {
  return inTime(Math.round(count * MS_OF_UNIT[unit]) + origin)
}

/** How many units since `origin`: what `countedTime` reads back. */
export function timeCount(time: EpochMs, unit: TimeUnit, origin: EpochMs = 0): number {
  return (time - origin) / MS_OF_UNIT[unit]
}

function inTime(time: EpochMs): EpochMs {
  return time >= 0 && time < END_OF_TIME ? time : Number.NaN
}

/**
 * The unit by which a count is a time of our century, when the declared one gives none: seconds where milliseconds were
 * declared are a day of 1970, milliseconds read as seconds the year 49970.
 */
export function likelyUnit(count: number): TimeUnit | undefined {
  const [from, to] = [Date.UTC(2000, 0), Date.UTC(2100, 0)]
  return (['s', 'ms', 'us', 'ns'] as const).find((unit) => {
    const time = count * MS_OF_UNIT[unit]
    return time >= from && time < to
  })
}
