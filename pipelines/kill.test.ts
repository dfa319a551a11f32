import { expect, test } from 'vitest'
import { expectNothingLostOrDoubled, expectTakeover } from './kill.contract.ts'
import { makeWorld } from './world.ts'

test('kill -9 at 20 random moments of a stream: each transaction has one prediction, that of an uninterrupted run', { timeout: 180_000 }, async () => {
  // Small batches and frequent checkpoints: more moments at which a kill can hit.
  await using world = await makeWorld({ customers: 200, terminals: 300, days: 80, liveDays: 20, scorer: { maxBatch: 64, checkpointEveryMs: 40 } })
  const { transactions } = await expectNothingLostOrDoubled(world, { kills: 20, rate: 500, longestLifeMs: 500 })
  expect(transactions).toBeGreaterThan(5_000)
})

test('a scorer that stands by takes over when the first is killed', { timeout: 60_000 }, async () => {
  await using world = await makeWorld({ customers: 200, terminals: 300, days: 80, liveDays: 20 })
  await expectTakeover(world, 500)
})
