import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { crc32, deflateRawSync, gzipSync } from 'node:zlib'
import { afterAll, expect, test, vi } from 'vitest'
import type { DatasetSchema } from '../table/dataset.ts'
import { openDatabase, sqlText } from '../table/duckdb.ts'
import { readTable } from '../table/table.ts'
import { unzipOnly } from './zip.ts'

const folder = mkdtempSync(join(tmpdir(), 'fd-zip-'))
// Copies lie in the folder for temporary files, which is one of this test's own.
vi.stubEnv('TMPDIR', folder)
afterAll(() => rmSync(folder, { recursive: true }))

const schema: DatasetSchema = {
  time: { column: 't', unit: 's' },
  amount: { column: 'a', minorUnits: 0 },
  entities: [],
  numeric: [],
  categorical: [],
}
const TABLE = Buffer.from(`t,a\n${Array.from({ length: 2000 }, (_, i) => `${i},${(i * 7919) % 100}\n`).join('')}`)

interface Packing {
  stored?: boolean
  /** Sizes and offsets in the extra fields and the zip64 end record, as for files beyond 4 GB. */
  large?: boolean
  encrypted?: boolean
  method?: number
  comment?: string
}

/** An archive of these files: local headers and data, the directory, the end record. */
function zipOf(files: [name: string, content: Buffer][], packing: Packing = {}): Buffer {
  const { stored = false, large = false, encrypted = false, comment = '' } = packing
  const [parts, directory]: Buffer[][] = [[], []]
  let at = 0
  for (const [name, content] of files) {
    const data = stored ? content : deflateRawSync(content)
    const sizes = large ? [0xffff_ffff, 0xffff_ffff] : [data.length, content.length]
    const shared = [packing.method ?? (stored ? 0 : 8), 0, 0]
    const head = [...u16(45, encrypted ? 1 : 0, ...shared), ...u32(crc32(content), ...sizes)]
    const extra = large ? [...u16(1, 24), ...u64(content.length, data.length, at)] : []
    const local = Buffer.from([...u32(0x0403_4b50), ...head, ...u16(name.length, 0), ...Buffer.from(name)])
    directory.push(
      Buffer.from([
        ...u32(0x0201_4b50),
        ...u16(45),
        ...head,
        ...u16(name.length, extra.length, 0, 0, 0),
        ...u32(0),
        ...u32(large ? 0xffff_ffff : at),
        ...Buffer.from(name),
        ...extra,
      ]),
    )
    parts.push(local, data)
    at += local.length + data.length
  }
  const size = Buffer.concat(directory).length
  const n = files.length
  const largeEnd = large
    ? [
        ...u32(0x0606_4b50),
        ...u64(44),
        ...u16(45, 45),
        ...u32(0, 0),
        ...u64(n, n, size, at),
        ...u32(0x0706_4b50, 0),
        ...u64(at + size),
        ...u32(1),
      ]
    : []
  const place = large ? [0xffff_ffff, 0xffff_ffff] : [size, at]
  const end = [
    ...u32(0x0605_4b50),
    ...u16(0, 0, n, n),
    ...u32(...place),
    ...u16(comment.length),
    ...Buffer.from(comment),
  ]
  return Buffer.concat([...parts, ...directory, Buffer.from(largeEnd), Buffer.from(end)])
}

const u16 = (...values: number[]): Buffer => Buffer.from(Uint16Array.from(values).buffer)
const u32 = (...values: number[]): Buffer => Buffer.from(Uint32Array.from(values).buffer)
const u64 = (...values: number[]): Buffer => Buffer.from(BigUint64Array.from(values, BigInt).buffer)

let files = 0
function written(bytes: Buffer): string {
  const file = join(folder, `z${files++}.zip`)
  writeFileSync(file, bytes)
  return file
}

async function read(bytes: Buffer): Promise<number[]> {
  const amounts: number[] = []
  for await (const batch of readTable(written(bytes), schema)) amounts.push(...batch.amount.subarray(0, batch.size))
  return amounts
}

const AMOUNTS = Array.from({ length: 2000 }, (_, i) => (i * 7919) % 100)

test.each<[string, Packing]>([
  ['deflated', {}],
  ['stored', { stored: true }],
  ['zip64', { large: true }],
  ['stored zip64', { large: true, stored: true }],
  ['with a comment', { comment: 'PK\u0005\u0006 of nothing' }],
])('an archive of one table is read as the table: %s', async (_, packing) => {
  expect(await read(zipOf([['data/table.csv', TABLE]], packing))).toEqual(AMOUNTS)
})

test('folders and what macOS adds are no files; a gzipped CSV and Parquet may be in an archive too', async () => {
  const beside: [string, Buffer][] = [
    ['data/', Buffer.alloc(0)],
    ['__MACOSX/._table.csv', Buffer.from('x')],
  ]
  expect(await read(zipOf([...beside, ['data/table.csv', TABLE]]))).toEqual(AMOUNTS)
  expect(await read(zipOf([['table.csv.gz', gzipSync(TABLE)]]))).toEqual(AMOUNTS)
  const parquet = join(folder, 'table.parquet')
  await using database = await openDatabase()
  await database.run(`COPY (SELECT 5 AS t, 7 AS a) TO ${sqlText(parquet)} (FORMAT parquet)`)
  const { readFileSync } = await import('node:fs')
  expect(await read(zipOf([['table.parquet', readFileSync(parquet)]]))).toEqual([7])
})

test.each<[string, Buffer, RegExp]>([
  [
    'several files',
    zipOf([
      ['a.csv', TABLE],
      ['b.csv', TABLE],
    ]),
    /\.zip is a ZIP archive of 2 files: "a\.csv", "b\.csv"/,
  ],
  ['no file', zipOf([['data/', Buffer.alloc(0)]]), /is a ZIP archive of 0 files\. /],
  ['nothing', zipOf([]), /is a ZIP archive without files/],
  ['an encrypted file', zipOf([['a.csv', TABLE]], { encrypted: true }), /is encrypted\. Unpack it/],
  ['a file packed in another way', zipOf([['a.csv', TABLE]], { method: 12 }), /is packed by method 12/],
  [
    'a workbook',
    zipOf([
      ['[Content_Types].xml', TABLE],
      ['xl/workbook.xml', TABLE],
    ]),
    /is an Excel workbook/,
  ],
  ['an archive', zipOf([['a.zip', zipOf([['a.csv', TABLE]])]]), /z\d+\.zip is a ZIP archive: unpack it/],
  ['an empty file', zipOf([['a.csv', Buffer.alloc(0)]]), /z\d+\.zip is empty/],
  [
    'a mistake',
    zipOf([['a.csv', Buffer.from('t,a\n1,2\n2,x\n')]]),
    /z\d+\.zip, line 3, column a: "x" is not an amount/,
  ],
])('an archive of %s is an error that says so', async (_, bytes, message) => {
  await expect(read(bytes)).rejects.toThrow(message)
})

test('an archive that was cut off, or any byte of which has changed, is refused or read as it was', async () => {
  for (const packing of [{}, { large: true }]) {
    const whole = zipOf([['table.csv', TABLE.subarray(0, 300)]], packing)
    const unpack = async (bytes: Buffer): Promise<Buffer> => buffer(Readable.from(await unzipOnly(written(bytes))))
    for (let left = 4; left < whole.length; left++)
      await expect(unpack(whole.subarray(0, left))).rejects.toThrow(/is cut short or damaged/)
    for (let at = 0; at < whole.length; at++) {
      const damaged = Buffer.from(whole)
      damaged[at] ^= 0x15
      const found = await unpack(damaged).catch((error: Error) => error.name)
      expect(['UserError', TABLE.toString('utf8', 0, 300)]).toContain(String(found))
    }
  }
})

test('an archive that cannot be read leaves no copy, one that can leaves one until the process ends', async () => {
  const copies = (): number =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => /fd-table-.*table-/.test(name)).length
  const bytes = zipOf([['b.csv', TABLE]])
  const damaged = Buffer.from(bytes)
  damaged[200] ^= 1
  const before = copies()
  await expect(read(damaged)).rejects.toThrow(/is cut short or damaged/)
  expect(copies()).toBe(before)
  await read(bytes)
  expect(copies()).toBe(before + 1)
})
