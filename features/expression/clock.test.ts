import { expect, test } from 'vitest'
import { randomStream } from '../../datasets/random/random.ts'
import { DAY, HOUR } from '../../datasets/table/transaction.ts'
import { clockPart, type ClockPart } from './clock.ts'

const ISO_WEEKDAY: Record<string, number> = { Mon: 1, Tue: 2, Wed: 3, Thu: 4, Fri: 5, Sat: 6, Sun: 7 }

/** The parts of local time as Intl has them. */
function intlParts(zone: string): (instant: number) => Record<ClockPart, number> {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: zone,
    weekday: 'short',
    day: 'numeric',
    hour: 'numeric',
    hourCycle: 'h23',
  })
  return (instant) => {
    const parts = new Map(format.formatToParts(instant).map(({ type, value }) => [type as string, value]))
    const weekday = ISO_WEEKDAY[parts.get('weekday') ?? '']
    return { hour: Number(parts.get('hour')), weekday, day_of_month: Number(parts.get('day')) }
  }
}

function expectAsIntl(zone: string, instants: number[]): void {
  const expected = intlParts(zone)
  const [hour, weekday, day] = (['hour', 'weekday', 'day_of_month'] as const).map((part) => clockPart(part, zone))
  for (const instant of instants) {
    const found = { hour: hour(instant), weekday: weekday(instant), day_of_month: day(instant) }
    expect({ zone, instant, ...found }).toEqual({ zone, instant, ...expected(instant) })
  }
}

test('the clocks of any zone show what Intl says, from 1900 to 2100', () => {
  const random = randomStream(5)
  const zones = Intl.supportedValuesOf('timeZone').filter(() => random.integer(6) === 0)
  const [from, to] = [Date.UTC(1900, 0, 1), Date.UTC(2100, 0, 1)]
  for (const zone of ['UTC', ...zones]) {
    expectAsIntl(
      zone,
      Array.from({ length: 40 }, () => Math.floor(from + random.uniform() * (to - from))),
    )
  }
})

test.each([
  'Europe/Berlin',
  'America/New_York',
  'America/Sao_Paulo',
  'Australia/Lord_Howe',
  'Pacific/Apia',
  'Asia/Gaza',
  'Africa/Casablanca',
  'America/St_Johns',
])('the clocks of %s are right to the millisecond where they change', (zone) => {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: zone,
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  })
  /** The minutes of a day by which the clocks are ahead of UTC. */
  const ahead = (instant: number): number => {
    const [hour, minute] = format.format(instant).split(':').map(Number)
    return (hour * 60 + minute - Math.floor(instant / 60_000) + 1e12) % 1440
  }
  const days = Array.from({ length: 366 * 4 }, (_, i) => Date.UTC(2010, 11, 1) + i * DAY)
  const around = days.flatMap((day) => {
    let [before, after] = [day, day + DAY]
    if (ahead(before) === ahead(after)) return []
    while (after - before > 1) {
      const middle = Math.floor((before + after) / 2)
      if (ahead(middle) === ahead(day)) before = middle
      else after = middle
    }
    return [before - 1, before, after, after + 1, after + HOUR]
  })
  expect(around.length).toBeGreaterThan(0)
  expectAsIntl(zone, around)
})

test('Liberia changed its clocks by 44 minutes and 30 seconds, and Samoa left out a day', () => {
  expectAsIntl('Africa/Monrovia', [Date.UTC(1972, 0, 7, 0, 44, 29), Date.UTC(1972, 0, 7, 0, 44, 30)])
  const day = clockPart('day_of_month', 'Pacific/Apia')
  expect([Date.UTC(2011, 11, 30, 9, 59, 59, 999), Date.UTC(2011, 11, 30, 10)].map(day)).toEqual([29, 31])
})

test('days before 1970 have weekdays too, and instants beyond the calendar have none', () => {
  const [weekday, hour] = [clockPart('weekday'), clockPart('hour', 'Asia/Tokyo')]
  expect([0, -0.5, -1, -DAY, -4 * DAY].map(weekday)).toEqual([4, 3, 3, 3, 7])
  expect([0, -0.5, -1].map(clockPart('day_of_month'))).toEqual([1, 31, 31])
  expect([0, -0.5, -1].map(clockPart('hour'))).toEqual([0, 23, 23])
  expect([0, -1e-12].map(hour)).toEqual([9, 8])
  expect([Number.NaN, Infinity, 1e300, Date.UTC(999, 0, 1), Date.UTC(9999, 11, 31)].map(hour)).toEqual(
    new Array(5).fill(Number.NaN),
  )
})

test('instants in any order are answered as in the order of time', () => {
  const hour = clockPart('hour', 'Europe/Berlin')
  const instants = Array.from({ length: 100 }, (_, i) => Date.UTC(2024, 2, 25) + i * 3 * HOUR)
  const forward = instants.map(hour)
  expect(instants.toReversed().map(hour).toReversed()).toEqual(forward)
})
