import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openDatabase, sqlText } from '../../../datasets/table/duckdb.ts'
import type { Prediction } from '../../../serving/prediction.ts'
import { makeWorld, type World } from '../../testing/world.ts'
import { scoresFile, type ScoreOptions } from './score-file.ts'

let world: World
/** What the scorer decided live, by id. */
let live: Map<number, Prediction>
beforeAll(async () => {
  world = await makeWorld({ customers: 60, terminals: 120, days: 80, liveDays: 20 })
  await world.fd('produce', '--dataset', 'simulated', '--data', world.file, '--from', world.cut)
  await world.fd('score', '--until-idle')
  live = new Map((await world.predictions()).map((each) => [Number(each.transaction_id), each]))
}, 120_000)
afterAll(() => world[Symbol.asyncDispose]())

const named = (name: string): string => join(world.home, name)

/** Writes rows of the world's file to another. */
async function copyRows(name: string, query: string, options = 'FORMAT parquet'): Promise<string> {
  await using database = await openDatabase()
  const rows = query.replaceAll('FILE', sqlText(world.file)).replaceAll('CUT', `TIMESTAMP ${sqlText(world.cut)}`)
  await database.run(`COPY (${rows}) TO ${sqlText(named(name))} (${options})`)
  return named(name)
}

interface Scored {
  TRANSACTION_ID: number
  score: number
  alert: number
  threshold: number
  version: number
}

async function scoredRows(file: string, condition = 'true'): Promise<Scored[]> {
  await using database = await openDatabase()
  const cells = 'TRANSACTION_ID::DOUBLE AS TRANSACTION_ID, score::DOUBLE AS score, alert::INT AS alert'
  const rows = await database.rows(
    `SELECT ${cells}, threshold::DOUBLE AS threshold, version::INT AS version FROM ${sqlText(file)} WHERE ${condition}`,
  )
  return rows as unknown as Scored[]
}

function decided(ids: Iterable<number>): Scored[] {
  return [...ids].map((id) => {
    const { score, decision, threshold, model } = live.get(id) as Prediction
    return { TRANSACTION_ID: id, score, alert: Number(decision === 'alert'), threshold, version: model.version }
  })
}

test('a file with its history before it: the scores, alerts and threshold of the stream, bit for bit', async () => {
  const past = await copyRows('past.parquet', 'FROM FILE WHERE TX_DATETIME < CUT')
  const recent = await copyRows('recent.parquet', 'FROM FILE WHERE TX_DATETIME >= CUT')
  const out = named('scores.parquet')
  const text = await world.fd('score', '--file', recent, '--history', past, '--out', out, '--json')
  const rows = await scoredRows(out)
  expect(live.size).toBeGreaterThan(500)
  expect(rows).toEqual(decided([...live.keys()].sort((a, b) => a - b)))
  const alerts = rows.filter(({ alert }) => alert === 1).length
  expect(alerts).toBeGreaterThan(0)
  expect(JSON.parse(text)).toMatchObject({
    scored: live.size,
    alerts,
    columns: ['score', 'alert', 'threshold', 'version'],
  })
})

test('a file that is its own history, and the features of its rows', async () => {
  const out = named('all.csv')
  await world.fd('score', '--file', world.file, '--out', out)
  const later = `TX_DATETIME::TIMESTAMP >= TIMESTAMP ${sqlText(world.cut)}`
  expect(await scoredRows(out, later)).toEqual(decided([...live.keys()].sort((a, b) => a - b)))
  expect(readFileSync(out, 'utf8').split('\n')[0]).toMatch(/^TRANSACTION_ID,.*,score,alert,threshold,version$/)
  const ids = await copyRows('ids.csv', 'SELECT TRANSACTION_ID FROM FILE WHERE TX_DATETIME >= CUT', 'FORMAT csv')
  const joined = named('joined.parquet')
  await world.fd('features', 'join', '--dataset', 'simulated', '--data', world.file, '--labels', ids, '--out', joined)
  await using database = await openDatabase()
  const [first] = live.values()
  const names = Object.keys(first.features)
  const found = await database.rows(`SELECT TRANSACTION_ID::INT AS id, ${names.join(', ')} FROM ${sqlText(joined)}`)
  expect(found).toEqual(found.map(({ id }) => ({ id, ...live.get(Number(id))?.features })))
  expect(found.length).toBe(live.size)
})

test('a file in another order without labels, and a history that goes on beyond its beginning', async () => {
  const order = 'ORDER BY hash(TRANSACTION_ID)'
  const columns = 'SELECT 7 AS score, * EXCLUDE (TX_FRAUD, TX_FRAUD_SCENARIO)'
  const mixed = await copyRows('mixed.csv', `${columns} FROM FILE WHERE TX_DATETIME >= CUT ${order}`, 'FORMAT csv')
  const args = ['score', '--file', mixed, '--history', world.file, '--out', named('mixed.parquet')]
  const refused = await world.try(...args)
  expect([refused.code, refused.stderr]).toEqual([
    2,
    expect.stringMatching(/mixed\.csv, line \d+, .*goes back.*--sort/s),
  ])
  const { stdout, stderr } = await world.try(...args, '--sort', '--json')
  expect(stderr).toMatch(/[\d,]+ transactions of \S+ are not from before the first of \S+: they were left out/)
  expect(JSON.parse(stdout)).toMatchObject({ columns: ['fd_score', 'alert', 'threshold', 'version'] })
  await using database = await openDatabase()
  const rows = await database.rows(`SELECT TRANSACTION_ID::INT AS id FROM ${sqlText(named('mixed.parquet'))}`)
  const asked = await database.rows(`SELECT TRANSACTION_ID::INT AS id FROM read_csv(${sqlText(mixed)})`)
  expect(rows).toEqual(asked)
})

test('a row that is bad ends it with its line and column, and leaves nothing', async () => {
  const file = await copyRows('bad.csv', 'SELECT * REPLACE (-1 AS TX_AMOUNT) FROM FILE LIMIT 3', 'FORMAT csv')
  const { code, stderr } = await world.try('score', '--file', file, '--out', named('never.csv'))
  expect([code, stderr]).toEqual([
    2,
    expect.stringMatching(/bad\.csv, line 2, column TX_AMOUNT: "-1" is not an amount/),
  ])
  await expect(scoredRows(named('never.csv'))).rejects.toThrow(/No files found/)
})

test('a version may be named; no file, no version and a file over itself are refused', async () => {
  const file = await copyRows('few.parquet', 'FROM FILE LIMIT 3')
  const out = named('few-scores.csv')
  const text = await world.fd('score', '--model', 'card-fraud/1', '--file', file, '--out', out)
  expect(text).toMatch(/card-fraud version 1\n.*scored +3\n.*Next: fd models threshold card-fraud 1/s)
  for (const [args, message] of [
    [['--file', file, '--out', file], /is the file that is scored/],
    [['--file', named('none.csv'), '--out', out], /There is no file .*none\.csv.*--file FILE/],
    [['--file', file, '--out', out, '--model', 'card-fraud/9'], /version 9/],
  ] as const) {
    const { code, stderr } = await world.try('score', ...args)
    expect([code, stderr]).toEqual([2, expect.stringMatching(message)])
  }
})

test.each<[Partial<ScoreOptions>, RegExp]>([
  [{ out: 'x.csv' }, /--out is for the scores of a file\. Add: --file FILE/],
  [{ file: 'x.csv' }, /Say where the scores go: --out FILE\.parquet/],
  [{ file: 'x.csv', out: 'y.csv', untilIdle: true }, /--until-idle is for the stream/],
  [{ file: 'x.csv', out: 'y.csv', group: 'g' }, /--group is for the stream/],
])('the options %j do not go together', (options, message) => {
  expect(() => scoresFile({ alias: 'champion', ...options })).toThrow(message)
})
