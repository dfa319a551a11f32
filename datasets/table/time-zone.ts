import { DAY, SECOND, type DurationMs, type EpochMs } from './transaction.ts'

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
  const offsetAt = zoneOffset(zone)
  return (local) => {
    // The offset of the day before, and of the day after: of one hour that comes twice the first has the former.
    for (const nearby of [local - DAY, local + DAY]) {
      const instant = local - offsetAt(nearby)
      if (offsetAt(instant) === local - instant) return instant
    }
    return Number.NaN
  }
}

/** An offset of a zone's clocks from one instant up to another, which is excluded. */
interface Stretch {
  from: EpochMs
  to: EpochMs
  offset: DurationMs
}

/** How many days' offsets are kept. A stream that jumps about in time must not fill the memory. */
const MOST_DAYS = 10_000

/**
 * How far the clocks of a zone are ahead of UTC at an instant, to the second at which they change.
 *
 * A day is asked for its offset at both ends, and where the two differ, for when they changed. What is known of a day
 * is kept, so that a row costs a comparison and not a look into the database of zones.
 *
 * @returns for instants of the years 1000 to 9999; NaN for NaN.
 */
export function zoneOffset(zone: string): (instant: EpochMs) => DurationMs {
  const known = new Map<number, Stretch[]>()
  const offsetAt = askedOffset(zone)
  let current: Stretch = { from: 0, to: 0, offset: 0 }
  return (instant) => {
    if (instant >= current.from && instant < current.to) return current.offset
    if (Number.isNaN(instant)) return instant
    const day = Math.floor(instant / DAY)
    const stretches = known.get(day) ?? stretchesOf(day * DAY, offsetAt)
    if (known.size >= MOST_DAYS) known.clear()
    known.set(day, stretches)
    current = stretches.find(({ to }) => instant < to) ?? current
    return current.offset
  }
}

/** The offsets of a day, which begins at `start` in UTC. */
function stretchesOf(start: EpochMs, offsetAt: (instant: EpochMs) => DurationMs): Stretch[] {
  const end = start + DAY
  const last = offsetAt(end)
  const stretches: Stretch[] = []
  let [from, offset] = [start, offsetAt(start)]
  while (offset !== last) {
    let [before, after] = [from, end]
    while (after - before > SECOND) {
      const middle = before + Math.floor((after - before) / 2 / SECOND) * SECOND
      if (offsetAt(middle) === offset) before = middle
      else after = middle
    }
    stretches.push({ from, to: after, offset })
    ;[from, offset] = [after, offsetAt(after)]
  }
  return [...stretches, { from, to: end, offset }]
}

/** The offset at a whole second, as the database of zones has it. */
function askedOffset(zone: string): (instant: EpochMs) => DurationMs {
  const parts = ['year', 'month', 'day', 'hour', 'minute', 'second'] as const
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: zone,
    hourCycle: 'h23',
    ...Object.fromEntries(parts.map((part) => [part, 'numeric'])),
  })
  return (instant) => {
    const found = new Map(format.formatToParts(instant).map(({ type, value }) => [type, Number(value)]))
    const [year, month, day, hour, minute, second] = parts.map((part) => found.get(part) ?? Number.NaN)
    return Date.UTC(year, month - 1, day, hour, minute, second) - instant
  }
}
