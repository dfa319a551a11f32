import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, expect, test, vi } from 'vitest'
import { randomStream, type Random } from '../random/random.ts'
import type { DatasetSchema } from '../table/dataset.ts'
import { countRows, readTable } from '../table/table.ts'

const folder = mkdtempSync(join(tmpdir(), 'fd-lines-'))
vi.stubEnv('TMPDIR', folder)
afterAll(() => rmSync(folder, { recursive: true }))

const schema: DatasetSchema = {
  id: { column: 'id', type: 'integer' },
  time: { column: 't', unit: 's' },
  amount: { column: 'a', minorUnits: 0 },
  entities: [],
  numeric: [],
  categorical: ['note'],
}

let files = 0
function written(content: string | Buffer): string {
  const file = join(folder, `t${files++}.csv`)
  writeFileSync(file, content)
  return file
}

async function read(file: string): Promise<(string | number)[][]> {
  const rows: (string | number)[][] = []
  for await (const batch of readTable(file, schema))
    for (let row = 0; row < batch.size; row++)
      rows.push([Number(batch.ids[row]), batch.amount[row], batch.categorical[0][row]])
  return rows
}

const pick = <T>(random: Random, ...some: T[]): T => some[random.integer(some.length)]

const NOTES = [
  '',
  'plain',
  '5" pipe',
  'x"y"',
  '"a, b"',
  '"two\nlines"',
  '"three\r\nlines\rof it"',
  '"he said ""no"""',
  '""',
]
const meaning = (note: string): string => (note.startsWith('"') ? note.slice(1, -1).replaceAll('""', '"') : note)

/** How lines end in one file: all alike, in stretches, or each as it comes. */
const ENDS: ((random: Random, row: number) => string)[] = [
  () => '\n',
  () => '\r\n',
  () => '\r',
  (_, row) => (row < 40 ? '\n' : '\r\n'),
  (_, row) => (row < 40 ? '\r\n' : '\n'),
  (_, row) => (row === 0 ? '\r' : '\n'),
  (random) => pick(random, '\n', '\r\n', '\r'),
  (random) => pick(random, '\n', '\n\n', '\r\n\r\n', '\r\r', '\n\r\n'),
]

test.each(ENDS.map((end, index) => [index, end] as const))(
  'rows do not depend on how lines end, byte order mark, gzip or the last line (way %i)',
  async (index, end) => {
    for (const seed of [1, 2]) {
      const random = randomStream(seed, index)
      const rows = Array.from({ length: 200 }, (_, id) => [id, id % 7, pick(random, ...NOTES)] as const)
      const lines = ['id,t,a,note', ...rows.map(([id, a, note]) => `${id},${id},${a},${note}`)]
      const text = lines.map((line, row) => line + (row < 200 || seed === 1 ? end(random, row) : '')).join('')
      const bytes = Buffer.from((seed === 1 ? '\uFEFF' : '') + text)
      const file = written(seed === 1 ? bytes : gzipSync(bytes))
      expect(await read(file)).toEqual(rows.map(([id, a, note]) => [id, a, meaning(note)]))
      expect(await countRows(file)).toBe(200)
    }
  },
)

test('a header may hold line ends in a quoted name', async () => {
  expect(await read(written('\uFEFF"id",t,a,note,"in\r\nEUR"\r\n1,2,3,x,4\n2,3,4,y,5\r'))).toEqual([
    [1, 3, 'x'],
    [2, 4, 'y'],
  ])
})

test('line ends stand on either side of a chunk of the file', async () => {
  const rows = Array.from({ length: 60_000 }, (_, id) => `${id},${id},5,${'n'.repeat(id % 9)}`)
  const text = ['id,t,a,note', ...rows].map((row, at) => row + (at % 3 === 0 ? '\n' : '\r\n')).join('')
  const found = await read(written(text))
  expect(found.length).toBe(60_000)
  expect(found.every(([id, a, note], row) => id === row && a === 5 && note === 'n'.repeat(row % 9))).toBe(true)
})

test.each([
  ['\n', 'even'],
  ['\r', 'even'],
  ['\r\n', 'mixed'],
])('a row that is short, long or wrong is refused with its line (%j)', async (end) => {
  const file = (bad: string): string =>
    written(`id,t,a,note${end}1,1,1,"two${end}lines"${end.repeat(3)}${bad}${end}9,9,9,${end}`)
  // The quoted cell has two lines, two blank ones follow, the bad one is the sixth.
  await expect(read(file('2,2'))).rejects.toThrow(/line \d+: it has 2 cells, fewer than the header has names \(4\)/)
  await expect(read(file('2,2,2,x,5'))).rejects.toThrow(/line \d+: it has more cells than the header has names \(4\)/)
  await expect(read(file('2,2,two,'))).rejects.toThrow(/line 6, column a: "two" is not an amount/)
})
