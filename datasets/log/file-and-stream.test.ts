import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { randomStream, type Random } from '../random/random.ts'
import type { DatasetSchema, TimeRole } from '../table/dataset.ts'
import { openDatabase } from '../table/duckdb.ts'
import { readTable } from '../table/table.ts'
import type { EventBatch } from '../table/transaction.ts'
import { eventDecoder } from './event-json.ts'
import type { RecordBatch } from './event-log.ts'

const at: TimeRole = { column: 'at', unit: 'timestamp' }
const schema: DatasetSchema = {
  id: { column: 'id', type: 'integer' },
  time: at,
  amount: { column: 'amount', minorUnits: 2 },
  entities: [{ name: 'card', column: 'card', type: 'string' }],
  numeric: ['x'],
  categorical: ['country'],
}

const folder = mkdtempSync(join(tmpdir(), 'fd-cells-'))
afterAll(() => rmSync(folder, { recursive: true }))

const SOUND: Record<string, string> = {
  id: '7',
  at: '2018-04-01 12:00:00',
  amount: '1.5',
  card: 'c',
  x: '0',
  country: 'CH',
}
/** Columns whose cells are numbers in JSON. */
const NUMBERS = new Set(['id', 'amount', 'x'])

const pick = <T>(random: Random, ...some: T[]): T => some[random.integer(some.length)]

/** A number as JSON writes it: of any size, with a fraction or an exponent. */
function numberCell(random: Random): string {
  const sign = pick(random, '', '', '-')
  const whole = String(Math.floor(random.uniform() * 10 ** random.integer(19)))
  const fraction = pick(random, '', '', `.${random.integer(1000)}`, `.${'9'.repeat(1 + random.integer(20))}`, '.0')
  return `${sign}${whole}${fraction}${pick(random, '', '', '', 'e3', 'E-2', 'e-9', 'e400')}`
}

/** A time, or something like one. */
function timeCell(random: Random): string {
  const two = (below: number): string => String(random.integer(below)).padStart(2, '0')
  const date = pick(
    random,
    `${1960 + random.integer(1100)}-${two(14)}-${two(33)}`,
    `2018-${two(3)}-${two(31)}`,
    '5/4/2018',
  )
  const time = pick(
    random,
    '',
    ` ${two(25)}:${two(61)}`,
    `T${two(24)}:${two(60)}:${two(62)}`,
    `T${two(24)}:00:00.${random.integer(10 ** 9)}`,
  )
  return `${date}${time}${pick(random, '', 'Z', '+02', '-0530', '+05:45', ' Z', '+2', ' UTC', 'x')}`
}

/** Text without line ends and quotes, which CSV would have to escape. */
function textCell(random: Random): string {
  const one = (): string => pick(random, 'a', 'Z', '7', ' ', 'é', '😀', '-', '_', '\t')
  return Array.from({ length: pick(random, 1, 2, 5, 256, 257) }, one).join('')
}

async function fromFile(cells: Record<string, string>, of = schema): Promise<EventBatch | undefined> {
  const file = join(folder, 'cells.csv')
  writeFileSync(file, `${Object.keys(cells).join(';')}\n${Object.values(cells).join(';')}\n`)
  try {
    for await (const batch of readTable(file, of)) return batch
  } catch {
    // Refused.
  }
  return undefined
}

/** Whether a producer sends the cell as a number of JSON. Where numbers have a form of their own it sends the text. */
function isNumber(column: string, cell: string, { missing, numbers, time, entities }: DatasetSchema): boolean {
  if (missing?.includes(cell) === true) return false
  if (entities.some((entity) => 'column' in entity && entity.column === column && entity.type === 'integer'))
    return /^\d+$/.test(cell)
  const counted = column === 'at' && time !== 'none' && time.unit !== 'timestamp'
  return column === 'id' || (numbers === undefined && (NUMBERS.has(column) || counted))
}

function fromStream(cells: Record<string, string>, of = schema): EventBatch | undefined {
  const fields = Object.entries(cells).map(
    ([column, cell]) => `"${column}":${isNumber(column, cell, of) ? cell : JSON.stringify(cell)}`,
  )
  const bytes = Buffer.from(`{${fields.join(',')}}`)
  const { events } = eventDecoder(of)(oneRecord(bytes))
  return events.size === 1 ? events : undefined
}

function oneRecord(bytes: Buffer): RecordBatch {
  return {
    topic: 'transactions',
    partition: 0,
    size: 1,
    offsets: Float64Array.of(0),
    timestamps: Float64Array.of(0),
    bytes,
    keyStart: Uint32Array.of(0),
    valueStart: Uint32Array.of(0),
    valueEnd: Uint32Array.of(bytes.length),
  }
}

/** What a batch's first row holds, bit for bit: `Object.is` tells −0 from 0. */
function rowOf(batch: EventBatch | undefined): unknown[] | undefined {
  return (
    batch && [
      batch.ids[0],
      batch.time[0],
      batch.amount[0],
      ...batch.entities.map((keys) => keys[0]),
      batch.numeric[0][0],
      batch.categorical[0][0],
    ]
  )
}

test.each([
  ['id', numberCell],
  ['amount', numberCell],
  ['x', numberCell],
  ['at', timeCell],
  ['card', textCell],
  ['country', textCell],
])('a cell of %s means the same in a file and in the stream, or is refused by both', async (column, cell) => {
  const random = randomStream(17, column.length)
  let accepted = 0
  for (let i = 0; i < 30; i++) {
    const cells = { ...SOUND, [column]: cell(random) }
    const [file, stream] = [rowOf(await fromFile(cells)), rowOf(fromStream(cells))]
    expect({ cells, row: file }).toEqual({ cells, row: stream })
    if (file !== undefined) accepted++
  }
  expect(accepted).toBeGreaterThan(3)
  expect(accepted).toBeLessThan(30)
})

/** A number as a spreadsheet in Germany writes it, or something like it. */
function germanCell(random: Random): string {
  const group = (): string => String(random.integer(1000)).padStart(pick(random, 3, 3, 3, 2), '0')
  const groups = Array.from({ length: random.integer(3) }, () => pick(random, '.', '.', '.', '', ',') + group()).join(
    '',
  )
  const end = pick(random, '', ',5', ',25', ',', '.5', 'e2')
  return `${pick(random, '', '', '', '-', '+')}${random.integer(1000)}${groups}${end}`
}

function dateCell(random: Random): string {
  const two = (below: number): string => String(random.integer(below)).padStart(pick(random, 1, 2), '0')
  const year = pick(random, '2018', '2024', '24', '1969', '3001')
  const date = `${two(32)}${pick(random, '/', '/', '/', '-')}${two(13)}/${year}`
  return `${date}${pick(random, ' ', ' ', ' ', 'T')}${two(25)}:${two(61)}${pick(random, '', '', 'Z', ' ')}`
}

function clockCell(random: Random): string {
  const hour = `0${random.integer(5)}:${random.integer(6)}0`
  const date = pick(random, '2024-03-10', '2024-11-03', '2024-07-01')
  return `${date} ${hour}${pick(random, '', '', '', 'Z', '-04:00', '+1')}`
}

/** An amount, mostly below 0. */
function refundCell(random: Random): string {
  const sign = pick(random, '-', '-', '-', '')
  const whole = pick(random, '0', '7', '149', '687194767', '687194768')
  return `${sign}${whole}${pick(random, '', '.5', '.25', '.995', '.9e-9')}`
}

/** A number of few decimals, or of too many, or one that is too large. */
function decimalCell(random: Random): string {
  const whole = pick(random, '0', '7', '149', '687194767', '687194768', '68719476736', '68719476737', '1e400')
  return `${pick(random, '-', '')}${whole}${pick(random, '', '', '.5', '.25', '.0', '.995', '.30000000000000004')}`
}

const missing = ['NA', 'NULL', '\\N', '?']
const numbers = { decimal: ',', thousands: '.' } as const
const german = { ...SOUND, amount: '1,5' }
const timed = (time: Partial<TimeRole>): DatasetSchema => ({
  ...schema,
  time: { ...at, ...time },
})

const optional: DatasetSchema = {
  ...schema,
  missing,
  entities: [
    ...schema.entities,
    { name: 'device', column: 'device', type: 'string', optional: true },
    { name: 'shop', column: 'shop', type: 'integer', optional: true },
  ],
}
const keyed = { ...SOUND, device: 'd', shop: '3' }
const compound: DatasetSchema = {
  ...optional,
  entities: [...optional.entities, { name: 'pair', of: ['device', 'card'] }, { name: 'all', of: ['card', 'shop'] }],
}
const longCard = { ...keyed, card: '€'.repeat(100) }
const blanks = ['', ' ', '   ', ...missing]

test.each<[string, string, Record<string, string>, DatasetSchema, (random: Random) => string]>([
  ['missing texts', 'x', SOUND, { ...schema, missing }, (random) => pick(random, ...missing, 'na', 'N/A', '5', '-1')],
  [
    'missing texts',
    'country',
    SOUND,
    { ...schema, missing: ['?', ...missing, 'x'.repeat(257)] },
    (random) => pick(random, '?', ' ?', 'NA', 'CH', 'x'.repeat(257), 'y'.repeat(257)),
  ],
  ['missing texts', 'card', SOUND, { ...schema, missing }, (random) => pick(random, ...missing, 'na', 'c', 'NA ')],
  [
    'missing texts',
    'amount',
    SOUND,
    { ...schema, missing },
    (random) => pick(random, ...missing, '1', '2.50', '7', '0', '1.005'),
  ],
  [
    'optional keys',
    'device',
    keyed,
    optional,
    (random) => pick(random, ...blanks, 'd', ' d', 'nan', 'null', '\t', 'x y'),
  ],
  [
    'optional keys',
    'shop',
    keyed,
    optional,
    (random) => pick(random, ...blanks, '7', '0', 'nan', 'seven', '\t', '7.5'),
  ],
  [
    'keys of several columns',
    'device',
    longCard,
    compound,
    (random) => pick(random, '', 'd', ' d', '€'.repeat(237), '€'.repeat(238), '€'.repeat(240)),
  ],
  ['keys of several columns', 'shop', keyed, compound, (random) => pick(random, '', '7', '0', '7.5', 'NA')],
  ['refunds', 'amount', SOUND, { ...schema, refunds: true }, refundCell],
  ['decimals', 'x', SOUND, { ...schema, decimals: { x: 2 } }, decimalCell],
  ['decimals', 'x', SOUND, { ...schema, decimals: { x: 0 } }, decimalCell],
  [
    'decimals and missing texts',
    'x',
    SOUND,
    { ...schema, missing, decimals: { x: 2 } },
    (random) => pick(random, ...missing, '0.30000000000000004', '-0', '0.005', '1e2'),
  ],
  ['decimals and numbers', 'x', german, { ...schema, numbers, decimals: { x: 2 } }, germanCell],
  ['numbers', 'amount', german, { ...schema, numbers }, germanCell],
  ['numbers', 'x', german, { ...schema, numbers }, germanCell],
  ['numbers', 'at', { ...german, at: '0' }, { ...timed({ unit: 'h' }), numbers }, germanCell],
  ['counted times', 'at', { ...SOUND, at: '0' }, timed({ unit: 'd', origin: Date.UTC(2017, 0) }), numberCell],
  [
    'format and zone',
    'at',
    { ...SOUND, at: '1/4/2018 12:00' },
    timed({ format: '%d/%m/%Y %H:%M', zone: 'Europe/Berlin' }),
    dateCell,
  ],
  ['zone', 'at', SOUND, timed({ zone: 'America/New_York' }), clockCell],
])('with declared %s, a cell of %s means the same in a file and in the stream', async (_, column, sound, of, cell) => {
  const [rounds, random] = [28, randomStream(23, column.length)]
  let accepted = 0
  for (let i = 0; i < rounds; i++) {
    const cells = { ...sound, [column]: cell(random) }
    const [file, stream] = [rowOf(await fromFile(cells, of)), rowOf(fromStream(cells, of))]
    expect({ cells, row: file }).toEqual({ cells, row: stream })
    if (file !== undefined) accepted++
  }
  expect(accepted).toBeGreaterThan(3)
  expect(accepted).toBeLessThan(rounds)
})

test('true and false are numbers or categories, in a table as in the stream; words are categories', async () => {
  const file = join(folder, 'truth.parquet')
  await using database = await openDatabase()
  const cells = [true, false, null]
  const rows = cells.map((cell) => `('c', 1.5, ${cell}::BOOLEAN)`).join(', ')
  await database.run(
    `COPY (SELECT * FROM (VALUES ${rows}) AS rows (card, amount, truth)) TO '${file}' (FORMAT parquet)`,
  )
  const { id: _, ...rest } = schema
  const of: DatasetSchema = { ...rest, time: 'none', numeric: ['truth'], categorical: [] }
  const asCategory: DatasetSchema = { ...of, numeric: [], categorical: ['truth'] }
  const decoded = (by: DatasetSchema, truth: unknown): EventBatch => {
    const bytes = Buffer.from(JSON.stringify({ transaction_id: 1, card: 'c', amount: 1.5, truth }))
    const { events, rejected } = eventDecoder(by)({ ...oneRecord(bytes), timestamps: Float64Array.of(1) })
    expect(rejected).toEqual([])
    return events
  }
  for await (const batch of readTable(file, of))
    expect([...batch.numeric[0].subarray(0, 3)]).toEqual([1, 0, Number.NaN])
  expect(cells.map((cell) => decoded(of, cell).numeric[0][0])).toEqual([1, 0, Number.NaN])
  for await (const batch of readTable(file, asCategory))
    expect(batch.categorical[0].slice(0, 3)).toEqual(['true', 'false', ''])
  expect(cells.map((cell) => decoded(asCategory, cell).categorical[0][0])).toEqual(['true', 'false', ''])
  const words = join(folder, 'truth.csv')
  writeFileSync(words, 'card,amount,truth\nc,1.5,True\n')
  await expect(readTable(words, of).next()).rejects.toThrow(
    /"True" is not a number\.\n.*list the column as categorical/,
  )
})
