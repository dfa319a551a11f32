import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { expectNothingLostOrDoubled, expectStoppedScorerHarmless, expectTakeover } from './kill.contract.ts'
import { makeWorld } from './world.ts'

const size = { customers: 200, terminals: 300, days: 80, liveDays: 20 }

test('kill -9 at 20 random moments of a stream: each transaction has one prediction, that of an uninterrupted run', { timeout: 180_000 }, async () => {
  // Small batches and frequent checkpoints: more moments at which a kill can hit.
  await using world = await makeWorld({ ...size, scorer: { maxBatch: 64, checkpointEveryMs: 40 } })
  const { transactions } = await expectNothingLostOrDoubled(world, { kills: 20, rate: 500, longestLifeMs: 500 })
  expect(transactions).toBeGreaterThan(5_000)
})

test('the same with three partitions, in which terminals have a stage of their own', { timeout: 180_000 }, async () => {
  await using world = await makeWorld({ ...size, scorer: { maxBatch: 64, checkpointEveryMs: 40, partitions: 3 } })
  const { transactions } = await expectNothingLostOrDoubled(world, { kills: 20, rate: 500, longestLifeMs: 500 })
  expect(transactions).toBeGreaterThan(5_000)
})

test.each([1, 3])('two scorers of a group over %i partitions: the second takes over when the first is killed', { timeout: 60_000 }, async (partitions) => {
  await using world = await makeWorld({ ...size, scorer: { maxBatch: 64, checkpointEveryMs: 40, partitions } })
  await expectTakeover(world, 500)
})

test('a scorer that is stopped, replaced and goes on harms nothing', { timeout: 180_000 }, async () => {
  const log = await mkdtemp(join(tmpdir(), 'fd-log-'))
  try {
    await using world = await makeWorld({
      ...size, liveDays: 40, scorer: { maxBatch: 64, checkpointEveryMs: 40, partitions: 3 }, environment: { FD_EVENT_LOG: `lmdb:${log}?session=2` },
    })
    await expectStoppedScorerHarmless(world, { rate: 500, patienceMs: 8000 })
  } finally {
    await rm(log, { recursive: true })
  }
})
