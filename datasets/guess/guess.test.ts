import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { isCardNumber } from '../file/shown-text.ts'
import type { DatasetSchema } from '../table/dataset.ts'
import { lookAt } from './look.ts'
import { guessRoles, type GivenRoles } from './roles.ts'
import { checkWhole, type CheckedGuess } from './whole-file.ts'

const folder = mkdtempSync(join(tmpdir(), 'fd-guess-'))
let files = 0

/** A CSV of `rows` rows, each made from its number. */
function csv(header: string, row: (i: number) => (string | number)[], rows = 400, delimiter = ','): string {
  const file = join(folder, `${files++}.csv`)
  const lines = Array.from({ length: rows }, (_, i) => row(i).join(delimiter))
  writeFileSync(file, [header, ...lines, ''].join('\n'))
  return file
}

async function guess(file: string, given: GivenRoles = {}): Promise<CheckedGuess> {
  return checkWhole(file, guessRoles(await lookAt(file), given))
}

const START = Date.UTC(2024, 4, 1)
const iso = (i: number): string => new Date(START + i * 60_000).toISOString()
const day = (i: number): Date => new Date(START + i * 3_600_000)
const pad = (number: number): string => String(number).padStart(2, '0')

const PLAIN = 'tx_id,paid_at,card_id,merchant,amount,country,items,is_fraud'
const plain = (i: number): (string | number)[] => [
  `t${i}`,
  iso(i),
  `c${i % 40}`,
  `m${i % 25}`,
  ((i * 37) % 1000) / 100,
  i % 3 === 0 ? 'CH' : 'DE',
  i % 5,
  i % 50 === 0 ? 1 : 0,
]

test('roles follow from names and cells', async () => {
  const { guess: found, rows, changes } = await guess(csv(PLAIN, plain))
  expect(rows).toBe(400)
  expect(changes).toEqual([])
  expect(found.schema).toEqual({
    id: { column: 'tx_id', type: 'string' },
    time: { column: 'paid_at', unit: 'timestamp' },
    amount: { column: 'amount', minorUnits: 2 },
    label: { column: 'is_fraud' },
    entities: [
      { name: 'card', column: 'card_id', type: 'string' },
      { name: 'merchant', column: 'merchant', type: 'string' },
    ],
    numeric: ['items'],
    categorical: ['country'],
    decimals: { items: 0 },
  } satisfies DatasetSchema)
  expect(found.time).toMatchObject({ from: START, to: START + 399 * 60_000, ordered: true, madeUp: false })
})

test.each<[name: string, cell: (i: number) => string | number, role: DatasetSchema['time']]>([
  ['at', (i) => (START + i * 1000) / 1000, { column: 'at', unit: 's' }],
  ['at', (i) => START + i * 1000, { column: 'at', unit: 'ms' }],
  [
    'when',
    (i) => `${day(i).getUTCDate()}/${pad(5)}/2024 ${pad(i % 24)}:00`,
    { column: 'when', unit: 'timestamp', format: '%d/%m/%Y %H:%M' },
  ],
  ['step', (i) => 1 + Math.floor(i / 9), { column: 'step', unit: 'h', origin: Date.UTC(2020, 0) }],
  ['TransactionDT', (i) => 86_400 + i * 7, { column: 'TransactionDT', unit: 's', origin: Date.UTC(2020, 0) }],
  [
    'when',
    (i) => day(i).toUTCString().slice(5, 25),
    { column: 'when', unit: 'timestamp', format: '%d %b %Y %H:%M:%S' },
  ],
] as const)('times as %s, number %#', async (name, cell, role) => {
  const file = csv(`${name},card,amount`, (i) => [cell(i), `c${i % 30}`, 1.25])
  const { guess: found } = await guess(file)
  expect(found.schema.time).toEqual(role)
})

test('day and month that cannot be told apart are told so', async () => {
  const file = csv('when,card,amount', (i) => [`0${1 + (i % 9)}/05/2024`, `c${i % 30}`, 2.5])
  const { guess: found } = await guess(file)
  expect([found.schema.time, found.time?.exchanged].map((each) => JSON.stringify(each)).join()).toMatch(
    /%d.*%m.*%m.*%d|%m.*%d.*%d.*%m/,
  )
})

test('what does not hold for the whole file is guessed anew', async () => {
  const beyond = 21_000
  const file = csv(
    PLAIN,
    (i) => {
      const cells = plain(i)
      if (i !== beyond - 1) return cells
      return ['t0', iso(i), '', 'm1', -3.125, 'CH', 'many', 0]
    },
    beyond,
  )
  const { guess: found, changes } = await guess(file)
  expect(found.schema).toMatchObject({
    refunds: true,
    amount: { minorUnits: 3 },
    entities: [{ name: 'merchant' }, { name: 'card', optional: true }],
    numeric: [],
  })
  expect(found.time?.to).toBe(START + (beyond - 1) * 60_000)
  expect(found.schema.label).toEqual({ column: 'is_fraud', delay: 86_400_000 })
  expect(found.schema.id).toBeUndefined()
  expect(found.schema.decimals).toBeUndefined()
  expect(changes).toEqual([
    "tx_id is no id: 1 rows have another row's, or none",
    'items is no column of numbers: 1 cells are none',
  ])
})

test('empty cells, texts for them, decimal commas and columns without use', async () => {
  const file = csv(
    'Betrag;Zeit;konto;Card no.;score;note;const;empty',
    (i) => [`1.${pad(i % 100)}0,5`, iso(i), i % 20, `a${i % 25}`, i % 4 === 0 ? 'NA' : '0,25', `text ${i}`, 'x', ''],
    2000,
    ';',
  )
  const { guess: found } = await guess(file)
  expect(found.schema).toMatchObject({
    amount: { column: 'Betrag', minorUnits: 2 },
    missing: ['NA'],
    numbers: { decimal: ',', thousands: '.' },
    numeric: ['score'],
    entities: [
      { name: 'card', column: 'Card no.', type: 'string' },
      { name: 'account', column: 'konto', type: 'integer' },
    ],
  })
  expect(Object.fromEntries(found.unused.map(({ column, why }) => [column, why]))).toEqual({
    note: 'too many texts for a category',
    const: 'all rows have the same',
    empty: 'it is empty',
  })
})

test('what a person says stands, and what is not there is told', async () => {
  const file = csv(PLAIN, plain)
  const { guess: found } = await guess(file, {
    id: 'none',
    label: 'none',
    time: 'paid_at',
    amount: 'items',
    entity: ['shop=merchant', 'card_id'],
  })
  expect(found.schema).toMatchObject({
    amount: { column: 'items', minorUnits: 2 },
    entities: [
      { name: 'shop', column: 'merchant' },
      { name: 'card', column: 'card_id' },
    ],
  })
  expect([found.schema.id, found.schema.label]).toEqual([undefined, undefined])
  const wrong: [given: GivenRoles, message: RegExp][] = [
    [{ amount: 'amuont' }, /has no column "amuont". It has: tx_id, paid_at/],
    [{ time: 'country' }, /"country" cannot be read as times: its first is "CH"/],
    [{ entity: ['Bad Noun=merchant'] }, /"Bad Noun" is no noun for an entity/],
  ]
  for (const [given, message] of wrong) await expect(guess(file, given)).rejects.toThrow(message)
})

test('a table without an amount or without times', async () => {
  const file = csv('a,b,c', (i) => [`x${i % 3}`, i, i])
  await expect(guess(file)).rejects.toThrow(/no column looks like an amount.*--amount COLUMN. Columns of numbers: b, c/)
  await expect(guess(csv('a,amount', () => [], 0))).rejects.toThrow(/has columns but no rows/)
  const { guess: found } = await guess(file, { amount: 'b' })
  expect(found.schema).toMatchObject({ time: 'none', entities: [] })
  await expect(guess(join(folder, 'gone.csv'))).rejects.toThrow(/gone.csv/)
})

test('keys that are card numbers become tokens, and those of other digits do not', async () => {
  const numbers = Array.from({ length: 40 }, (_, card) =>
    Array.from({ length: 10 }, (_d, last) => `411111111111${pad(card)}1${last}`),
  )
  const cards = numbers.map((each) => each.find(isCardNumber))
  const others = numbers.map((each, card) => each.filter((number) => !isCardNumber(number))[card % 9])
  const entities = async (keys: (string | undefined)[]): Promise<unknown> => {
    const file = csv(PLAIN, (i) => plain(i).with(2, keys[i % 40] ?? ''))
    return (await guess(file)).guess.schema.entities[0]
  }
  const card = { name: 'card', column: 'card_id', type: 'string' }
  expect(await entities(cards)).toEqual({ ...card, token: true })
  expect(await entities(others)).toEqual(card)
})
