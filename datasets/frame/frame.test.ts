import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, expect, test } from 'vitest'
import type { DatasetSchema } from '../table/dataset.ts'
import { openDatabase, sqlText } from '../table/duckdb.ts'
import { openTableWriter } from '../table/parquet.ts'
import { LOOKUP } from '../table/transaction.ts'
import { readFrame, type FrameOptions } from './frame.ts'

const schema: DatasetSchema = {
  id: { column: 'tx', type: 'integer' },
  time: { column: 'at', unit: 's' },
  amount: { column: 'sum', minorUnits: 2 },
  label: { column: 'fraud' },
  entities: [
    { name: 'card', column: 'card_id', type: 'string' },
    { name: 'shop', column: 'shop_id', type: 'integer' },
    { name: 'card_shop', of: ['card', 'shop'] },
  ],
  numeric: ['age'],
  categorical: ['country'],
  missing: ['NA'],
}

const folder = mkdtempSync(join(tmpdir(), 'fd-frame-'))
afterAll(() => rmSync(folder, { recursive: true }))
let files = 0
function write(content: string | Uint8Array, ending = 'csv'): string {
  const file = join(folder, `${files++}.${ending}`)
  writeFileSync(file, content)
  return file
}
const read = (content: string, options?: FrameOptions): ReturnType<typeof readFrame> =>
  readFrame(write(content), schema, options)

const NOON = Date.UTC(2024, 0, 1, 12)

test('columns have the roles that the dataset gives them, any may be blank, and others are carried along', async () => {
  const frame = await read(
    `shop;note;card_id;at;country\n7;"a;b";c1;${NOON / 1000};CH\nNA;;c2;${NOON / 1000 + 1};\n;x;;0;FR\n`,
  )
  const { events } = frame
  expect(frame).toMatchObject({ timed: true, identified: false, absent: ['sum', 'age'] })
  expect(frame.columns).toEqual(['shop', 'note', 'card_id', 'at', 'country'])
  expect([...events.kind]).toEqual([LOOKUP, LOOKUP, LOOKUP])
  expect([...events.time]).toEqual([NOON, NOON + 1000, 0])
  expect(events.entities.map((column) => [...column])).toEqual([
    ['c1', 'c2', ''],
    [7, Number.NaN, Number.NaN],
    ['["c1",7]', '', ''],
  ])
  expect(events.categorical).toEqual([['CH', '', 'FR']])
  for (const column of [events.amount, ...events.numeric]) expect([...column].every(Number.isNaN)).toBe(true)
})

test.each<[string, string, FrameOptions]>([
  ['written where the dataset counts', `card_id,at\nc1,2024-01-01 12:00:00\nc1,2024-01-01T13:30:00+01:30\n`, {}],
  ['counted in another unit', `card_id,at\nc1,${NOON}\nc1,${NOON}\n`, { unit: 'ms' }],
  ['in a column of another name', `card_id,asked,at\nc1,${NOON / 1000},x\nc1,${NOON / 1000},y\n`, { time: 'asked' }],
])('times may be %s', async (_, content, options) => {
  expect([...(await read(content, options)).events.time]).toEqual([NOON, NOON])
})

test('timestamps of Parquet are told by their type, and ids may stand alone', async () => {
  const file = join(folder, 'frame.parquet')
  await using database = await openDatabase()
  const rows =
    "(VALUES (1, TIMESTAMP '2024-01-01 12:00:00', 'c1'), (NULL, TIMESTAMP '2024-01-02', NULL)) t(tx, \"at\", card)"
  await database.run(`COPY (SELECT * FROM ${rows}) TO ${sqlText(file)} (FORMAT parquet)`)
  const { events } = await readFrame(file, schema)
  expect([...events.time]).toEqual([NOON, Date.UTC(2024, 0, 2)])
  expect([[...events.ids], events.entities[0]]).toEqual([
    [1, Number.NaN],
    ['c1', ''],
  ])
  const alone = await readFrame(write(gzipSync('tx,what\n5,x\n,y\n'), 'csv.gz'), schema)
  expect(alone).toMatchObject({ timed: false, identified: true })
  expect([...alone.events.ids]).toEqual([5, Number.NaN])
})

test('card numbers become the tokens that the dataset has', async () => {
  const entities: DatasetSchema['entities'] = [{ name: 'card', column: 'card_id', type: 'string', token: true }]
  const file = write(`card_id,at\n4111111111111111,5\n,6\n`)
  const { events } = await readFrame(file, { ...schema, entities }, { tokenKey: 'a secret that is long enough' })
  expect(events.entities[0]).toEqual([expect.stringMatching(/^[\w-]{22}$/), ''])
  await expect(readFrame(file, { ...schema, entities })).rejects.toThrow(/FD_TOKEN_KEY/)
})

test.each<[string, string, RegExp, FrameOptions]>([
  ['no keys', 'at,x\n1,2\n', /has no keys: none of the columns card_id, shop_id, tx\. It has: at, x\./, {}],
  [
    'no times',
    'card_id,when\nc1,2\n',
    /no column at, which is that of the times\. It has: card_id, when\. .*--time/,
    {},
  ],
  ['another column of times', 'card_id,at\nc1,2\n', /has no column "then"\. It has: card_id, at/, { time: 'then' }],
  ['a bad time', 'card_id,at\nc1,5\nc1,soon\n', /line 3, column at: "soon" is not a time.*--unit UNIT/s, {}],
  ['a blank time', 'card_id,at\nc1,\n', /line 2, column at: .* is not a time/, {}],
  ['a key of another type', 'shop_id,at\ns1,5\n', /line 2, column shop_id: "s1" is not a whole number/, {}],
  ['no rows', 'card_id,at\n', /columns but no rows.*--labels FILE/, {}],
  ['nothing', '', /is empty.*--labels FILE/, {}],
  ['a column twice', 'card_id,at,at\nc1,5,6\n', /the column "at" is named twice/, {}],
  ['a line of more cells', 'card_id,at\nc1,5,6\n', /line 2: it has more cells.*--labels FILE/s, {}],
])('a frame with %s is refused', async (_, content, message, options) => {
  await expect(read(content, options)).rejects.toThrow(message)
})

test('a frame that is not there is refused by its own option', async () => {
  await expect(readFrame(join(folder, 'none.csv'), schema)).rejects.toThrow(/no file .*none\.csv.*--labels FILE/)
})

test.each(['parquet', 'csv', 'csv.gz'])('a frame is written beside what was found for its rows: %s', async (ending) => {
  const rows = 5000
  const lines = Array.from({ length: rows }, (_, row) => `"card, ${row}",${row},0${row}`)
  const frame = await read(`card_id,at,Zip Code\n${lines.join('\n')}\n`)
  const out = join(folder, `out.${ending}`)
  const value = Float64Array.from({ length: rows }, (_, row) => (row % 3 === 0 ? Number.NaN : row / 7))
  const text = Array.from({ length: rows }, (_, row) => (row % 2 === 0 ? '' : `t${row}`))
  {
    await using writer = await openTableWriter(
      out,
      [
        { name: 'value', type: 'DOUBLE' },
        { name: 'text', type: 'VARCHAR' },
      ],
      frame,
    )
    writer.append([value, text], rows)
    await writer.close()
  }
  await using database = await openDatabase()
  const from = ending === 'parquet' ? sqlText(out) : `read_csv(${sqlText(out)}, all_varchar = true)`
  const columns = '"card_id", "at", "Zip Code", coalesce(value::DOUBLE, \'nan\') AS value, coalesce(text, \'\') AS text'
  const found = await database.rows(`SELECT ${columns} FROM ${from}`)
  expect(found).toEqual(
    text.map((name, row) => ({
      card_id: `card, ${row}`,
      at: String(row),
      'Zip Code': `0${row}`,
      value: value[row],
      text: name,
    })),
  )
})

test('a frame that was changed before it is written out is refused, and leaves nothing', async () => {
  const file = write('card_id,at\nc1,5\n')
  const frame = await readFrame(file, schema)
  writeFileSync(file, 'card_id,at\nc1,5\nc2,6\n')
  const out = join(folder, 'changed.parquet')
  await using writer = await openTableWriter(out, [{ name: 'value', type: 'DOUBLE' }], frame)
  writer.append([new Float64Array(1)], 1)
  await expect(writer.close()).rejects.toThrow(/was changed while it was read/)
  expect(existsSync(out)).toBe(false)
})
