import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { UserError } from '../configs/user-error.ts'
import { readUserDataset } from './described/user-dataset.ts'
import { cellHint, type CellRole } from './table/cell-hint.ts'
import type { DatasetSchema } from './table/dataset.ts'
import { readTable, type TableEnd } from './table/table.ts'
import { UNLABELLED } from './table/transaction.ts'

const folder = mkdtempSync(join(tmpdir(), 'fd-odd-cells-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

type Schema = Record<string, unknown>

const TIME = { column: 'at', unit: 'timestamp' }
const SCHEMA: Schema = {
  id: { column: 'id', type: 'integer' },
  time: TIME,
  amount: { column: 'amount', minorUnits: 2 },
  label: { column: 'fraud', knownAt: 'known' },
  entities: [
    { name: 'card', column: 'card', type: 'string' },
    { name: 'device', column: 'device', type: 'integer', optional: true },
  ],
  numeric: ['n'],
}

let files = 0
function file(kind: string, text: string): string {
  const path = join(folder, `${files++}.${kind}`)
  writeFileSync(path, text)
  return path
}

function described(schema: Schema): DatasetSchema {
  return readUserDataset(file('yaml', stringify({ service: 's', schema }))).schema
}

/** Reads a table of one row, by a schema as it stands in YAML. @returns what the row holds under the column's name. */
async function read(cells: Record<string, string>, schema: Schema, end?: TableEnd): Promise<Record<string, unknown>> {
  const row = { id: '1', at: '2024-01-05', amount: '1', fraud: '', known: '', card: 'c', device: '7', n: '1', ...cells }
  const table = file('csv', `${Object.keys(row).join(';')}\n${Object.values(row).join(';')}\n`)
  for await (const batch of readTable(table, described(schema), end === undefined ? {} : { end })) {
    return {
      at: new Date(batch.time[0]).toISOString(),
      amount: batch.amount[0],
      fraud: batch.label[0],
      known: batch.knownAt[0],
      device: batch.entities[1][0],
      n: batch.numeric[0][0],
    }
  }
  throw new Error('the table has no rows')
}

async function refusal(cells: Record<string, string>, schema: Schema, end?: TableEnd): Promise<string> {
  const error: unknown = await read(cells, schema, end).catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(UserError)
  return String(error)
}

/** The declarations that a message proposes, as YAML gives them. */
function declared(message: string): Schema {
  const found = [...message.matchAll(/\b(time|numbers|missing): (\{.*?\}|\[.*?\])/g)]
  return Object.assign({}, ...found.map(([text]) => parse(text) as Schema)) as Schema
}

const BERLIN = { ...TIME, zone: 'Europe/Berlin' }
const DAY_FIRST = { ...TIME, format: '%d/%m/%Y %H:%M' }

const ROLES: Record<string, CellRole> = { at: 'time', amount: 'amount', n: 'number' }

test.each<[column: string, cell: string, value: unknown, as?: Schema]>([
  ['at', '05/01/2024 10:00', '2024-01-05T10:00:00.000Z'],
  ['at', '5.1.24', '2024-01-05T00:00:00.000Z'],
  ['at', '2024/01/05 10:00:07.25', '2024-01-05T10:00:07.250Z'],
  ['at', '05/01/2024 10:00:07,5', '2024-01-05T10:00:07.500Z'],
  ['at', '05/01/2024 10:00 PM', '2024-01-05T22:00:00.000Z'],
  ['at', '05/01/2024 12:30am', '2024-01-05T00:30:00.000Z'],
  ['at', '05/01/2024 10:00:00 +0200', '2024-01-05T08:00:00.000Z'],
  ['at', '2024-01-05 10:00 UTC', '2024-01-05T10:00:00.000Z'],
  ['at', '01/25/2024, 10:00', '2024-01-25T10:00:00.000Z'],
  ['at', '01/25/2024 10:00', '2024-01-25T10:00:00.000Z', { time: DAY_FIRST }],
  ['at', '05/07/2024 10:00', '2024-07-05T08:00:00.000Z', { time: BERLIN }],
  ['at', '45296.25', '2024-01-05T06:00:00.000Z'],
  ['at', '45296,25', '2024-01-05T06:00:00.000Z'],
  ['at', '45296,25', '2024-01-05T06:00:00.000Z', { time: { column: 'at', unit: 'd', origin: '1899-12-30' } }],
  ['at', '2024-01-05 10:00', '2024-01-05T10:00:00.000Z', { time: { column: 'at', unit: 's' } }],
  ['at', '05/01/2024', '2024-01-05T00:00:00.000Z', { time: { column: 'at', unit: 's' } }],
  ['at', '1704448800', '2024-01-05T10:00:00.000Z'],
  ['at', '1704448800.25', '2024-01-05T10:00:00.250Z'],
  ['at', '1704448800000', '2024-01-05T10:00:00.000Z'],
  ['at', '1704448800000000', '2024-01-05T10:00:00.000Z', { time: BERLIN }],
  ['at', '20240105', '2024-01-05T00:00:00.000Z'],
  ['at', '05012024', '2024-01-05T00:00:00.000Z'],
  ['at', '20240105100007', '2024-01-05T10:00:07.000Z'],
  ['at', '20240105T1000Z', '2024-01-05T10:00:00.000Z'],
  ['at', '20240105T100000+0200', '2024-01-05T08:00:00.000Z'],
  ['at', '05-Jan-2024 10:00', '2024-01-05T10:00:00.000Z'],
  ['at', '5 January 2024', '2024-01-05T00:00:00.000Z'],
  ['at', '05.MAY.24', '2024-05-05T00:00:00.000Z'],
  ['at', 'Jan 5, 2024 10:00 PM', '2024-01-05T22:00:00.000Z'],
  ['at', 'December 25 2023, 10:00', '2023-12-25T10:00:00.000Z'],
  ['at', '2024-25-01', '2024-01-25T00:00:00.000Z'],
  ['amount', '12,50', 1250],
  ['amount', '1,234.50', 123_450],
  ['amount', '1.234,50', 123_450],
  ['amount', '1.234.567', 123_456_700],
  ['amount', '1 234,50', 123_450],
  ['amount', '1,234', 123_400],
  ['amount', '-1,234.5', -123_450, { refunds: true }],
  ['n', '1234,567', 1234.567],
  ['n', '0,125', 0.125],
  ['n', "1'234'567.5", 1_234_567.5],
  ['n', '1\u202f234', 1234],
  ['n', '1.234,5', 1234.5, { numbers: { decimal: ',' } }],
  ['n', ' NA ', Number.NaN],
  ['fraud', '?', UNLABELLED],
  ['known', 'NULL', Infinity],
  ['device', 'n/a', Number.NaN],
])('the hint on %s "%s" is a declaration that reads it as %s', async (column, cell, value, as = {}) => {
  const schema = { ...SCHEMA, ...as }
  const hint = declared(cellHint(cell, column, ROLES[column] ?? 'other', described(schema)))
  expect(Object.keys(hint)).not.toEqual([])
  expect((await read({ [column]: cell }, { ...schema, ...hint }))[column]).toEqual(value)
})

test.each([
  ['at', '5.1.2024', /format: /],
  ['amount', '12,50', /numbers: /],
  ['n', '12,50', /numbers: /],
  ['n', 'NA', /missing: /],
  ['fraud', 'NA', /missing: /],
  ['known', 'NULL', /missing: /],
  ['device', 'NULL', /missing: /],
])('a file whose column %s holds "%s" is refused with a hint', async (column, cell, hint) => {
  expect(await refusal({ [column]: cell }, SCHEMA)).toMatch(hint)
})

test('where day and month may be exchanged, the hint says so; where they may not, it does not', async () => {
  expect(await refusal({ at: '05/01/2024' }, SCHEMA)).toMatch(
    /format: '%d\/%m\/%Y' \}, or with day and month exchanged/,
  )
  expect(await refusal({ at: '25/01/2024' }, SCHEMA)).toMatch(/format: '%d\/%m\/%Y' \}\n/)
  expect(await refusal({ at: '2024/01/05' }, SCHEMA)).toMatch(/format: '%Y\/%m\/%d' \}\n/)
  expect(await refusal({ at: '01/25/2024' }, SCHEMA)).toMatch(/format: '%m\/%d\/%Y' \}\n/)
})

const TOKEN = { entities: [{ name: 'card', column: 'device', type: 'string', token: true }], numeric: ['n'] }

test.each<[what: string, column: string, cell: string, shown: RegExp, as?: Schema]>([
  ['a blank that is none', 'at', '2024-01-05\u00a010:00', /"2024-01-05\\u00a010:00" is not a time/],
  ['what has no width', 'amount', '5\u200b', /"5\\u200b" is not an amount/],
  ['what moves a cursor', 'n', '\u001b[31m5', /"\\u001b\[31m5" is not a number/],
  ['a megabyte', 'n', 'x'.repeat(1_000_000), /"x{60}… \(1000000 characters\) is not a number/],
  ['a card number', 'n', '4111 1111 1111 1111', /"…1111" is not a number/],
  ['a card number that becomes a token', 'device', '4111111111111111 ', /"…1111 " is no key/, TOKEN],
  ['a mistyped card number', 'device', '4111111111111112 ', /"…1112 " is no key/, TOKEN],
])('the message about %s shows what stands there, and no number of a card', async (_, column, cell, shown, as = {}) => {
  expect(await refusal({ [column]: cell }, { ...SCHEMA, ...as })).toMatch(shown)
})

const EXCEL = { time: { column: 'at', unit: 'd', origin: '1899-12-30' } }
const END = { before: Date.UTC(2024, 0), problem: 'lies beyond the end' }

test.each<[what: string, column: string, cell: string, message: RegExp, as?: Schema, end?: TableEnd]>([
  ['an amount below 0', 'amount', '-5', /where these are refunds, set `refunds: true`/],
  ['an amount of many decimals', 'amount', '1.005', /has more than 2 decimals/],
  ['an amount that is too large', 'amount', '687194767.37', /is not an amount from 0 to/],
  ['an amount of declared form', 'amount', '-1.234,5', /refunds: true/, { numbers: { decimal: ',', thousands: '.' } }],
  ['a sound time beyond the end', 'at', '2024-01-05', /"2024-01-05" lies beyond the end/, {}, END],
  ['a declared day of Excel beyond the end', 'at', '45296', /"45296" lies beyond the end/, EXCEL, END],
  ['a counted time out of bounds', 'at', '-1', /"-1" is not a time/, { time: { column: 'at', unit: 's' } }],
  ['a time before 1970', 'at', '31/12/1969', /"31\/12\/1969" is not a time/],
  ['a time that no clock shows', 'at', '31/03/2024 02:30', /"31\/03\/2024 02:30" is not a time/, { time: BERLIN }],
  ['a time on a clock named by a word', 'at', '05/01/2024 10:00 EST', /EST" is not a time/],
  ['UTC where another zone is declared', 'at', '05/01/2024 10:00 UTC', /UTC" is not a time/, { time: BERLIN }],
  ['a key that every row needs', 'id', 'NA', /"NA" is not a whole number/],
  ['a key that is no whole number', 'device', '1.5', /"1\.5" is not a whole number/],
  ['a label of another number', 'fraud', '2', /"2" is not a label/],
  ['a time that every row needs', 'at', 'NULL', /"NULL" is not a time/],
  ['a number of another decimal than is declared', 'n', '1.5', /"1\.5" is not a number/, { numbers: { decimal: ',' } }],
  ['a counted time of another century', 'at', '4102444801', /"4102444801" is not a time/],
  [
    'a time between blanks',
    'at',
    ' 2024-01-05 ',
    /" 2024-01-05 " is .*\nThere are blanks at its ends: remove them\.\n/,
  ],
  ['a time in a form of its own between blanks', 'at', ' 05/01/2024', /" 05\/01\/2024" is not a time/],
  ['a word that no month has', 'at', '05-Foo-2024', /"05-Foo-2024" is not a time/],
  ['an amount in euros', 'amount', '12.50 €', /\nWrite the number alone: without a currency/],
  ['an amount in dollars', 'amount', 'USD 12.50', /\nWrite the number alone/],
  ['an amount in brackets', 'amount', '(12.50)', /\nWrite the number alone/],
  ['an amount with a typographic minus', 'amount', '−12.50', /\nWrite the number alone/],
  ['an amount with its minus behind', 'amount', '12.50-', /\nWrite the number alone/],
  ['a share', 'n', '5%', /\nWrite the number alone/],
  ['an amount that is declared as missing', 'amount', '0', /and every row needs one here\.\n/, { missing: ['0'] }],
  ['a label that is called as its column', 'fraud', 'fraud', /column fraud: "fraud" is not a label/],
  ['groups of two digits', 'n', '12,34,5', /"12,34,5" is not a number/],
])('%s has no hint of another form', async (_, column, cell, message, as = {}, end) => {
  const told = await refusal({ [column]: cell }, { ...SCHEMA, ...as }, end)
  expect(told).toMatch(message)
  expect(told).not.toMatch(/numbers:|format:|missing:|unit: |repeats the header/)
})
