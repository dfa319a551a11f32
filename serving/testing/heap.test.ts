import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { hostileRecords } from './hostile-records.ts'

/** In each of three parts. */
const COUNT = 4_000
/**
 * So many bytes of objects come with a record on the way to rest: the engine’s own, and new keys. A scorer that
 * kept an object with an offset and a short text of each record would add 90 to the 50 that were measured.
 */
const BYTES_OF_A_RECORD = 100
const ENGINE_BYTES = 60_000
/** Buffers are made and dropped whole. A scorer that kept the records themselves would hold all of their bytes. */
const SHARE_OF_THE_RECORDS = 0.5

let folder: string
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'fd-heap-'))))
afterAll(() => rm(folder, { recursive: true, force: true }))

test(`a scorer holds no more after ${3 * COUNT} hostile records than after ${COUNT}`, async () => {
  const child = join(import.meta.dirname, 'heap-child.ts')
  const flags = ['--disable-warning=ExperimentalWarning', '--expose-gc']
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, child, folder, String(COUNT)])
  const parts = stdout
    .trim()
    .split('\n')
    .map((line) => line.split(' ').map(Number))
  const records = hostileRecords(1, COUNT, 0).reduce((bytes, { value }) => bytes + value.length, 0)
  expect(records).toBeGreaterThan(5_000_000)
  expect(parts).toHaveLength(3)
  for (const [at, [objects, buffers]] of parts.entries()) {
    expect(objects).toBeGreaterThan(1_000_000)
    const [before, buffersBefore] = parts[at - 1] ?? [objects, buffers]
    expect(objects - before).toBeLessThan(ENGINE_BYTES + COUNT * BYTES_OF_A_RECORD)
    expect(buffers - buffersBefore).toBeLessThan(records * SHARE_OF_THE_RECORDS)
  }
}, 120_000)
