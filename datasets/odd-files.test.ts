import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, expect, test } from 'vitest'
import type { DatasetSchema } from './table/dataset.ts'
import { openDatabase } from './table/duckdb.ts'
import { fileDataset } from './table/file-dataset.ts'
import { readTable } from './table/table.ts'
import { HOUR } from './table/transaction.ts'

const folder = mkdtempSync(join(tmpdir(), 'fd-odd-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const schema: DatasetSchema = {
  id: { column: 'id', type: 'integer' },
  time: { column: 'at', unit: 'timestamp' },
  amount: { column: 'amount', minorUnits: 2 },
  label: { column: 'fraud' },
  entities: [{ name: 'card', column: 'card', type: 'string' }],
  numeric: ['n'],
  categorical: ['shop'],
}
const COLUMNS = ['id', 'at', 'amount', 'fraud', 'card', 'shop', 'n'] as const
type Cells = Partial<Record<(typeof COLUMNS)[number], string>>

/** Lines of a table: the header, and three rows that differ from sound ones in some cells. */
function lines(cells: Cells = {}, separator = ','): string[] {
  const sound = { at: '2024-01-05 10:00', amount: '12.50', fraud: '0', card: 'c', shop: 's', n: '1', ...cells }
  const row = (id: number): string => COLUMNS.map((column) => ({ id: String(id), ...sound })[column]).join(separator)
  return [COLUMNS.join(separator), row(0), row(1), row(2)]
}

let files = 0
function write(content: string | Uint8Array, name = `odd-${files++}.csv`): string {
  const file = join(folder, name)
  writeFileSync(file, content)
  return file
}

/** What a row holds, of the first and of the last row. */
async function read(file: string, as: Partial<DatasetSchema> = {}): Promise<string[]> {
  const rows: string[] = []
  for await (const { size, ids, time, amount, numeric, categorical } of readTable(file, { ...schema, ...as }))
    for (let row = 0; row < size; row++) {
      const at = new Date(time[row]).toISOString()
      rows.push([ids[row], at, amount[row], numeric[0][row], categorical[0][row]].join(' '))
    }
  return rows
}

const SOUND = [0, 1, 2].map((id) => `${id} 2024-01-05T10:00:00.000Z 1250 1 s`)

test.each<[string, string | Uint8Array]>([
  ['as Excel writes it', `sep=;\n${lines({}, ';').join('\n')}`],
  ['the same with a byte order mark and returns', `\ufeffsep=;\r\n${lines({}, ';').join('\r\n')}\r\n`],
  ['the same in quotes, with lone returns', `"sep=|"\r${lines({}, '|').join('\r')}\r`],
  [
    'where the delimiter it names is not the most frequent',
    `sep=;\n${lines({}, ';').join('\n').replace('at;', 'at;')}`,
  ],
  ['with a byte order mark', `\ufeff${lines().join('\n')}`],
  ['whose header begins with a bracket', lines().join('\n').replace('id,', '[x],id,').replaceAll(/\n/g, '\n9,')],
  ['whose header begins with a tag', lines().join('\n').replace('id,', '<TICKER>,id,').replaceAll(/\n/g, '\n9,')],
  ['with blank lines between', lines().join('\n\n')],
  [
    'of two gzip members',
    Buffer.concat([gzipSync(`${lines().slice(0, 2).join('\n')}\n`), gzipSync(lines().slice(2).join('\n'))]),
  ],
])('a table %s is read', async (_, content) => {
  expect(await read(write(content))).toEqual(SOUND)
})

test('a fault behind a line that names the separator is told with its own line', async () => {
  const file = write(`sep=;\n${lines({}, ';').join('\n')}\n3;never;1;0;c;s;1`)
  await expect(read(file)).rejects.toThrow(/, line 6, column at: "never" is not a time/)
})

test.each<[string, Cells, Partial<DatasetSchema>]>([
  ['decimal commas', { amount: '"12,50"' }, { numbers: { decimal: ',' } }],
  ['thousands', { amount: '"0,012.50"' }, { numbers: { decimal: '.', thousands: ',' } }],
  [
    'years of two digits',
    { at: '05/01/24 10:00' },
    { time: { column: 'at', unit: 'timestamp', format: '%d/%m/%y %H:%M' } },
  ],
  [
    'days as Excel counts them',
    { at: '45296.4166666667' },
    { time: { column: 'at', unit: 'd', origin: Date.UTC(1899, 11, 30) } },
  ],
])('%s are read where they are declared', async (_, cells, as) => {
  expect(await read(write(lines(cells).join('\n')), as)).toEqual(SOUND)
})

test.each<[string, Cells, RegExp]>([
  ['a decimal comma', { amount: '"12,50"' }, /line 2, column amount: "12,50" .*numbers: \{ decimal: ',' \}/s],
  ['thousands', { amount: '"1,012.50"' }, /line 2, column amount: .*numbers: \{ decimal: '\.', thousands: "," \}/s],
  [
    'German thousands',
    { amount: '"1.012,50"' },
    /line 2, column amount: .*numbers: \{ decimal: ',', thousands: "\." \}/s,
  ],
  ['no-break blanks', { n: '1\u00a0000' }, /line 2, column n: .*thousands: " " \}/s],
  ['an underscore', { amount: '1_000' }, /line 2, column amount: "1_000" is not an amount/],
  ['an underscore in an id', { id: '1_0' }, /line 2, column id: "1_0" is not a whole number/],
  ['an underscore in a number', { n: '1_0' }, /line 2, column n: "1_0" is not a number/],
  ['nan', { n: 'nan' }, /line 2, column n: "nan" is not a number.*missing: \["nan"\]/s],
  ['NA as a label', { fraud: 'NA' }, /line 2, column fraud: "NA" is not a label.*missing: \["NA"\]/s],
  ['a year of two digits', { at: '05/01/24 10:00' }, /line 2, column at: .*format: '%d\/%m\/%y %H:%M'/s],
  ['dots between day and month', { at: '5.1.2024' }, /line 2, column at: .*format: '%d\.%m\.%Y'/s],
  ['a zone by its name', { at: '2024-01-05 10:00:00 UTC' }, /format: '%Y-%m-%d %H:%M:%S UTC'/],
  ['a day of Excel', { at: '45296.41666667' }, /line 2, column at: .*unit: d, origin: '1899-12-30'/s],
])('%s, not declared, is refused with its place and with the declaration that reads it', async (_, cells, message) => {
  await expect(read(write(lines(cells).join('\n')))).rejects.toThrow(message)
})

test.each<[string, string | Uint8Array, RegExp]>([
  ['two tables joined', [...lines(), ...lines()].join('\n'), /line 5 repeats the header: two files were joined/],
  [
    'cells in Windows-1252',
    Buffer.from(lines({ shop: 'Café' }).join('\n'), 'latin1'),
    /line 2: it is not UTF-8.*iconv/,
  ],
  [
    'names in Windows-1252',
    Buffer.from(lines().join('\n').replace('shop', 'shöp'), 'latin1'),
    /line 1: it is not UTF-8/,
  ],
  [
    'names with blanks',
    lines()
      .join('\n')
      .replaceAll(/(?<=^.*),/g, ', '),
    /It has: id, " at", " amount"/,
  ],
  ['JSON', '[{"id": 1}]', /is JSON: write its rows as CSV or Parquet/],
  ['lines of JSON', '{"id": 1}\n{"id": 2}', /is JSON/],
  ['JSON over several lines', '[\n  {\n    "id": 1\n  }\n]', /is JSON/],
  ['JSON in arrays', '\n[["id", "at"], [1, 2]]', /is JSON/],
  ['JSON with a byte order mark', '\ufeff{ "id": 1 }', /is JSON/],
  ['JSON without rows', '[ ]\n', /is JSON/],
  ['gzipped JSON', gzipSync('{"id": 1}'), /is JSON/],
  ['a web page', '<!DOCTYPE html><html>Sign in</html>', /is a web page/],
  ['a web page in small letters', '\r\n<!doctype  html>\n<html>', /is a web page/],
  ['a web page without a declaration', '<HTML lang="en"><HEAD>', /is a web page/],
  ['a table of a web page, as some call a workbook', '\ufeff <table border=1><tr><td>id', /is a web page/],
  ['XML', '\ufeff<?XML version="1.0"?><rows/>', /is XML/],
  ['XML with its document type', '<!DOCTYPE rows>\n<rows/>', /is XML/],
  ['what Git keeps of a large file', '\ufeffversion https://git-lfs.github.com/spec/v1\n', /git lfs pull/],
  ['a gzip of a gzip', gzipSync(gzipSync(lines().join('\n'))), /is gzipped more than once/],
  ['a gzip of Parquet', gzipSync('PAR1\u0015'), /is Parquet that was gzipped as a whole: unpack it/],
  ['a gzip of a tar archive', gzipSync(Buffer.from(`odd.csv${'\0'.repeat(250)}ustar`)), /is a tar archive/],
  ['a PDF', '%PDF-1.7\n', /is a PDF/],
  ['encrypted Parquet', 'PARE\u0015', /is encrypted Parquet/],
  ['UTF-16', Buffer.from(`\ufeff${lines().join('\n')}`, 'utf16le'), /is text in UTF-16/],
  ['UTF-16 without a byte order mark', Buffer.from(lines().join('\n'), 'utf16le'), /is text in UTF-16/],
  ['UTF-32', Buffer.from([0xff, 0xfe, 0, 0, 0x69, 0, 0, 0]), /is text in UTF-32/],
  ['cells without a header', '7,2024-01-05,5,1,4111111111111111,s,3', /It has: 7, 2024-01-05, 5, 1, …1111, s, 3\./],
  ['a header in capitals', lines().join('\n').replace('amount', 'Amount'), /\nIs amount its column "Amount"\?/],
  [
    'a header with another accent',
    lines().join('\n').replace('amount', 'amount\u0301'),
    /\nIs amount its column "amoun/,
  ],
  ['cells that are divided by another mark', lines({}, '^').join('\n'), /\nCells are divided by a comma, a semicolon/],
  ['a short line', `${lines().join('\n')}\nend`, /line 5: it has 1 cell, fewer than/],
  ['a header that nobody sees', lines().join('\n').replace('amount', '\u200bamount'), /It has: id, at, \\u200bamount,/],
  ['10,000 columns', Array.from({ length: 10_000 }, (_, c) => `c${c}`).join(), /It has: c0, .*, c59, and 9940 more\./],
  ['a title before the header', ['Payments', ...lines()].join('\n'), /has no column id, at, .* It has: Payments\.\n/],
  [
    'a short line with a card number',
    [...lines(), '3,2024-01-05,5,4111111111111112'].join('\n'),
    /line 5: it has 4 cells, fewer than the header has names \(7\)\n {2}3,2024-01-05,5,…1112\n/,
  ],
  [
    'quotes behind backslashes',
    lines({ shop: String.raw`"a \"b\" c"` }).join('\n'),
    /line 2: .* is written twice: "a ""b""/,
  ],
  ['no bytes', '', /is empty/],
  ['blank lines', '\n\n', /is empty: its first line must name the columns/],
  ['a gzip of nothing', gzipSync(''), /is empty/],
  ['a header', `${lines()[0]}\n`, /has columns but no rows/],
  [
    'a name that stands twice behind the separator',
    `sep=;\n${lines({}, ';').join('\n').replace('shop', 'at')}`,
    /line 2: the column "at" is named twice/,
  ],
])('a file of %s is refused by what it is', async (_, content, message) => {
  await expect(read(write(content))).rejects.toThrow(message)
})

test.each([
  ['shop', "['a', 'b']", 'VARCHAR[]'],
  ['shop', "{'name': 'a'}", 'STRUCT'],
  ['card', "MAP {'a': 1}", 'MAP'],
  ['fraud', '[1]', 'INTEGER[]'],
  ['amount', "{'value': 1.5}", 'STRUCT'],
])('a Parquet column %s that holds %s is refused by its type', async (column, value, type) => {
  const cells = { id: '1', at: "TIMESTAMP '2024-01-05'", amount: '1.5', fraud: '0', card: "'c'", shop: "'s'", n: '1' }
  const select = Object.entries({ ...cells, [column]: value }).map(([name, sql]) => `${sql} AS ${name}`)
  const file = join(folder, `nested-${files++}.parquet`)
  await using database = await openDatabase()
  await database.run(`COPY (SELECT ${select.join(', ')}) TO '${file}' (FORMAT parquet)`)
  const error: unknown = await read(file).catch((thrown: unknown) => thrown)
  expect(String(error)).toContain(`column ${column}: its cells are of the type ${type}`)
})

test('a table is what its bytes say, whatever it is called', async () => {
  expect(await read(write(lines().join('\n'), 'table.parquet'))).toEqual(SOUND)
  await expect(read(write('junk', 'junk.parquet'))).rejects.toThrow(
    /\nBy its bytes it is no Parquet, so it was read as CSV/,
  )
  await expect(read(write('version https://git-lfs', 'kept.parquet'))).rejects.toThrow(/git lfs pull/)
  await expect(read(write('\u0000PAR1', 'broken.parquet'))).rejects.toThrow(/binary data/)
})

test('a folder is called one', async () => {
  mkdirSync(join(folder, 'folder.csv'))
  await expect(read(join(folder, 'folder.csv'))).rejects.toThrow(/folder\.csv is a folder, and a table is one file/)
})

test('a file that grows while it is read, or between its digest and its rows, is refused', async () => {
  const many = [lines()[0], ...Array.from({ length: 40_000 }, (_, id) => lines()[1].replace('0', String(id)))]
  const dataset = (file: string) =>
    fileDataset(
      { name: 'odd', description: '', service: 'x', split: { kind: 'ordered', trainShare: 0.7 }, schema },
      file,
      { maxAhead: HOUR },
    )
  const rows = async (file: string, then: () => void): Promise<void> => {
    for await (const _ of dataset(file).batches()) then()
  }
  const growing = write(many.join('\n'))
  await expect(rows(growing, () => writeFileSync(growing, '\n', { flag: 'a' }))).rejects.toThrow(
    /was changed while it was read/,
  )
  await rows(write(many.join('\n')), () => {})
  const other = write(lines().join('\n'))
  const opened = dataset(other)
  await opened.digest()
  writeFileSync(other, '\n', { flag: 'a' })
  await expect(opened.count()).rejects.toThrow(/was changed while it was read/)
})
