import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { toMinorUnits } from './table/amount.ts'
import type { DatasetSchema } from './table/dataset.ts'
import { openDatabase, sqlText } from './table/duckdb.ts'
import { amountsBelow } from './table/float.ts'
import { readTable } from './table/table.ts'
import { HOUR } from './table/transaction.ts'

const folder = mkdtempSync(join(tmpdir(), 'fd-float-'))
afterAll(() => rmSync(folder, { recursive: true }))

const SCHEMA: DatasetSchema = {
  time: 'none',
  amount: { column: 'amount', minorUnits: 2 },
  refunds: true,
  entities: [],
  numeric: [],
  categorical: [],
}

/** A Parquet file with the columns `amount` and `at`, a row for each pair of SQL expressions. */
async function parquet(rows: [amount: string, at: string][]): Promise<string> {
  const file = join(folder, 'rows.parquet')
  const values = rows.map((row) => `(${row.join(', ')})`).join(', ')
  await using database = await openDatabase()
  await database.run(
    `COPY (SELECT * FROM (VALUES ${values}) AS rows (amount, "at")) TO ${sqlText(file)} (FORMAT parquet)`,
  )
  return file
}

async function amounts(file: string, minorUnits: number): Promise<number[]> {
  const found: number[] = []
  for await (const batch of readTable(file, { ...SCHEMA, amount: { column: 'amount', minorUnits } }))
    found.push(...batch.amount.subarray(0, batch.size))
  return found
}

async function times(file: string, unit: 's' | 'h' | 'ms' | 'us'): Promise<number[]> {
  const found: number[] = []
  for await (const batch of readTable(file, { ...SCHEMA, time: { column: 'at', unit } }))
    found.push(...batch.time.subarray(0, batch.size))
  return found
}

/** What a float of 32 bits is as its shortest decimal text. */
function shortest(float: number): number {
  for (let digits = 1; ; digits++) {
    const read = Number(float.toPrecision(digits))
    if (Math.fround(read) === float) return read
  }
}

test.each([0, 1, 2, 3, 4, 5, 6])('below the bound of %i decimals every amount has a float of its own', (decimals) => {
  const unit = 10 ** decimals
  const below = amountsBelow('FLOAT', decimals)
  expect(below).toBeLessThan(Infinity)
  const around = (minor: number): number[] => Array.from({ length: 40 }, (_, i) => Math.ceil(minor) - 20 + i)
  for (let power = below / 2; power > 1 / unit; power /= 2) {
    for (const minor of [...around(power * unit), ...around(below * unit)]) {
      if (minor < 0 || minor >= below * unit) continue
      const float = Math.fround(minor / unit)
      expect(float).not.toBe(Math.fround((minor + 1) / unit))
      expect(toMinorUnits(shortest(float), decimals)).toBe(minor)
    }
  }
  const above = Array.from({ length: 40 }, (_, i) => Math.fround((Math.ceil(below * unit) + i) / unit))
  expect(new Set(above).size).toBeLessThan(above.length)
})

test('amounts of 32 bits are read as they were written, up to where the floats lie too far apart', async () => {
  const cents = Array.from({ length: 200 }, (_, i) => 13_107_199 - i * i)
  const written = cents.map((cent): [string, string] => [`${cent / 100}::FLOAT`, '0'])
  expect(await amounts(await parquet(written), 2)).toEqual(cents)
  expect(await amounts(await parquet([['16777215::FLOAT', '0']]), 0)).toEqual([16_777_215])
})

test.each([
  ['131072.01', 2],
  ['-131072.01', 2],
  ['131072', 2],
  ['1000000.5', 2],
  ['16777217', 0],
  ['20000.001', 3],
])('%s of 32 bits with %i decimals may be rounded, and is refused; as DOUBLE and DECIMAL it is read', async (n, d) => {
  const refusal = /row 1, column amount: ".*" may be rounded: .* 32 bits, .* write amounts as DOUBLE or DECIMAL\./
  const rows = (type: string): [string, string][] => ['1', n].map((amount) => [`${amount}::${type}`, '0'])
  await expect(amounts(await parquet(rows('FLOAT')), d)).rejects.toThrow(refusal)
  for (const type of ['DOUBLE', 'DECIMAL(12,3)'])
    expect(await amounts(await parquet(rows(type)), d)).toEqual([10 ** d, Math.round(Number(n) * 10 ** d)])
})

test('what is wrong with an amount of 32 bits for another reason is said', async () => {
  await expect(amounts(await parquet([['117.125::FLOAT', '0']]), 2)).rejects.toThrow(/has more than 2 decimals/)
  await expect(amounts(await parquet([['1e30::FLOAT', '0']]), 2)).rejects.toThrow(/is not an amount from/)
  await expect(amounts(await parquet([["'nan'::FLOAT", '0']]), 2)).rejects.toThrow(/is not an amount from/)
})

/** The column `amount` as a numeric one of so many decimals. */
async function decimalNumbers(file: string, decimals: number): Promise<number[]> {
  const found: number[] = []
  const numeric = { amount: { column: 'at', minorUnits: 0 }, numeric: ['amount'], decimals: { amount: decimals } }
  for await (const batch of readTable(file, { ...SCHEMA, ...numeric }))
    found.push(...batch.numeric[0].subarray(0, batch.size))
  return found
}

test('numbers of 32 bits with declared decimals are read as they were written, as amounts are', async () => {
  const cents = Array.from({ length: 200 }, (_, i) => (i % 2 === 0 ? 1 : -1) * (13_107_199 - i * i))
  const written = cents.map((cent): [string, string] => [`${cent / 100}::FLOAT`, '0'])
  const blanks: [string, string][] = ['NULL::FLOAT', "'nan'::FLOAT"].map((cell) => [cell, '0'])
  const expected = [...cents.map((cent) => cent / 100), Number.NaN, Number.NaN]
  expect(await decimalNumbers(await parquet([...written, ...blanks]), 2)).toEqual(expected)
  const refused = (cell: string): Promise<number[]> => parquet([[cell, '0']]).then((file) => decimalNumbers(file, 2))
  await expect(refused('-131072.01::FLOAT')).rejects.toThrow(
    /row 0, column amount: ".*" may be rounded: .* 32 bits, .* write numbers with decimals as DOUBLE or DECIMAL\./,
  )
  await expect(refused('117.125::FLOAT')).rejects.toThrow(/has more than 2 decimals; set the column's `decimals`/)
  await expect(refused('117.125::DOUBLE')).rejects.toThrow(/has more than 2 decimals/)
  await expect(refused('1e30::DOUBLE')).rejects.toThrow(/is not a number from −687194767.36 to 687194767.36/)
  await expect(refused("'inf'::FLOAT")).rejects.toThrow(/is not a number\./)
})

test('times of 32 bits are read where each has a float of its own', async () => {
  const hours = await parquet(['424105', '424106', '424107'].map((hour) => ['1', `${hour}::FLOAT`]))
  expect(await times(hours, 'h')).toEqual([424_105 * HOUR, 424_106 * HOUR, 424_107 * HOUR])
  const seconds = await parquet(['0.001', '1.5', '8191.999', '16777215'].map((s) => ['1', `${s}::FLOAT`]))
  expect(await times(seconds, 's')).toEqual([1, 1500, 8_191_999, 16_777_215_000])
})

test.each<[string, 's' | 'h' | 'ms' | 'us']>([
  ['1526779940', 's'],
  ['1526779940000', 'ms'],
  ['1526779940000000', 'us'],
  ['16777217', 's'],
  ['424105.1', 'h'],
  ['20000.001', 's'],
])('the time %s in %s of 32 bits may be rounded, and is refused; as DOUBLE it is read', async (count, unit) => {
  const refusal = /row 1, column at: ".*" may be rounded: .* 32 bits, .* write times as whole numbers, or as DOUBLE\./
  const rows = (type: string): [string, string][] => ['1', count].map((at) => ['1', `${at}::${type}`])
  await expect(times(await parquet(rows('FLOAT')), unit)).rejects.toThrow(refusal)
  const factor = { us: 1e-3, ms: 1, s: 1000, h: HOUR }[unit]
  expect((await times(await parquet(rows('DOUBLE')), unit))[1]).toBe(Math.round(Number(count) * factor))
})

test('floats of 16 bits hold whole amounts below 2048 only', async () => {
  const whole = halfFloats([0x3c00, 0x67ff])
  expect(await amounts(whole, 0)).toEqual([1, 2047])
  await expect(amounts(whole, 2)).rejects.toThrow(/row 0, column amount: .* may be rounded: .* 16 bits/)
  await expect(amounts(halfFloats([0x3c00, 0x6800]), 0)).rejects.toThrow(/row 1, .*"2048.0" may be rounded: .* 16 bits/)
})

/** A Parquet file whose column `amount` holds floats of 16 bits, which DuckDB reads but does not write. */
function halfFloats(bits: number[]): string {
  const page = Buffer.from(new Uint16Array(bits).buffer)
  const [FIXED, REQUIRED, PLAIN, RLE] = [7, 0, 0, 3]
  const column = struct(
    [1, i32(FIXED)],
    [2, i32(2)],
    [3, i32(REQUIRED)],
    [4, text('amount')],
    [10, struct([15, struct()])],
  )
  const pageInfo = struct([1, i32(bits.length)], [2, i32(PLAIN)], [3, i32(RLE)], [4, i32(RLE)])
  const header = struct([1, i32(0)], [2, i32(page.length)], [3, i32(page.length)], [5, pageInfo])
  const size = header.bytes.length + page.length
  const chunk = struct(
    ...([
      [1, i32(FIXED)],
      [2, list(i32(PLAIN))],
      [3, list(text('amount'))],
      [4, i32(0)],
    ] satisfies [number, Thrift][]),
    ...([
      [5, i64(bits.length)],
      [6, i64(size)],
      [7, i64(size)],
      [9, i64(4)],
    ] satisfies [number, Thrift][]),
  )
  const group = struct([1, list(struct([2, i64(4)], [3, chunk]))], [2, i64(size)], [3, i64(bits.length)])
  const schema = list(struct([4, text('schema')], [5, i32(1)]), column)
  const footer = struct([1, i32(1)], [2, schema], [3, i64(bits.length)], [4, list(group)]).bytes
  const length = Buffer.alloc(4)
  length.writeUInt32LE(footer.length)
  const file = join(folder, 'half.parquet')
  writeFileSync(file, Buffer.concat([Buffer.from('PAR1'), header.bytes, page, footer, length, Buffer.from('PAR1')]))
  return file
}

/** A value in Thrift's compact protocol, in which Parquet writes what it says of itself. */
interface Thrift {
  type: number
  bytes: Buffer
}

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...varint(value >>> 7)]
}

function i32(value: number): Thrift {
  return { type: 5, bytes: Buffer.from(varint(2 * value)) }
}

function i64(value: number): Thrift {
  return { ...i32(value), type: 6 }
}

function text(value: string): Thrift {
  return { type: 8, bytes: Buffer.from([value.length, ...Buffer.from(value)]) }
}

function list(...items: Thrift[]): Thrift {
  return {
    type: 9,
    bytes: Buffer.concat([Buffer.from([16 * items.length + items[0].type]), ...items.map((i) => i.bytes)]),
  }
}

function struct(...fields: [id: number, value: Thrift][]): Thrift {
  const written = fields.flatMap(([id, { type, bytes }], f) => [
    Buffer.from([16 * (id - (fields[f - 1]?.[0] ?? 0)) + type]),
    bytes,
  ])
  return { type: 12, bytes: Buffer.concat([...written, Buffer.from([0])]) }
}
