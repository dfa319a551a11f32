import { existsSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { UserError } from '../../configs/user-error.ts'
import { openDatabase, sqlText } from './duckdb.ts'
import { openParquetWriter } from './parquet.ts'

const folder = mkdtempSync(join(tmpdir(), 'fd-parquet-'))
afterAll(() => rmSync(folder, { recursive: true }))

async function readBack(file: string, select: string): Promise<Record<string, unknown>[]> {
  await using database = await openDatabase()
  return database.rows(`SELECT ${select} FROM ${sqlText(file)}`)
}

test('every type comes back as it was written, over several chunks and reused arrays', async () => {
  const file = join(folder, 'types.parquet')
  const writer = await openParquetWriter(file, [
    { name: 'id', type: 'BIGINT' },
    { name: 'at', type: 'TIMESTAMP' },
    { name: 'x', type: 'DOUBLE' },
    { name: 'f', type: 'FLOAT' },
    { name: 'n', type: 'INTEGER' },
    { name: 'label', type: 'UTINYINT' },
    { name: 'a "name"', type: 'VARCHAR' },
  ])
  const ids = new Float64Array(5000)
  const rows = {
    at: new Float64Array(5000).fill(1_522_540_800_123),
    x: new Float64Array(5000),
    f: new Float32Array(5000).fill(0.1),
    n: new Int32Array(5000).fill(-7),
    label: new Uint8Array(5000).fill(255),
  }
  const text = Array.from({ length: 5000 }, (_, row) => `é${row}`)
  for (const start of [-2500, 2 ** 53 - 5001]) {
    for (let row = 0; row < 5000; row++) ids[row] = start + row
    rows.at[1] = Infinity
    rows.x[0] = NaN
    writer.append([ids, rows.at, rows.x, rows.f, rows.n, rows.label, text], 5000)
    ids.fill(0)
  }
  expect(existsSync(file)).toBe(false)
  await writer.close()
  const read = await readBack(file, '*')
  expect(read.map((row) => Number(row.id))).toEqual([
    ...Array.from({ length: 5000 }, (_, row) => row - 2500),
    ...Array.from({ length: 5000 }, (_, row) => 2 ** 53 - 5001 + row),
  ])
  expect(read[0]).toEqual({
    id: -2500n,
    at: new Date(1_522_540_800_123),
    x: NaN,
    f: Math.fround(0.1),
    n: -7,
    label: 255,
    'a "name"': 'é0',
  })
  expect(read[5001].at).toBe(null)
  expect(read[2049].at).toEqual(new Date(1_522_540_800_123))
  expect(readdirSync(folder)).toEqual(['types.parquet'])
})

test('an empty file keeps its columns', async () => {
  const file = join(folder, 'made', 'empty.parquet')
  await using writer = await openParquetWriter(file, [{ name: 'id', type: 'BIGINT' }])
  await writer.close()
  expect(await readBack(file, 'count(*)::INTEGER AS n')).toEqual([{ n: 0 }])
})

test('a writer left without close leaves nothing behind, and the older file stands', async () => {
  const file = join(folder, 'older.parquet')
  writeFileSync(file, 'older')
  {
    await using writer = await openParquetWriter(file, [{ name: 'id', type: 'BIGINT' }])
    writer.append([new Float64Array(3)], 3)
  }
  expect(readdirSync(folder).filter((name) => name.startsWith('older'))).toEqual(['older.parquet'])
})

test('a folder that cannot be written is the user’s error', async () => {
  const notFolder = join(folder, 'plain-file')
  writeFileSync(notFolder, '')
  await expect(openParquetWriter(join(notFolder, 'f.parquet'), [{ name: 'id', type: 'BIGINT' }])).rejects.toThrow(
    UserError,
  )
})

test('two columns of one name are refused, before anything is written', async () => {
  const file = join(folder, 'twice.parquet')
  const open = (...names: string[]): Promise<unknown> =>
    openParquetWriter(
      file,
      names.map((name) => ({ name, type: 'DOUBLE' as const })),
    )
  await expect(open('a', 'label', 'label')).rejects.toThrow(/would have two columns "label"\. Give the feature/)
  await expect(open('V1', 'v1')).rejects.toThrow(/the columns "V1" and "v1", which tables take for one/)
  expect(existsSync(`${file}.partial`)).toBe(false)
})

test('columns that do not fit are a bug, not the user’s error', async () => {
  await using writer = await openParquetWriter(join(folder, 'bug.parquet'), [{ name: 'id', type: 'BIGINT' }])
  expect(() => writer.append([new Float64Array(2)], 3)).toThrow(RangeError)
  expect(() => writer.append([['a']], 1)).toThrow(TypeError)
})

// The one device of a Linux machine that is always full.
test.runIf(existsSync('/dev/full'))('a full disk leaves no half file', async () => {
  const file = join(folder, 'full', 'f.parquet')
  const writer = await openParquetWriter(file, [{ name: 'id', type: 'BIGINT' }])
  rmSync(`${file}.partial`)
  symlinkSync('/dev/full', `${file}.partial`)
  writer.append([new Float64Array(10)], 10)
  await expect(writer.close()).rejects.toThrow(/Cannot write .*f\.parquet/)
  expect(readdirSync(join(folder, 'full'))).toEqual([])
})
