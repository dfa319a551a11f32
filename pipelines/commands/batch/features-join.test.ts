import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ownData, type OwnData } from '../../testing/own-data.ts'

const YAML = `
service: card-fraud
schema:
  id: { column: id, type: integer }
  time: { column: at, unit: timestamp }
  amount: { column: sum, minorUnits: 2 }
  label: { column: fraud, delay: 1h }
  entities:
    - { name: customer, column: card, type: string }
    - { name: terminal, column: shop, type: integer }
`

/** Purchases an hour apart, by the cards a and b in turn; the first five of them are fraud. */
const rows = Array.from({ length: 20 }, (_, id) => {
  const at = new Date(Date.UTC(2024, 0, 1, id)).toISOString()
  return [id, at, 10 * (id + 1), id < 5 ? 1 : 0, 'ab'[id % 2], 1].join(',')
})

let own: OwnData
let from: string[]
beforeAll(() => {
  own = ownData({ 'shops.yaml': YAML })
  from = ['--dataset', 'shops', '--data', own.write('shops.csv', ['id,at,sum,fraud,card,shop', ...rows].join('\n'))]
})
afterAll(() => own[Symbol.asyncDispose]())

const out = (name: string): string => join(own.folder, name)

test('rows of a table get their features, beside their own columns and in their order', async () => {
  const table = own.write(
    'frame.csv',
    'why,card,at,id\nlate,b,2024-01-01T12:00:00Z,\nfirst,a,2023-12-31,\n' +
      'itself,,2024-01-01T04:00:00Z,4\nmoved,a,2024-01-01T05:00:00Z,4\n',
  )
  const { stdout, stderr } = await own.start('features', 'join', ...from, '--labels', table, '--out', out('out.csv'))
    .ended
  const [header, ...lines] = readFileSync(out('out.csv'), 'utf8').trimEnd().split('\n')
  const at = header.split(',').indexOf('customer_id_nb_tx_1day_window')
  expect(header.split(',').slice(0, 5)).toEqual(['why', 'card', 'at', 'id', 'tx_amount'])
  const cells = lines.map((line) => line.split(','))
  expect(cells.map((row) => [...row.slice(0, 5), row[at]].join(' '))).toEqual([
    'late b 2024-01-01T12:00:00Z   6.0',
    'first a 2023-12-31   0.0',
    'itself  2024-01-01T04:00:00Z 4 50.0 3.0',
    'moved a 2024-01-01T05:00:00Z 4  3.0',
  ])
  // Without a terminal there is nothing to know of one.
  expect(cells.map((row) => row.at(-1))).toEqual(['', '', '0.0', ''])
  expect(stderr).toMatch(/1 of 4 rows have the id of a transaction of shops and another time/)
  expect(stdout).toMatch(/rows +4\n.*history +1\n.*Next: fd train --dataset shops --data \S+shops\.csv\n$/s)
})

test('a document says which features no row has, and which had to be renamed', async () => {
  const table = own.write('clash.csv', 'card;at;TX_during_night\na;2024-01-01 12:00;x\n')
  const text = await own.fd('features', 'join', ...from, '--labels', table, '--out', out('out.parquet'), '--json')
  const document = JSON.parse(text) as Record<string, unknown>
  expect(document).toMatchObject({
    rows: 1,
    transactions: 0,
    service: 'card-fraud',
    renamed: { tx_during_night: 'transaction__tx_during_night' },
    without: expect.arrayContaining(['tx_amount', 'terminal_id_risk_7day_window']) as unknown,
  })
})

test.each([
  [['--labels', 'frame.csv', '--out', 'frame.xlsx'], /frame\.xlsx ends in no format.*\.parquet, \.csv or \.csv\.gz/],
  [['--labels', 'frame.csv', '--out', 'frame.csv'], /is the table itself\. Name another file/],
  [['--labels', 'no-such.csv', '--out', 'out.csv'], /There is no file .*no-such\.csv.*--labels FILE/],
  [['--labels', 'frame.csv', '--out', 'out.csv', '--unit', 'years'], /Allowed choices are timestamp, ns/],
])('%j is refused', async (args, message) => {
  const { code, stderr } = await own.try('features', 'join', ...from, ...args)
  expect(stderr).toMatch(message)
  expect(code).toBe(2)
})
