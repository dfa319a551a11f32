import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ownData, type OwnData } from '../../testing/own-data.ts'

const YAML = `
service: card-fraud
schema:
  id: { column: id, type: integer }
  time: { column: at, unit: timestamp }
  amount: { column: sum, minorUnits: 2 }
  label: { column: fraud }
  entities:
    - { name: customer, column: card, type: string }
    - { name: terminal, column: shop, type: integer }
`

/** Twelve purchases of `a`, `b, too` and 7 at two shops, an hour apart. */
const rows = Array.from({ length: 12 }, (_, id) => {
  const at = new Date(Date.UTC(2024, 0, 1, id)).toISOString()
  return [id, at, 10 * (id + 1), 0, ['a', '"b, too"', '7'][id % 3], id % 2].join(',')
})
const table = ['id,at,sum,fraud,card,shop', ...rows].join('\n')

let own: OwnData
beforeAll(async () => {
  own = ownData({ 'shops.yaml': YAML })
  const data = own.write('shops.csv', table)
  await own.fd('features', 'backfill', '--dataset', 'shops', '--data', data, '--online')
}, 60_000)
afterAll(() => own[Symbol.asyncDispose]())

const get = (...args: string[]): Promise<string> => own.fd('features', 'get', '--service', 'card-fraud', ...args)

interface Answer {
  at: string
  rows: { keys: Record<string, number | string>; features: Record<string, number | null>; unknown?: string[] }[]
  unknown: { entity: string; key: string }[]
}

const COUNT = 'customer_id_nb_tx_1day_window'

test('one key of one entity: its features, and nothing else, as ever', async () => {
  const found = JSON.parse(await get('--entity', 'customer=a', '--json')) as Record<string, unknown>
  expect(Object.keys(found)).toEqual(['entity', 'key', 'at', 'features'])
  expect(found).toMatchObject({ entity: 'customer', key: 'a', at: '2024-01-01 11:00:00', features: { [COUNT]: 4 } })
  expect(await get('--entity', 'customer=a')).toMatch(/^customer a at 2024-01-01 11:00:00\n.*Next: fd features join/s)
})

test('keys with commas, lists that go together, a text of figures, and one that is unknown', async () => {
  const text = await get('--entity', 'customer="a","b, too","7","c"', '--entity', 'terminal=1', '--json')
  const { rows, unknown } = JSON.parse(text) as Answer
  expect(rows.map(({ keys }) => keys)).toEqual(['a', 'b, too', '7', 'c'].map((customer) => ({ customer, terminal: 1 })))
  expect(rows.map(({ features }) => features[COUNT])).toEqual([4, 4, 4, null])
  expect(rows.map((row) => row.unknown)).toEqual([undefined, undefined, undefined, ['customer']])
  expect(unknown).toEqual([{ entity: 'customer', key: 'c' }])
  const later = JSON.parse(await get('--entity', 'customer=a,7', '--at', '2024-01-02T03:30:00', '--json')) as Answer
  expect(later.at).toBe('2024-01-02 03:30:00')
  expect(later.rows.map(({ features }) => features[COUNT])).toEqual([2, 3])
})

test('a file of keys, gzipped, with blank cells: a table with a row for each', async () => {
  const file = own.write('keys.csv.gz', gzipSync('terminal;customer\n0;a\n;"7"\n1;\n9;a\n'))
  const { stdout, stderr } = await own.try('features', 'get', '--service', 'card-fraud', '--keys', file)
  const lines = stdout.split('\n').slice(4, 8)
  expect(lines.map((line) => line.split(/\s+/).filter(Boolean).slice(0, 3))).toEqual([
    ['0', 'a', '4'],
    ['7', '4', expect.any(String)],
    ['1', expect.any(String), expect.any(String)],
    ['9', 'a', '4'],
  ])
  expect(stderr).toContain('The online store has no terminal 9.')
})

test('a time that the store has let go is said to be one', async () => {
  const args = ['--entity', 'customer=a', '--at', '2024-01-01T03:30:00']
  const { stderr } = await own.try('features', 'get', '--service', 'card-fraud', ...args)
  expect(stderr).toMatch(/more than an hour before the newest.*customer_spending may lack.*fd features join/)
})

test.each([
  [['--entity', 'customer=a', '--keys', 'k.csv'], /--entity or --keys, not both/],
  [['--keys', 'gone.csv'], /There is no file .*gone.csv. Give an existing CSV or Parquet file with --keys FILE/],
  [[], /--entity customer=42, or a file of keys/],
  [['--entity', 'customer=a,,b'], /"customer=a,,b" has an empty key/],
  [['--entity', 'customer=a', '--entity', 'customer=b'], /given twice.*customer=1,2,3/],
  [['--entity', 'customer=a,b,c', '--entity', 'terminal=1,2'], /3 keys of customer and 2 of terminal.*--keys FILE/],
  [['--entity', 'customer=x,y'], /has no customer x, customer y .*fd features backfill/],
  [['--keys', 'no-such.csv'], /There is no file .*no-such\.csv/],
])('%j is refused', async (args, message) => {
  const { code, stderr } = await own.try('features', 'get', '--service', 'card-fraud', ...args)
  expect(stderr).toMatch(message)
  expect(code).toBe(2)
})

test.each([
  ['card,terminal\na,1\n', /the column card is no entity.*customer, terminal/],
  ['customer,terminal\n', /columns but no rows/],
  ['customer,terminal\na,1\n,\n', /line 3: the row has no key/],
  ['customer,terminal\na,1,2\n', /line 2: it has more cells/],
])('a file of keys that says %j is refused', async (content, message) => {
  const { code, stderr } = await own.try(
    'features',
    'get',
    '--service',
    'card-fraud',
    '--keys',
    own.write('k.csv', content),
  )
  expect(stderr).toMatch(message)
  expect(code).toBe(2)
})
