import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, expect, test } from 'vitest'
import { REAL_DATA } from '../../configs/testing/real-data.ts'
import type { DatasetSchema } from './dataset.ts'
import { openDatabase, sqlName, sqlText } from './duckdb.ts'
import { seenIds } from './seen-ids.ts'
import { countRows, readTable } from './table.ts'
import type { TimeForm } from './time.ts'
import type { EventBatch } from './transaction.ts'
import { DAY, UNLABELLED } from './transaction.ts'

const folder = mkdtempSync(join(tmpdir(), 'fd-table-'))
afterAll(() => rmSync(folder, { recursive: true }))

const SCHEMA: DatasetSchema = {
  id: { column: 'id', type: 'integer' },
  time: { column: 'at', unit: 'timestamp' },
  amount: { column: 'amount', minorUnits: 2 },
  label: { column: 'fraud', delay: DAY },
  entities: [{ name: 'card', column: 'card', type: 'string' }],
  numeric: ['x'],
  categorical: ['country'],
}
const HEADER = 'id,at,amount,fraud,card,x,country,ignored'
const NEW_YEAR = Date.UTC(2024, 0, 1)

let files = 0
function csv(lines: string[], header = HEADER): string {
  const file = join(folder, `t${files++}.csv`)
  writeFileSync(file, [header, ...lines, ''].join('\n'))
  return file
}

async function readAll(
  file: string,
  schema = SCHEMA,
  options?: { sort?: boolean },
): Promise<Record<string, unknown>[]> {
  const rows: Record<string, unknown>[] = []
  for await (const batch of readTable(file, schema, options)) {
    for (let row = 0; row < batch.size; row++) rows.push(rowOf(batch, row))
  }
  return rows
}

function rowOf(batch: EventBatch, row: number): Record<string, unknown> {
  return {
    id: batch.ids[row],
    time: batch.time[row],
    amount: batch.amount[row],
    label: batch.label[row],
    knownAt: batch.knownAt[row],
    entities: batch.entities.map((column) => column[row]),
    numeric: batch.numeric.map((column) => column[row]),
    categorical: batch.categorical.map((column) => column[row]),
  }
}

const GOOD = [
  '7,2024-01-01T00:00:00Z,149.62,0,c-1,1.5e-3,DE,zzz',
  '3,2024-01-01 00:00:00.250,0,1,c-2,,"A, ""B""",',
  '9,2024-01-01T02:00:01+01:00,0.07,"0",c-1,-2,,1',
]
const READ = [
  {
    id: 7,
    time: NEW_YEAR,
    amount: 14_962,
    label: 0,
    knownAt: NEW_YEAR + DAY,
    entities: ['c-1'],
    numeric: [0.0015],
    categorical: ['DE'],
  },
  {
    id: 3,
    time: NEW_YEAR + 250,
    amount: 0,
    label: 1,
    knownAt: NEW_YEAR + 250 + DAY,
    entities: ['c-2'],
    numeric: [NaN],
    categorical: ['A, "B"'],
  },
  {
    id: 9,
    time: NEW_YEAR + 3_601_000,
    amount: 7,
    label: 0,
    knownAt: NEW_YEAR + 3_601_000 + DAY,
    entities: ['c-1'],
    numeric: [-2],
    categorical: [''],
  },
]

test('a CSV is read by roles: UTC times, minor units, missing attributes', async () => {
  expect(await readAll(csv(GOOD))).toEqual(READ)
})

test(
  // Both files hold the rows of GOOD.
  'the file’s own form does not matter: gzip, byte order mark, semicolons, ' +
    'line ends, blank lines, a name with brackets',
  async () => {
    const zipped = join(folder, 'zipped.data')
    writeFileSync(zipped, gzipSync([HEADER, ...GOOD].join('\n')))
    const windows = join(folder, 'odd [1]*.csv')
    const rows = GOOD.map((row) => row.replace('"A, ""B"""', '"A; ""B"""').replaceAll(/,(?! )/g, ';'))
    writeFileSync(windows, `\uFEFF${[HEADER.replaceAll(',', ';'), ...rows].join('\r\n\r\n')}`)
    expect(await readAll(zipped)).toEqual(READ)
    expect(await readAll(windows)).toEqual(
      READ.map((row) => ({ ...row, categorical: row.categorical.map((text) => text.replace(',', ';')) })),
    )
  },
)

test('Parquet of any column type gives the same rows as CSV', async () => {
  const file = join(folder, 'typed.parquet')
  await using database = await openDatabase()
  const source = `read_csv(${sqlText(csv(GOOD))}, header = true, all_varchar = true)`
  const columns = [
    'id::SMALLINT AS id',
    '"at"::TIMESTAMPTZ AS "at"',
    'amount::DECIMAL(10,2) AS amount',
    'fraud::INTEGER::BOOLEAN AS fraud',
    'card',
    'x::FLOAT::DOUBLE AS x',
    'country',
  ]
  await database.run(`COPY (SELECT ${columns.join(', ')} FROM ${source}) TO ${sqlText(file)} (FORMAT parquet)`)
  expect(await readAll(file)).toEqual(READ.map((row) => ({ ...row, numeric: row.numeric.map((x) => Math.fround(x)) })))
  expect(await countRows(file)).toBe(3)
})

test('no id column: the row’s number; seconds from an origin; no label: unlabelled', async () => {
  const schema: DatasetSchema = {
    time: { column: 'Time', unit: 's', origin: NEW_YEAR },
    amount: { column: 'Amount', minorUnits: 0 },
    entities: [],
    numeric: [],
    categorical: [],
  }
  const rows = await readAll(csv(['0,5', '1.5,6'], '"Time","Amount"'), schema)
  expect(rows.map((row) => [row.id, row.time, row.amount, row.label, row.knownAt])).toEqual([
    [0, NEW_YEAR, 5, UNLABELLED, Infinity],
    [1, NEW_YEAR + 1500, 6, UNLABELLED, Infinity],
  ])
})

test('a column says when a label became known; an empty cell: not yet', async () => {
  const schema: DatasetSchema = {
    time: { column: 't', unit: 'ms' },
    amount: { column: 'a', minorUnits: 0 },
    label: { column: 'y', knownAt: 'k' },
    entities: [],
    numeric: [],
    categorical: [],
  }
  const rows = await readAll(csv(['0,5,1,1970-01-02', '1,6,0,'], 't,a,y,k'), schema)
  expect(rows.map((row) => [row.label, row.knownAt])).toEqual([
    [1, DAY],
    [0, Infinity],
  ])
  await expect(readAll(csv(['0,5,1,soon'], 't,a,y,k'), schema)).rejects.toThrow(
    /line 2, column k: "soon" is not a time/,
  )
})

test('labels are words or numbers; an empty one is not known', async () => {
  const words = ['1', '0', 'true', 'FALSE', 'Y', 'n', ' yes ', 'No', 't', 'f', '1.0', '0.00', '', ' ']
  const rows = await readAll(csv(words.map((fraud, i) => line({ id: String(i), fraud }))))
  const expected = [1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, UNLABELLED, UNLABELLED]
  expect(rows.map(({ label }) => label)).toEqual(expected)
  const known = NEW_YEAR + 2 * DAY
  expect(rows.map(({ knownAt }) => knownAt)).toEqual(expected.map((label) => (label === UNLABELLED ? Infinity : known)))
})

test('with --sort, times in a format and a zone stand in their order, the hour that comes twice too', async () => {
  const at = ['27/10/2024 03:10', '27/10/2024 02:50', '27/10/2024 02:10', '27/10/2024 01:50', '26/10/2024 23:00']
  const schema: DatasetSchema = {
    ...SCHEMA,
    time: { column: 'at', unit: 'timestamp', format: '%d/%m/%Y %H:%M', zone: 'Europe/Berlin' },
  }
  const rows = await readAll(csv(at.map((text, i) => line({ id: String(i), at: text }))), schema, { sort: true })
  expect(rows.map(({ id }) => id)).toEqual([4, 3, 2, 1, 0])
  await expect(readAll(csv([line({ at: '31/03/2024 02:30' })]), schema)).rejects.toThrow(
    /"31\/03\/2024 02:30" is not a time .*: give one in the format %d.*the clocks of Europe\/Berlin do not/,
  )
})

test('a timestamp of Parquet without a zone is on the clock of the declared one', async () => {
  const file = join(folder, 'local.parquet')
  const schema: DatasetSchema = { ...SCHEMA, time: { column: 'at', unit: 'timestamp', zone: 'America/New_York' } }
  await using database = await openDatabase()
  for (const [type, instant] of [
    ['TIMESTAMP', Date.UTC(2024, 6, 1, 16)],
    ['TIMESTAMPTZ', Date.UTC(2024, 6, 1, 12)],
  ] as const) {
    const rest = `3 AS amount, 0 AS fraud, 'c' AS card, 1.5 AS x, '' AS country`
    const row = `1 AS id, '2024-07-01 12:00'::${type} AS "at", ${rest}`
    await database.run(`COPY (SELECT ${row}) TO ${sqlText(file)} (FORMAT parquet)`)
    expect((await readAll(file, schema))[0].time).toBe(instant)
  }
})

test('sort: by time, equal times in file order, ids are places in the file', async () => {
  const { id: _, ...schema } = SCHEMA
  const lines = Array.from(
    { length: 40_000 },
    (_row, index) => `0,2024-01-01T00:00:0${(index * 7) % 10}Z,${index},0,c,,,`,
  )
  const expected = lines.map((_line, index) => index).toSorted((a, b) => ((a * 7) % 10) - ((b * 7) % 10) || a - b)
  const rows = await readAll(csv(lines), schema, { sort: true })
  expect(rows.map((row) => row.id)).toEqual(expected)
  expect(rows.map((row) => row.amount)).toEqual(expected.map((index) => index * 100))
})

test('many batches keep the order of the file, row for row', async () => {
  const lines = Array.from(
    { length: 50_000 },
    (_row, index) => `${index * 3},2024-01-01,${index}.25,0,c${index % 97},${index},k,`,
  )
  const file = csv(lines)
  let [next, batches] = [0, 0]
  for await (const batch of readTable(file, SCHEMA)) {
    batches++
    for (let row = 0; row < batch.size; row++, next++) {
      const read = [batch.ids[row], batch.amount[row], batch.entities[0][row]]
      const written = [next * 3, next * 100 + 25, `c${next % 97}`]
      if (read.some((cell, index) => cell !== written[index])) throw new Error(`row ${next} differs`)
    }
  }
  expect([next, batches > 2]).toEqual([50_000, true])
})

test('a reader that stops early lets go of the file', async () => {
  const file = csv(Array.from({ length: 50_000 }, (_row, index) => `${index},2024-01-01,1,0,c,,,`))
  for (let round = 0; round < 3; round++) {
    for await (const batch of readTable(file, SCHEMA)) {
      expect(batch.size).toBeGreaterThan(0)
      break
    }
  }
})

const line = (cells: Partial<Record<'id' | 'at' | 'amount' | 'fraud' | 'card' | 'x', string>>): string => {
  const row = { id: '8', at: '2024-01-02', amount: '1', fraud: '0', card: 'c', x: '', ...cells }
  return `${row.id},${row.at},${row.amount},${row.fraud},${row.card},${row.x},,`
}

test.each<[string, string, RegExp]>([
  ['a number', line({ amount: '12.x' }), /line 3, column amount: "12\.x" is not an amount/],
  ['an amount below 0', line({ amount: '-1' }), /column amount: "-1" is not an amount/],
  [
    'an amount with further decimals',
    line({ amount: '1.005' }),
    /column amount: "1.005" has more than 2 decimals; set `minorUnits`/,
  ],
  ['an amount at all', line({ amount: '' }), /column amount: "" is not an amount/],
  ['a finite amount', line({ amount: 'inf' }), /column amount: "inf" is not an amount/],
  ['a time', line({ at: 'yesterday' }), /line 3, column at: "yesterday" is not a time/],
  ['a time in the order of some country', line({ at: '5/4/2024' }), /column at: "5\/4\/2024" is not a time .*: give/],
  ['a time of our years', line({ at: '3000-01-01' }), /column at: "3000-01-01" is not a time from 1970 to 2999/],
  ['an amount that sums', line({ amount: '687194767.37' }), /"687194767.37" is not an amount from 0 to 687194767\.36/],
  ['a key without blanks', line({ card: ' c' }), /column card: " c" is no key: it must be text without blanks/],
  ['a key of bounded length', line({ card: 'x'.repeat(257) }), /is no key: it must be at most 256 characters/],
  ['a time from 1970', line({ at: '1969-01-01' }), /column at: "1969-01-01" is not a time/],
  ['a label', line({ fraud: '2' }), /column fraud: "2" is not a label: 0, false, no \(genuine\) or 1, true/],
  ['a label that is a number', line({ fraud: 'nan' }), /column fraud: "nan" is not a label/],
  ['a whole id', line({ id: '1.5' }), /column id: "1.5" is not a whole number/],
  [
    'an id that fits',
    line({ id: '12345678901234567890' }),
    /column id: "12345678901234567890" is not a whole number.*`type: string`/,
  ],
  ['an entity', line({ card: '' }), /column card: "" is empty/],
  ['a numeric attribute', line({ x: 'many' }), /column x: "many" is not a number/],
  ['a finite attribute', line({ x: 'inf' }), /column x: "inf" is not a number/],
  ['a new id', line({ id: '7' }), /line 3, column id: the id 7 stands in an earlier row already/],
  [
    'a later time',
    line({ at: '2023-12-31' }),
    /line 3, column at: time goes back from 2024-01-01T00:00:00.000Z to 2023-12-31T00:00:00.000Z\.\nAdd --sort/,
  ],
  ['all its cells', '1,2', /line 3: it has 2 cells, fewer than the header has names \(8\)\n {2}1,2\n/],
])('a row without %s is an error that says where', async (_what, bad, message) => {
  const file = csv([GOOD[0], bad])
  await expect(readAll(file)).rejects.toThrow(message)
  await expect(readAll(file)).rejects.toThrow(file)
})

test('the first mistake of the file is the one named, on its own line even below cells of several lines', async () => {
  const file = csv([
    '1,2024-01-01,1,0,c,,"two\nlines",',
    '',
    '2,2024-01-02,1,0,c,,,',
    '3,2024-01-01,1,0,c,,,',
    '4,2024-01-03,1,0,c,many,,',
  ])
  await expect(readAll(file)).rejects.toThrow(/line 6, column at: time goes back/)
})

test.each<[string, string | Buffer, RegExp]>([
  ['empty', '', /is empty/],
  ['without rows', `${HEADER}\n`, /has columns but no rows/],
  ['without a header', '\n1,2\n', /its first line must name the columns/],
  ['with a name twice', `${HEADER},id\n`, /"id" is named twice/],
  ['of other columns', 'id,time\n1,2\n', /has no column at, amount, fraud, card, x, country\. It has: id, time\./],
  [
    'not UTF-8',
    Buffer.concat([Buffer.from(`${HEADER}\n1,2024-01-01,1,0,`), Buffer.from([0xff, 0xfe]), Buffer.from(',,,\n')]),
    /line 2: it is not UTF-8/,
  ],
])('a file %s is the user’s error', async (_what, content, message) => {
  const file = join(folder, `bad${files++}.csv`)
  writeFileSync(file, content)
  await expect(readAll(file)).rejects.toThrow(message)
})

test('a missing file and a broken Parquet file are the user’s error', async () => {
  await expect(readAll(join(folder, 'none.csv'))).rejects.toThrow(/There is no file .*none\.csv/)
  const broken = join(folder, 'broken.parquet')
  writeFileSync(broken, 'PAR1 and then nothing of the kind')
  await expect(readAll(broken)).rejects.toThrow(/broken\.parquet cannot be read: .*\nMend the file/)
})

test('columns without a name are read past, and names may differ in case only', async () => {
  const plain = await readAll(csv([line({})]))
  const cells = line({}).split(',')
  const names = HEADER.split(',')
  expect(await readAll(csv([['0', ...cells].join(',')], ['', ...names].join(',')))).toEqual(plain)
  expect(await readAll(csv([['0', ...cells, ''].join(',')], ['""', ...names, ''].join(',')))).toEqual(plain)
  expect(await readAll(csv([[...cells, 'other'].join(',')], [...names, 'CARD'].join(',')))).toEqual(plain)
})

test('a gzipped file that was cut off, or whose bytes have changed, is refused', async () => {
  const rows = Array.from({ length: 500 }, (_, i) => line({ id: String(i), card: `c${(i * 7919) % 1000}` }))
  const zipped = gzipSync(`${HEADER}\n${rows.join('\n')}\n`)
  const file = join(folder, 'cut.csv.gz')
  writeFileSync(file, zipped)
  expect((await readAll(file)).length).toBe(500)
  for (const left of [zipped.length - 1, zipped.length - 9, Math.floor(zipped.length / 2), 40]) {
    writeFileSync(file, zipped.subarray(0, left))
    await expect(readAll(file)).rejects.toThrow(/cut\.csv\.gz is cut short or damaged/)
  }
  const damaged = Buffer.from(zipped)
  damaged[damaged.length - 6] ^= 1
  writeFileSync(file, damaged)
  await expect(readAll(file)).rejects.toThrow(/is cut short or damaged/)
})

test.each([
  ['cut short or damaged', Buffer.from('PK\u0003\u0004rest')],
  ['a ZIP archive without files', Buffer.from('PK\u0005\u0006rest')],
  ['compressed by bzip2', Buffer.from('BZh91AY&SY')],
  ['text in UTF-16', Buffer.from(`\ufeff${HEADER}`, 'utf16le')],
  ['a Python pickle', Uint8Array.of(0x80, 4, 0x95, 0)],
  ['binary data, and no text', Uint8Array.of(1, 2, 0, 3, 200, 201)],
])('%s is named for what it is, and nothing of it is shown', async (kind, bytes) => {
  const file = join(folder, 'foreign.csv')
  writeFileSync(file, bytes)
  await expect(readAll(file)).rejects.toThrow(`${file} is ${kind}`)
})

test('bytes that Parquet does not call text are read as UTF-8, or refused with row and column', async () => {
  const file = join(folder, 'bytes.parquet')
  await using database = await openDatabase()
  const write = async (cells: Partial<Record<'id' | 'at' | 'amount' | 'card' | 'country', string>>): Promise<void> => {
    const all = { id: '7', at: '2024-01-01', amount: '1.5', card: 'c-é', country: '', ...cells }
    const columns = Object.entries(all).map(([name, text]) => `${sqlText(text)}::BLOB AS "${name}"`)
    const row = `${columns.join(', ')}, 0 AS fraud, NULL::BLOB AS x`.replaceAll('é', '\\xC3\\xA9')
    await database.run(`COPY (SELECT ${row}) TO ${sqlText(file)} (FORMAT parquet)`)
  }
  await write({})
  expect(await readAll(file)).toMatchObject([
    { id: 7, time: NEW_YEAR, amount: 150, entities: ['c-é'], numeric: [NaN], categorical: [''] },
  ])
  await expect(write({ card: 'c\\xFF' }).then(() => readAll(file))).rejects.toThrow(
    /bytes\.parquet, row 0, column card: "c\\xFF" is not UTF-8 text/,
  )
  await expect(write({ country: '\\xC3' }).then(() => readAll(file))).rejects.toThrow(
    /column country: "\\xC3" is not UTF-8/,
  )
  await expect(write({ amount: '1\\xFF' }).then(() => readAll(file))).rejects.toThrow(
    /column amount: "1\\xFF" is not an/,
  )
})

test('an amount below 0 is a refund where the schema says so, else the error names the way', async () => {
  const file = csv(['1,2024-01-01,-149.62,0,c,,,', '2,2024-01-01,-0.00,0,c,,,'])
  expect((await readAll(file, { ...SCHEMA, refunds: true })).map(({ amount }) => amount)).toEqual([-14_962, 0])
  await expect(readAll(file)).rejects.toThrow(
    /line 2, column amount: "-149.62" is not an amount from 0 to .*; where these are refunds, set `refunds: true`/,
  )
})

test('an optional key is none where its cell is blank, NULL, or the NaN that pandas writes', async () => {
  const [id, shop] = [
    { name: 'device', column: 'country', type: 'string' as const },
    { name: 'shop', column: 'x', type: 'integer' as const },
  ]
  const schema = (optional: boolean): DatasetSchema => ({
    ...SCHEMA,
    entities: [...SCHEMA.entities, { ...id, optional }, { ...shop, optional }],
    numeric: [],
    categorical: [],
  })
  const keys = async (file: string): Promise<unknown[]> =>
    (await readAll(file, schema(true))).map(({ entities }) => (entities as unknown[]).slice(1))
  const row = (n: number, x: string, country: string): string => `${n},2024-01-01 00:00:0${n},1,0,c,${x},${country},`
  const cells = csv([row(1, '7', 'd'), row(2, '', ''), row(3, '  ', ' '), row(4, '7.0', '""')])
  expect(await keys(cells)).toEqual([
    ['d', 7],
    ['', Number.NaN],
    ['', Number.NaN],
    ['', 7],
  ])
  await expect(readAll(cells, schema(false))).rejects.toThrow(/line 3, column country: "" is empty/)
  await expect(readAll(csv([row(1, 'nan', 'd')]), schema(true))).rejects.toThrow(/column x: "nan" is not a whole/)

  const file = join(folder, 'pandas.parquet')
  await using database = await openDatabase()
  const columns = `n AS id, TIMESTAMP '2024-01-01' AS "at", 1 AS amount, 0 AS fraud, 'c' AS card`
  const rows = `(VALUES (1, 7, 4), (2, 'nan'::DOUBLE, 'nan'::DOUBLE), (3, NULL, NULL)) AS rows (n, x, country)`
  await database.run(
    `COPY (SELECT ${columns}, x::DOUBLE AS x, country::DOUBLE AS country FROM ${rows}) ` +
      `TO ${sqlText(file)} (FORMAT parquet)`,
  )
  expect(await keys(file)).toEqual([
    ['4', 7],
    ['', Number.NaN],
    ['', Number.NaN],
  ])
  await expect(readAll(file, schema(false))).rejects.toThrow(/row 1, column country: "nan" is empty/)
})

/** A Parquet file of one row, with some columns as SQL gives them. */
async function parquetRow(cells: Record<string, string>): Promise<string> {
  const file = join(folder, `row${files++}.parquet`)
  const sound = { id: '1', at: "TIMESTAMP '2024-01-01'", amount: '1', fraud: '0', card: "'c'", x: '1.5', country: "''" }
  const select = Object.entries({ ...sound, ...cells }).map(([name, sql]) => `${sql} AS ${sqlName(name)}`)
  await using database = await openDatabase()
  await database.run(`COPY (SELECT ${select.join(', ')}) TO ${sqlText(file)} (FORMAT parquet)`)
  return file
}

test.each([
  ['4111::DOUBLE', '4111'],
  ['-0.0::DOUBLE', '0'],
  ['0.1::FLOAT', '0.1'],
  ['16777215::FLOAT', '16777215'],
  ['9007199254740991::DOUBLE', '9007199254740991'],
])('%s of a float column is the key and the category %s', async (sql, text) => {
  const [row] = await readAll(await parquetRow({ card: sql, country: sql }))
  expect([row.entities, row.categorical]).toEqual([[text], [text]])
})

test('a float that may be rounded is no key, and NaN is no category', async () => {
  for (const sql of ['16777216::FLOAT', '9007199254740992::DOUBLE', "'inf'::DOUBLE"])
    await expect(readAll(await parquetRow({ card: sql }))).rejects.toThrow(/row 0, column card: ".*" may be rounded/)
  expect((await readAll(await parquetRow({ country: "'nan'::DOUBLE" })))[0].categorical).toEqual([''])
})

test('a float of 32 bits that may be rounded is no key that is a number', async () => {
  const schema = (optional: boolean): DatasetSchema => ({
    ...SCHEMA,
    entities: [...SCHEMA.entities, { name: 'shop', column: 'x', type: 'integer', optional }],
    numeric: [],
  })
  for (const optional of [false, true]) {
    const [row] = await readAll(await parquetRow({ x: '16777215::FLOAT' }), schema(optional))
    expect(row.entities).toEqual(['c', 16_777_215])
    await expect(readAll(await parquetRow({ x: '16777217::FLOAT' }), schema(optional))).rejects.toThrow(
      /row 0, column x: .* may be rounded: write keys as whole numbers/,
    )
  }
  expect((await readAll(await parquetRow({ x: 'NULL::FLOAT' }), schema(true)))[0].entities).toEqual(['c', Number.NaN])
})

test.each<[column: string, as?: Partial<DatasetSchema>]>([
  ['id'],
  ['amount'],
  ['at', { time: { column: 'at', unit: 's' } }],
  ['card', { entities: [{ name: 'card', column: 'card', type: 'integer' }] }],
])('true is no number in the column %s', async (column, as = {}) => {
  const file = await parquetRow({ card: '1', [column]: 'true' })
  await expect(readAll(file, { ...SCHEMA, ...as })).rejects.toThrow(
    `column ${column}: its cells are true or false, and its role needs numbers`,
  )
})

test('32-bit amounts are their shortest decimal; times count in any unit, and a wrong unit is named', async () => {
  const file = join(folder, 'floats.parquet')
  const counted = { ...SCHEMA, time: { column: 'at', unit: 'us' as const } }
  const write = async (at: string): Promise<void> => {
    await using database = await openDatabase()
    const row = `1 AS id, ${at} AS "at", 117.12::FLOAT AS amount, 0 AS fraud, 'c' AS card, 1.5 AS x, '' AS country`
    await database.run(`COPY (SELECT ${row}) TO ${sqlText(file)} (FORMAT parquet)`)
  }
  await write('1526779940000000')
  for await (const batch of readTable(file, counted)) {
    expect([batch.amount[0], batch.time[0]]).toEqual([11712, 1_526_779_940_000])
  }
  await write('1526779940000')
  const read = readTable(file, counted)[Symbol.asyncIterator]()
  expect((await read.next()).value?.time[0]).toBe(1_526_779_940)
  const seconds = readTable(file, { ...SCHEMA, time: { column: 'at', unit: 's' } })[Symbol.asyncIterator]()
  await expect(seconds.next()).rejects.toThrow(/is not a time from 1970 to 2999, counted in s; set `unit: ms`/)
})

const own = (format: string): Partial<TimeForm> => ({ format })
test.each<[written: string, times: string[], as?: Partial<TimeForm>]>([
  ['as fd writes them', ['2024-01-01T10:30:00.002Z', '2024-01-01T10:30:00.001Z']],
  [
    'with whatever offset',
    ['2024-01-01 10:00:00', '2024-01-01 09:00:00Z', '2024-01-01 08:45', '2024-01-01T10:30:00+02:00'],
  ],
  ['without seconds, in UTC', ['2024-01-01T11:00Z', '2024-01-01T10:00Z']],
  ['without seconds, with offsets', ['2024-01-01T10:00+0200', '2024-01-01T11:00+0530', '2024-01-01 10:00+14']],
  ['with nine decimals', ['2024-01-01 10:00:00.9', '2024-01-01 10:00:00.123456789']],
  ['with a decimal comma', ['01.01.2024 10:00,5', '01.01.2024 10:00,123456789'], own('%d.%m.%Y %H:%M,%f')],
  ['with offsets or Z', ['1/2/24 12:00 Z', '1/2/24 12:30 +02:00', '1/2/24 12:00 +0200'], own('%d/%m/%y %H:%M %z')],
  ['by halves of the day', ['1/2/2024 1:00 pm', '1/2/2024 12:59 PM', '1/2/2024 12:01 am'], own('%d/%m/%Y %I:%M %p')],
  ['with a word', ['2-FEB-2024 utc', '1-feb-2024 UTC'], own('%d-%b-%Y UTC')],
])('with --sort, times %s stand in their order', async (_, times, as = {}) => {
  const schema: DatasetSchema = { ...SCHEMA, time: { column: 'at', unit: 'timestamp', ...as } }
  const file = csv([...times, ...times].map((at, i) => line({ id: String(i), at: `"${at}"` })))
  const sorted = times.map((_at, i) => times.length - 1 - i).flatMap((i) => [i, i + times.length])
  expect((await readAll(file, schema, { sort: true })).map(({ id }) => id)).toEqual(sorted)
})

test('a Parquet column that is no timestamp names the unit to set', async () => {
  const file = join(folder, 'number.parquet')
  await using database = await openDatabase()
  const row = `1 AS id, 2 AS "at", 3 AS amount, 0 AS fraud, 'c' AS card, 1.5 AS x, '' AS country`
  await database.run(`COPY (SELECT ${row}) TO ${sqlText(file)} (FORMAT parquet)`)
  await expect(readAll(file)).rejects.toThrow(/the column at is INTEGER, not a timestamp\. For a number of seconds/)
})

test('seen ids agree with one plain set, dense, sparse and as text', () => {
  const [seen, plain] = [seenIds(50), new Set<number | string>()]
  let state = 12_345
  for (let step = 0; step < 20_000; step++) {
    state = (state * 48_271) % 0x7fff_ffff
    const id = state % 3 === 0 ? step : state % 3 === 1 ? (state % 500) * 40_000 : `${state % 700}`
    expect(seen.add(id)).toBe(!plain.has(id))
    plain.add(id)
  }
})

const handbook = join(REAL_DATA, 'handbook-raw.parquet')
test.runIf(existsSync(handbook))(
  'the Handbook’s file (runs where ../shared/data stands): rows, frauds and cents as DuckDB counts them',
  async () => {
    const schema: DatasetSchema = {
      id: { column: 'TRANSACTION_ID', type: 'integer' },
      time: { column: 'TX_DATETIME', unit: 'timestamp' },
      amount: { column: 'TX_AMOUNT', minorUnits: 2 },
      label: { column: 'TX_FRAUD' },
      entities: [{ name: 'customer', column: 'CUSTOMER_ID', type: 'integer' }],
      numeric: [],
      categorical: [],
    }
    let [rows, frauds, cents] = [0, 0, 0]
    for await (const batch of readTable(handbook, schema)) {
      for (let row = 0; row < batch.size; row++) {
        frauds += batch.label[row]
        cents += batch.amount[row]
      }
      rows += batch.size
    }
    await using database = await openDatabase()
    const [sum] = await database.rows(`SELECT sum(round(TX_AMOUNT * 100)) AS cents FROM ${sqlText(handbook)}`)
    expect([rows, frauds, cents]).toEqual([1_754_155, 14_681, sum.cents])
  },
)
