import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { UserError } from '../../configs/user-error.ts'
import { decodeBlock, encodeBlocks, stampOffset } from '../log/lmdb/block.ts'
import { openLake } from '../open.ts'
import { openDatabase, sqlText } from '../table/duckdb.ts'
import { lakeContract } from './lake.contract.ts'

const home = mkdtempSync(join(tmpdir(), 'fd-lake-'))
afterAll(() => rmSync(home, { recursive: true, force: true }))

let lakes = 0
lakeContract('folder', () => `file:${join(home, `lake-${lakes++}`)}`)

test('a timestamp that no calendar has stops nothing', async () => {
  const [block] = encodeBlocks([NaN, Infinity, 1e300, 0.25, -1.5].map((timestamp) => ({ value: 'v', timestamp })))
  stampOffset(block, 0)
  const batch = decodeBlock(block.bytes, 't', 0, 4)
  if ('damage' in batch) throw new Error(batch.damage)
  await using lake = await openLake(`file:${join(home, 'odd')}`)
  await lake.write(batch)
  const timestamps: number[] = []
  for await (const read of lake.read('t')) timestamps.push(...read.timestamps)
  expect(timestamps).toEqual([0, 0, 0, 0.25, -1.5])
})

test('files are plain Parquet to any reader, and none is left half written', async () => {
  const folder = join(home, 'plain')
  const timestamp = Date.parse('2018-04-01T12:00:00.123Z')
  const [block] = encodeBlocks([{ key: 'é', value: '{"amount":1}', timestamp }])
  stampOffset(block, 0)
  const batch = decodeBlock(block.bytes, 't', 0, 0)
  if ('damage' in batch) throw new Error(batch.damage)
  await using lake = await openLake(`file:${folder}`)
  const [file] = await lake.write(batch)
  expect(readdirSync(join(folder, 'raw/t/date=2018-04-01'))).toEqual(['partition-0-offset-0.parquet'])
  await using database = await openDatabase()
  const columns = 'partition, "offset", decode("key") AS "key", epoch_ms("timestamp") AS ms, decode("value") AS "value"'
  const source = sqlText(join(folder, file.path))
  expect(await database.rows(`SELECT ${columns} FROM ${source}`)).toEqual([
    { partition: 0, offset: 0n, key: 'é', ms: 1522584000123n, value: '{"amount":1}' },
  ])
  writeFileSync(join(folder, 'raw/t/date=2018-04-01/partition-0-offset-1.parquet'), 'not Parquet')
  const reading = async (): Promise<void> => {
    for await (const read of lake.read('t')) expect(read.size).toBe(1)
  }
  await expect(reading()).rejects.toThrow(UserError)
  await expect(reading()).rejects.toThrow(/partition-0-offset-1/)
  await expect(openLake('s4://here')).rejects.toThrow(UserError)
})
