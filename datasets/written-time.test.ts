import { expect, test } from 'vitest'
import { numberReader } from './table/number-form.ts'
import { timeFormat, timeFormatFault } from './table/time-format.ts'
import { isTimeZone, zoneClock } from './table/time-zone.ts'

const utc = (local: number): number => local

test.each([
  ['%d/%m/%Y %H:%M:%S', '07/03/2024 05:06:09', '2024-03-07T05:06:09.000Z'],
  ['%d/%m/%Y', '7/3/2024', '2024-03-07T00:00:00.000Z'],
  ['%m/%d/%y %I:%M %p', '3/7/24 12:05 am', '2024-03-07T00:05:00.000Z'],
  ['%m/%d/%y %I:%M %p', '3/7/68 12:05 PM', '2068-03-07T12:05:00.000Z'],
  ['%d-%b-%Y', '29-Feb-2024', '2024-02-29T00:00:00.000Z'],
  ['%B %d, %Y', 'march 7, 2024', '2024-03-07T00:00:00.000Z'],
  ['%Y%m%d%H%M%S', '20240307050609', '2024-03-07T05:06:09.000Z'],
  ['%Y-%m-%dT%H:%M:%S.%f%z', '2024-03-07T05:06:09.1239+05:30', '2024-03-06T23:36:09.123Z'],
  ['(%Y) %m.%d 100%%', '(2024) 03.07 100%', '2024-03-07T00:00:00.000Z'],
])('%s reads %s', (format, text, instant) => {
  expect(timeFormatFault(format)).toBeUndefined()
  expect(new Date(timeFormat(format, utc)(text)).toISOString()).toBe(instant)
})

test.each([
  ['%d/%m/%Y', '30/2/2024'],
  ['%d/%m/%Y', '1/13/2024'],
  ['%d/%m/%Y', '1/1/2024 '],
  ['%d/%m/%Y', '1-1-2024'],
  ['%d/%m/%Y %H:%M', '1/1/2024 24:00'],
  ['%d/%m/%Y %I:%M %p', '1/1/2024 13:00 pm'],
  ['%d.%m.%Y', '1x1x2024'],
  ['%Y-%m-%d %z', '2024-01-01 +25:00'],
])('%s does not read %s', (format, text) => {
  expect(timeFormat(format, utc)(text)).toBeNaN()
})

test.each([
  ['DD/MM/YYYY', /needs one year, one month and one day/],
  ['%d/%m/%Q', /a format has no %Q\. It has: %Y/],
  ['%d/%m/%Y %', /a format has no %\. It has/],
  ['%d/%m/%Y %d', /%d stands twice/],
  ['%d/%m/%Y %y', /needs one year/],
  ['%d/%m/%Y %I', /give the hour as %H, or as %I with %p/],
])('%s is no format', (format, fault) => {
  expect(timeFormatFault(format)).toMatch(fault)
})

test.each([
  ['Europe/Berlin', '2024-07-01T12:00', '2024-07-01T10:00'],
  ['Europe/Berlin', '2024-10-27T02:30', '2024-10-27T00:30'],
  ['Europe/Berlin', '2024-10-27T03:00', '2024-10-27T02:00'],
  ['America/New_York', '2024-11-03T01:30', '2024-11-03T05:30'],
  ['Australia/Lord_Howe', '2024-04-07T01:45', '2024-04-06T14:45'],
  ['Asia/Kathmandu', '2024-01-01T00:00', '2023-12-31T18:15'],
])('the clocks of %s show %s at %s', (zone, local, instant) => {
  expect(zoneClock(zone)(Date.parse(`${local}Z`))).toBe(Date.parse(`${instant}Z`))
})

test('an hour that the clocks skip is no time', () => {
  const clock = zoneClock('Europe/Berlin')
  expect(clock(Date.UTC(2024, 2, 31, 1, 59))).toBe(Date.UTC(2024, 2, 31, 0, 59))
  expect(clock(Date.UTC(2024, 2, 31, 2))).toBeNaN()
  expect(clock(Date.UTC(2024, 2, 31, 2, 59))).toBeNaN()
  expect(clock(Date.UTC(2024, 2, 31, 3))).toBe(Date.UTC(2024, 2, 31, 1))
})

test('every instant of two years is found again from the clock, and later clocks are never earlier instants', () => {
  for (const zone of ['Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'America/Sao_Paulo', 'UTC']) {
    const clock = zoneClock(zone)
    const show = new Intl.DateTimeFormat('sv-SE', { timeZone: zone, dateStyle: 'short', timeStyle: 'medium' })
    let last = -Infinity
    for (let local = Date.UTC(2017, 6); local < Date.UTC(2019, 6); local += 1_800_000) {
      const instant = clock(local)
      if (Number.isNaN(instant)) continue
      if (instant < last) throw new Error(`${zone}: ${local} is earlier than the time before`)
      if (show.format(instant) !== new Date(local).toISOString().slice(0, 19).replace('T', ' '))
        throw new Error(`${zone}: ${instant} does not show ${local}`)
      last = instant
    }
  }
  expect([isTimeZone('Europe/Berlin'), isTimeZone('Mars/Olympus'), isTimeZone('')]).toEqual([true, false, false])
})

test.each([
  [{ decimal: ',', thousands: '.' }, '1.234.567,89', 1_234_567.89],
  [{ decimal: ',', thousands: '.' }, '1234567,89', 1_234_567.89],
  [{ decimal: ',', thousands: '.' }, '1.5', Number.NaN],
  [{ decimal: ',', thousands: '.' }, '1.2345', Number.NaN],
  [{ decimal: ',' }, '1.234', Number.NaN],
  [{ decimal: '.', thousands: ',' }, '-1,234.5', -1234.5],
  [{ decimal: '.', thousands: ',' }, '12,34', Number.NaN],
  [{ decimal: ',', thousands: ' ' }, '12\u00a0345,6', 12_345.6],
  [{ decimal: '.', thousands: "'" }, "12'345.6", 12_345.6],
  [{ decimal: ',' }, '1e400', Number.NaN],
] as const)('%o reads %s as %d', (form, text, number) => {
  expect(numberReader(form)(text)).toBe(number)
})
