import { zoneOffset } from '../../datasets/table/time-zone.ts'
import { DAY, HOUR, type EpochMs } from '../../datasets/table/transaction.ts'

/** What the clocks and the calendar of a place say. */
export type ClockPart = 'hour' | 'weekday' | 'day_of_month'

/** Zones are known for these years. */
const FIRST = Date.UTC(1000, 0, 2)
const LAST = Date.UTC(9999, 11, 30)

/** 1970-01-01 was a Thursday, the fourth day of the week. */
const THURSDAY = 3

/**
 * A part of the local time of an instant: the hour from 0 to 23, the day of the week from 1 (Monday) to 7 (Sunday, as
 * ISO 8601 counts), or the day of the month from 1 to 31. Instants outside of the years 1000 to 9999 have none (NaN).
 *
 * @param zone of the IANA database, with the rules that this version of Node knows.
 */
export function clockPart(part: ClockPart, zone = 'UTC'): (instant: EpochMs) => number {
  const offsetAt = zoneOffset(zone)
  return (instant) => {
    if (!(instant >= FIRST && instant < LAST)) return Number.NaN
    // Added to hours, the part of a millisecond before 1970 would be lost in rounding.
    const whole = Math.floor(instant)
    const local = whole + offsetAt(whole)
    const days = Math.floor(local / DAY)
    if (part === 'hour') return Math.floor((local - days * DAY) / HOUR)
    if (part === 'weekday') return ((((days + THURSDAY) % 7) + 7) % 7) + 1
    return new Date(days * DAY).getUTCDate()
  }
}
