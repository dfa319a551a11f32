import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { expectNothingLostOrDoubled } from '../kill.contract.ts'
import { ownFeatures } from '../own-features.ts'
import { makeWorld, type World } from '../world.ts'

const [kills, rate] = process.env.CI === undefined ? [6, 600] : [20, 200]

const project = mkdtempSync(join(tmpdir(), 'fd-project-'))
let home: World
beforeAll(async () => {
  home = await makeWorld({ customers: 100, terminals: 80, days: 60, liveDays: 12, ...ownFeatures(project) })
})
afterAll(async () => {
  await home[Symbol.asyncDispose]()
  rmSync(project, { recursive: true, force: true })
})

test.each([1, 3])(
  `features of one's own through ${kills} kills with -9, %i partitions: as batch computes them, once`,
  { timeout: 180_000 },
  async (partitions) => {
    const folder = join(home.home, randomUUID())
    const places = {
      FD_EVENT_LOG: `lmdb:${join(folder, 'log')}`,
      FD_ONLINE_STORE: `lmdb:${join(folder, 'online')}`,
    }
    const world = home.with(places, { maxBatch: 64, checkpointEveryMs: 40, partitions })
    await world.backfill()
    const { transactions } = await expectNothingLostOrDoubled(world, { kills, rate, longestLifeMs: 500 })
    expect(transactions).toBeGreaterThan(1000)
  },
)
