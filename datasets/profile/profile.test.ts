import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { isCardNumber } from '../file/shown-text.ts'
import { randomStream } from '../random/random.ts'
import type { DatasetSchema } from '../table/dataset.ts'
import { fileDataset } from '../table/file-dataset.ts'
import { DAY, HOUR } from '../table/transaction.ts'
import { findingsOf } from './findings.ts'
import { profileOf, type Profile } from './profile.ts'
import { Tally } from './tally.ts'

const folder = mkdtempSync(join(tmpdir(), 'fd-profile-'))
afterAll(() => rmSync(folder, { recursive: true }))

const SCHEMA: DatasetSchema = {
  time: { column: 't', unit: 'ms' },
  amount: { column: 'a', minorUnits: 2 },
  label: { column: 'y' },
  entities: [{ name: 'card', column: 'card', type: 'string' }],
  numeric: ['x'],
  categorical: ['country'],
}
const START = Date.UTC(2024, 0, 1)

interface Row {
  t: number
  a: number
  y: string
  card: string
  x: string
  country: string
}

/** Rows that look right: four hours apart, one fraud in ten. */
function rowsOf(count: number, change: (row: Row, index: number) => Partial<Row> = () => ({})): Row[] {
  const random = randomStream(3, count)
  return Array.from({ length: count }, (_, i) => {
    const row = {
      t: START + i * 4 * HOUR + 1,
      a: random.integer(10_000) / 100,
      y: i % 10 === 0 ? '1' : '0',
      card: `c${random.integer(12)}`,
      x: random.integer(5) === 0 ? '' : String(random.integer(1000) / 8),
      country: ['', 'CH', 'DE', 'FR'][random.integer(4)],
    }
    return { ...row, ...change(row, i) }
  })
}

async function profiled(
  rows: Row[],
  schema = SCHEMA,
  tokenKey?: string,
  mostValues?: number,
): Promise<{ profile: Profile; findings: string[] }> {
  const file = join(folder, 'rows.csv')
  const line = ({ t, a, y, card, x, country }: Row): string => [t, a, y, card, x, country].join()
  writeFileSync(file, ['t,a,y,card,x,country', ...rows.map(line)].join('\n'))
  const description = {
    name: 'rows',
    description: '',
    schema,
    service: '',
    split: { kind: 'ordered', trainShare: 0.7 },
  }
  const options = { maxAhead: HOUR, ...(tokenKey ? { tokenKey } : {}) }
  const dataset = fileDataset(description as Parameters<typeof fileDataset>[0], file, options)
  const profile = await profileOf(dataset, mostValues)
  return { profile, findings: findingsOf(profile, schema) }
}

const most = (values: string[]): { value: string; rows: number }[] =>
  [...new Set(values)]
    .map((value) => ({ value, rows: values.filter((other) => other === value).length }))
    .toSorted((one, other) => other.rows - one.rows)
    .slice(0, 10)

test('a profile counts what the obvious loops count', async () => {
  const rows = rowsOf(2000, (_, i) => (i % 7 === 3 ? { y: '' } : {}))
  const { profile, findings } = await profiled(rows)
  const labelled = rows.filter(({ y }) => y !== '')
  const amounts = rows.map(({ a }) => a).toSorted((one, other) => one - other)
  const numbers = rows.filter(({ x }) => x !== '').map(({ x }) => Number(x))
  expect(profile).toMatchObject({
    rows: 2000,
    stopped: null,
    from: rows[0].t,
    to: rows[1999].t,
    frauds: labelled.filter(({ y }) => y === '1').length,
    genuine: labelled.filter(({ y }) => y === '0').length,
    atMidnight: 0,
    entities: [{ name: 'card', distinct: 12, cardNumbers: false, most: most(rows.map(({ card }) => card)) }],
    columns: [
      { column: 'x', blank: 2000 - numbers.length, min: Math.min(...numbers), max: Math.max(...numbers) },
      { column: 'country', blank: rows.filter(({ country }) => country === '').length, distinct: 3 },
    ],
  })
  expect(profile.rowsByDay).toEqual(
    Array.from({ length: 334 }, (_, day) => rows.filter(({ t }) => Math.floor((t - START) / DAY) === day).length),
  )
  const { amounts: found } = profile
  expect([found.min, found.median, found.max]).toEqual([amounts[0], amounts[999], amounts[1999]])
  expect(findings).toEqual([])
})

test.each<[string, (row: Row, index: number) => Partial<Row>, RegExp]>([
  ['seconds read as milliseconds', (_, i) => ({ t: 1_700_000_000 + i }), /^All times lie in 1970: .*\(ms\)/],
  ['all within minutes', (_, i) => ({ t: START + i * 1000 }), /^All rows lie within 4 minutes/],
  ['dates', (_, i) => ({ t: START + i * DAY }), /^All times are at midnight/],
  ['no label', () => ({ y: '' }), /^The label y is empty in every row/],
  ['no fraud', () => ({ y: 'no' }), /^The label y knows no fraud among 200 rows/],
  ['only frauds', () => ({ y: 'Y' }), /^By the label y every row is a fraud/],
  ['labels the other way round', ({ y }) => ({ y: y === '1' ? '0' : '1' }), /are 0 and 1 the other way round/],
  ['one amount', () => ({ a: 5 }), /^Every amount is 5\./],
  ['no amounts', (row, i) => ({ a: i % 3 === 0 ? row.a : 0 }), /^More than half of the amounts are 0/],
  ['unique keys', (_, i) => ({ card: `c${i}` }), /^Every row has a card \(card\) of its own/],
  ['one key', () => ({ card: 'c' }), /^All rows have the same card/],
  ['card numbers', (_, i) => ({ card: i % 2 === 0 ? '4111111111111111' : '5500000000000004' }), /token: true/],
  ['an empty column', () => ({ x: '' }), /^x is empty in every row/],
  ['an almost empty column', (_, i) => ({ country: i < 5 ? 'CH' : '' }), /^country is empty in 97 % of the rows/],
  ['a constant column', () => ({ x: '3' }), /^x has one value in all rows/],
  ['a constant category', () => ({ country: 'CH' }), /^country has one value in all rows/],
  ['a number that is the label', ({ y }) => ({ x: y === '1' ? '7' : '2' }), /^x alone tells all frauds/],
  ['a category that is the label', ({ y }) => ({ country: y === '1' ? 'bad' : '' }), /^country alone tells all frauds/],
  ['keys as floats', (_, i) => ({ card: `${i % 9}.0` }), /^card holds whole numbers as floats, such as 7\.0/],
  [
    'a few keys as floats',
    (_, i) => ({ card: `${i % 9}${i > 190 ? '.0' : ''}` }),
    /^card holds whole numbers as floats/,
  ],
  [
    'categories as floats',
    (_, i) => ({ country: i % 4 ? `${i % 5}.0` : '' }),
    /^country holds whole numbers as floats/,
  ],
  ['a time that goes back', (_, i) => (i === 150 ? { t: START } : {}), /line 152, column t: time goes back/],
])('what looks wrong is said: %s', async (_, change, finding) => {
  const { findings } = await profiled(rowsOf(200, change))
  expect(findings.filter((found) => finding.test(found))).toHaveLength(1)
})

test('refunds are counted, and are not zeros', async () => {
  const rows = rowsOf(300, (row, i) => (i % 6 === 0 ? { a: i % 12 === 0 ? 0 : -1 - row.a } : { a: row.a + 1 }))
  const { profile, findings } = await profiled(rows, { ...SCHEMA, refunds: true })
  expect(profile.amounts).toMatchObject({ refunds: 25, zeros: 25, min: Math.min(...rows.map(({ a }) => a)) })
  expect(findings).toEqual([])
})

test('rows without a key are counted, and are no key', async () => {
  const optional = {
    ...SCHEMA,
    entities: [...SCHEMA.entities, { name: 'device', column: 'country', type: 'string' as const, optional: true }],
  }
  const rows = rowsOf(300)
  const { profile, findings } = await profiled(rows, optional)
  const blank = rows.filter(({ country }) => country === '').length
  expect(blank).toBeGreaterThan(30)
  expect(profile.entities[1]).toMatchObject({ blank, distinct: 3 })
  expect(profile.entities[1].most.map(({ value }) => value)).not.toContain('')
  expect(findings).toEqual([])
  const none = await profiled(
    rowsOf(200, () => ({ country: '' })),
    optional,
  )
  expect(none.findings).toContain('No row has a device (country).')
})

test('a row that cannot be read ends the profile, which stands for those before it', async () => {
  const rows = rowsOf(40_000, (_, i) => ({ t: START + i, ...(i === 39_000 ? { x: 'many' } : {}) }))
  const { profile } = await profiled(rows)
  expect(profile.rows).toBeGreaterThan(0)
  expect(profile.rows).toBeLessThan(39_001)
  expect(profile.stopped).toMatch(/line 39002, column x: "many" is not a number/)
})

test('card numbers are never shown: masked where they are not tokens', async () => {
  const numbers = ['4111111111111111', '5500000000000004', '340000000000009']
  const written = [numbers[0], `${numbers[1]}.0`, `visa ${numbers[2]}`]
  const rows = rowsOf(300, (_, i) => ({ card: written[i % 3] }))
  const plain = await profiled(rows)
  expect(plain.profile.entities[0].most.map(({ value }) => value)).toEqual(['…1111', '…0004', 'visa …0009'])
  const [entity] = SCHEMA.entities
  const tokens = await profiled(rows, { ...SCHEMA, entities: [{ ...entity, token: true }] }, 'a secret of 24 letters..')
  const withoutSecret = await profiled(rows, { ...SCHEMA, entities: [{ ...entity, token: true }] })
  expect(withoutSecret.findings).toEqual([expect.stringContaining('Set FD_TOKEN_KEY')])
  expect(tokens.findings).toEqual([])
  for (const found of [plain, tokens, withoutSecret])
    expect(numbers.filter((number) => JSON.stringify(found).includes(number))).toEqual([])
})

test('a card number has 13 to 19 digits, the last of which checks the others', () => {
  const numbers = ['4111111111111111', '4111 1111 1111 1111', '340000000000009.0']
  expect([...numbers, '4111111111111112', '41111111', 'c4111111111111111'].map(isCardNumber)).toEqual([
    true,
    true,
    true,
    false,
    false,
    false,
  ])
})

test('the most frequent values are those of a full sort', () => {
  const random = randomStream(5, 1)
  const [tally, plain] = [new Tally(), new Map<number, number>()]
  for (let i = 0; i < 20_000; i++) {
    const value = Math.floor(random.uniform() ** 3 * 500)
    tally.add(value)
    plain.set(value, (plain.get(value) ?? 0) + 1)
  }
  const sorted = [...plain].toSorted((one, other) => other[1] - one[1]).slice(0, 10)
  expect(tally.most(10)).toEqual(sorted.map(([value, rows]) => ({ value: String(value), rows })))
  expect(tally.distinct).toBe(plain.size)
})

test('keys and categories among which is a fraction are not taken for whole numbers', async () => {
  const values = ['1.0', '1.5', '2.0', '7', 'v2.0', '1.0.0']
  const { findings } = await profiled(rowsOf(200, (_, i) => ({ card: values[i % 6], country: values[i % 6] })))
  expect(findings).toEqual([])
})

test('with more distinct values than are counted, no frequent one is lost and each count has its bounds', () => {
  const random = randomStream(8, 1)
  for (const mostValues of [1, 7, 60]) {
    const [tally, plain] = [new Tally(mostValues), new Map<string, number>()]
    for (let i = 0; i < 20_000; i++) {
      const value = String(i < 10_000 ? i : Math.floor(random.uniform() ** 6 * 4000))
      tally.add(value)
      plain.set(value, (plain.get(value) ?? 0) + 1)
    }
    const most = tally.most(Infinity)
    expect(tally.missed).toBeGreaterThan(0)
    expect(tally.missed).toBeLessThanOrEqual(20_000 / (mostValues + 1))
    expect(tally.distinct).toBe(mostValues)
    for (const { value, rows } of most) {
      expect(plain.get(value)).toBeGreaterThanOrEqual(rows)
      expect(plain.get(value)).toBeLessThanOrEqual(rows + tally.missed)
    }
    const surely = [...plain].filter(([, rows]) => rows > 2 * tally.missed).map(([value]) => value)
    expect(most.map(({ value }) => value)).toEqual(expect.arrayContaining(surely))
  }
})

test('one key after more than a million others is found to be the most frequent', () => {
  const tally = new Tally()
  for (let key = 0; key < 1_200_000; key++) tally.add(key)
  expect([tally.distinct, tally.missed, tally.repeats, tally.most(10)]).toEqual([1_000_000, 1, false, []])
  for (let i = 0; i < 500_000; i++) tally.add('often')
  expect([tally.repeats, tally.most(10)]).toEqual([true, [{ value: 'often', rows: 500_000 }]])
})

test('what cannot be known of many keys is said, and is judged by nothing', async () => {
  const own = (_: Row, i: number): Partial<Row> => ({ card: `c${i}`, country: `x${i % 150}` })
  const unique = await profiled(rowsOf(220, own), SCHEMA, undefined, 100)
  expect(unique.findings).toEqual([
    'The first 100 rows have a card (card) of their own each: there no key has a history.',
  ])
  const often = await profiled(
    rowsOf(220, (row, i) => (i < 120 ? own(row, i) : { card: 'often' })),
    SCHEMA,
    undefined,
    100,
  )
  expect(often.findings).toEqual([])
  expect(often.profile.entities[0]).toMatchObject({ distinct: 100, missed: 1, most: [{ value: 'often', rows: 100 }] })
  expect(often.profile.columns[1]).toMatchObject({ column: 'country', distinct: 100, moreDistinct: true })
  // Two values after one made room are not the only one.
  const few = await profiled(
    rowsOf(200, (_, i) => ({ card: `c${i % 2}`, country: `c${i % 2}` })),
    SCHEMA,
    undefined,
    1,
  )
  expect(few.findings.filter((finding) => /same|one value/.test(finding))).toEqual([])
})
