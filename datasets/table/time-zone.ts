import { DAY, type EpochMs } from './transaction.ts'

/** Zones change their offset at quarters of an hour, so one answer holds for a quarter. */
const QUARTER = 900_000

/** Whether this is a zone of the IANA database, such as Europe/Berlin. */
export function isTimeZone(zone: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: zone }).resolvedOptions().timeZone !== ''
  } catch {
    return false
  }
}

/**
 * Turns the time on the clocks of a zone into the instant. The input is that time as if it were UTC, in milliseconds.
 *
 * In autumn an hour comes twice: it is taken for the first of the two, so that a later time on the clock is never an
 * earlier instant. In spring the clocks skip an hour: a time within it is no time.
 *
 * @returns NaN for a time that the clocks skip.
 */
export function zoneClock(zone: string): (local: number) => EpochMs {
  const offsetAt = offsets(zone)
  return (local) => {
    // The offset of the day before, and of the day after: of one hour that comes twice the first has the former.
    for (const nearby of [local - DAY, local + DAY]) {
      const instant = local - offsetAt(nearby)
      if (offsetAt(instant) === local - instant) return instant
    }
    return Number.NaN
  }
}

/** How far the clocks of a zone are ahead of UTC at an instant, in milliseconds. */
function offsets(zone: string): (instant: EpochMs) => number {
  const known = new Map<number, number>()
  const parts = ['year', 'month', 'day', 'hour', 'minute', 'second'] as const
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: zone,
    hourCycle: 'h23',
    ...Object.fromEntries(parts.map((part) => [part, 'numeric'])),
  })
  const compute = (instant: EpochMs): number => {
    const found = new Map(format.formatToParts(instant).map(({ type, value }) => [type, Number(value)]))
    const [year, month, day, hour, minute, second] = parts.map((part) => found.get(part) ?? Number.NaN)
    return Date.UTC(year, month - 1, day, hour, minute, second) - instant
  }
  return (instant) => {
    if (Number.isNaN(instant)) return instant
    const quarter = Math.floor(instant / QUARTER)
    const offset = known.get(quarter) ?? compute(quarter * QUARTER)
    known.set(quarter, offset)
    return offset
  }
}
