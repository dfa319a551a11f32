import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { expectNothingLostOrDoubled, expectStoppedScorerHarmless, expectTakeover } from './kill.contract.ts'
import { makeWorld, type World } from './world.ts'

// Outside CI, where a minute is long, the same stream passes faster and there are fewer kills.
const [kills, rate] = process.env.CI === undefined ? [8, 1200] : [20, 500]

let home: World
beforeAll(async () => {
  home = await makeWorld({ customers: 200, terminals: 300, days: 90, liveDays: 30 })
})
afterAll(() => home[Symbol.asyncDispose]())

/**
 * The home with a log and a store for one test. Small batches and frequent checkpoints make more moments at which a
 * kill can hit.
 */
async function freshWorld(partitions: number, logParameters = ''): Promise<World> {
  const folder = join(home.home, randomUUID())
  const places = {
    FD_EVENT_LOG: `lmdb:${join(folder, 'log')}${logParameters}`,
    FD_ONLINE_STORE: `lmdb:${join(folder, 'online')}`,
  }
  const world = home.with(places, { maxBatch: 64, checkpointEveryMs: 40, partitions })
  await world.backfill()
  return world
}

test(
  `kill -9 at ${kills} random moments of a stream: each transaction has one prediction, that of an uninterrupted run`,
  { timeout: 180_000 },
  async () => {
    const { transactions } = await expectNothingLostOrDoubled(await freshWorld(1), { kills, rate, longestLifeMs: 500 })
    expect(transactions).toBeGreaterThan(5_000)
  },
)

test('the same with three partitions, in which terminals have a stage of their own', { timeout: 180_000 }, async () => {
  const { transactions } = await expectNothingLostOrDoubled(await freshWorld(3), { kills, rate, longestLifeMs: 500 })
  expect(transactions).toBeGreaterThan(5_000)
})

test.each([1, 3])(
  'two scorers of a group over %i partitions: the second takes over when the first is killed',
  { timeout: 120_000 },
  async (partitions) => {
    await expectTakeover(await freshWorld(partitions), 200)
  },
)

test('a scorer that is stopped, replaced and goes on harms nothing', { timeout: 180_000 }, async () => {
  await expectStoppedScorerHarmless(await freshWorld(3, '?session=2'), { rate: 100, patienceMs: 8000 })
})
