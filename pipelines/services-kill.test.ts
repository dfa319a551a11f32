import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { expectNothingLostOrDoubled, expectStoppedScorerHarmless, expectTakeover } from './kill.contract.ts'
import { makeWorld, type World, type WorldSize } from './world.ts'

const { FD_TEST_KAFKA_URL: kafka, FD_TEST_REDIS_URL: redis, FD_TEST_MLFLOW_URL: mlflow, CI } = process.env

/** A URL with one more parameter, so that a test has names of its own on a server it shares. */
function withParameter(url: string, name: string, value: string): string {
  return `${url}${url.includes('?') ? '&' : '?'}${name}=${value}`
}

// Twenty kills while 100,000 transactions stream in CI; at a desk, where a minute is long, a few.
const [kills, customers, rate] = CI === undefined ? [4, 300, 800] : [20, 1900, 2500]

/** A world of its own on the servers that all tests share. */
function makeServiceWorld(size: Pick<WorldSize, 'customers' | 'terminals' | 'liveDays' | 'scorer'>): Promise<World> {
  const id = `fd-test-${randomUUID().slice(0, 8)}`
  return makeWorld({
    ...size,
    days: 50 + size.liveDays,
    environment: {
      FD_EVENT_LOG: withParameter(withParameter(kafka ?? '', 'prefix', `${id}.`), 'session', '6'),
      FD_ONLINE_STORE: withParameter(redis ?? '', 'prefix', id),
      ...(mlflow === undefined ? {} : { MLFLOW_TRACKING_URI: mlflow }),
    },
  })
}

describe.runIf(kafka !== undefined && redis !== undefined)('on Kafka and Redis', () => {
  test(`kill -9 at ${kills} random moments of a stream: each prediction once among the committed, equal to an uninterrupted run's`, { timeout: 900_000 }, async () => {
    await using world = await makeServiceWorld({ customers, terminals: customers * 2, liveDays: 30, scorer: { maxBatch: 256, checkpointEveryMs: 100 } })
    const { transactions } = await expectNothingLostOrDoubled(world, { kills, rate, longestLifeMs: 2500 })
    expect(transactions).toBeGreaterThan(CI === undefined ? 15_000 : 100_000)
  })

  test('the same with three partitions, in which terminals have a stage of their own', { timeout: 900_000 }, async () => {
    await using world = await makeServiceWorld({ customers: 300, terminals: 600, liveDays: 30, scorer: { maxBatch: 256, checkpointEveryMs: 100, partitions: 3 } })
    const { transactions } = await expectNothingLostOrDoubled(world, { kills: 4, rate: 800, longestLifeMs: 4000 })
    expect(transactions).toBeGreaterThan(15_000)
  })

  test.each([1, 3])('two scorers of a group over %i partitions: the second takes over when the first is killed', { timeout: 180_000 }, async (partitions) => {
    await using world = await makeServiceWorld({ customers: 300, terminals: 500, liveDays: 20, scorer: { maxBatch: 256, checkpointEveryMs: 100, partitions } })
    const { seconds } = await expectTakeover(world, 500)
    // No matter of speed: a session of 6 s bounds it, whatever the machine.
    expect(seconds).toBeLessThan(15)
  })

  test('a scorer that is stopped, replaced and goes on harms nothing', { timeout: 180_000 }, async () => {
    await using world = await makeServiceWorld({ customers: 300, terminals: 500, liveDays: 30, scorer: { maxBatch: 256, checkpointEveryMs: 100, partitions: 3 } })
    await expectStoppedScorerHarmless(world, { rate: 500, patienceMs: 30_000 })
  })
})
