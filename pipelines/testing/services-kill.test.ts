import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { expectHostileHarmless } from './hostile.contract.ts'
import { expectNothingLostOrDoubled, expectStoppedScorerHarmless, expectTakeover } from './kill.contract.ts'
import { ownFeatures } from './own-features.ts'
import { makeWorld, type World } from './world.ts'

const { FD_TEST_KAFKA_URL: kafka, FD_TEST_REDIS_URL: redis, FD_TEST_MLFLOW_URL: mlflow, CI } = process.env
const inCi = CI !== undefined

interface Run {
  kills: number
  customers: number
  rate: number
  least: number
}

// In CI twenty kills while 100,000 transactions stream. Elsewhere, where a minute is long, only a few.
const ONE: Run = { kills: 20, customers: 1900, rate: 2500, least: 100_000 }
const THREE: Run = inCi
  ? { kills: 6, customers: 400, rate: 800, least: 20_000 }
  : { kills: 4, customers: 200, rate: 1200, least: 10_000 }

const SCORER = { maxBatch: 256, checkpointEveryMs: 100 }

/** A URL with one more parameter. */
function withParameter(url: string, name: string, value: string): string {
  return `${url}${url.includes('?') ? '&' : '?'}${name}=${value}`
}

/** Places on the servers that all tests share, under names for one test alone. */
function freshPlaces(): Record<'FD_EVENT_LOG' | 'FD_ONLINE_STORE', string> {
  const id = `fd-test-${randomUUID().slice(0, 8)}`
  return {
    FD_EVENT_LOG: withParameter(withParameter(kafka ?? '', 'prefix', `${id}.`), 'session', '6'),
    FD_ONLINE_STORE: withParameter(redis ?? '', 'prefix', id),
    ...(mlflow === undefined ? {} : { MLFLOW_TRACKING_URI: mlflow }),
  }
}

/** A world with 30 days of live transactions. */
function makeServiceWorld(customers: number): Promise<World> {
  return makeWorld({
    customers,
    terminals: customers * 2,
    days: 80,
    liveDays: 30,
    scorer: SCORER,
    environment: freshPlaces(),
  })
}

describe.runIf(kafka !== undefined && redis !== undefined)('on Kafka and Redis', () => {
  let home: World
  beforeAll(async () => {
    home = await makeServiceWorld(THREE.customers)
  }, 180_000)
  afterAll(() => home[Symbol.asyncDispose]())

  /** The home with topics and keys for one test. */
  async function freshWorld(partitions: number): Promise<World> {
    const world = home.with(freshPlaces(), { ...SCORER, partitions })
    await world.backfill()
    return world
  }

  // At a desk the next test and kill.test.ts stand for it.
  test.runIf(inCi)(
    `kill -9 at ${ONE.kills} random moments of a stream: each prediction once among the committed, ` +
      "equal to an uninterrupted run's",
    { timeout: 900_000 },
    async () => {
      await using large = await makeServiceWorld(ONE.customers)
      const { transactions } = await expectNothingLostOrDoubled(large, { ...ONE, longestLifeMs: 2500 })
      expect(transactions).toBeGreaterThan(ONE.least)
    },
  )

  test(
    'the same with three partitions, in which terminals have a stage of their own',
    { timeout: 900_000 },
    async () => {
      const { transactions } = await expectNothingLostOrDoubled(await freshWorld(3), { ...THREE, longestLifeMs: 4000 })
      expect(transactions).toBeGreaterThan(THREE.least)
    },
  )

  test.runIf(inCi)("the same with features of one's own", { timeout: 900_000 }, async () => {
    const project = await mkdtemp(join(tmpdir(), 'fd-project-'))
    const { environment, service } = ownFeatures(project)
    await using world = await makeWorld({
      customers: 200,
      terminals: 100,
      days: 60,
      liveDays: 12,
      scorer: { ...SCORER, partitions: 3 },
      environment: { ...freshPlaces(), ...environment },
      service,
    })
    const { transactions } = await expectNothingLostOrDoubled(world, { kills: 6, rate: 200, longestLifeMs: 4000 })
    expect(transactions).toBeGreaterThan(2000)
    await rm(project, { recursive: true })
  })

  test.each(inCi ? [1, 3] : [3])(
    'two scorers of a group over %i partitions: the second takes over when the first is killed',
    { timeout: 180_000 },
    async (partitions) => {
      await expectTakeover(await freshWorld(partitions), 200)
    },
  )

  test('malformed and hostile records stop nothing and change nothing', { timeout: 180_000 }, async () => {
    const quiet = await freshWorld(1)
    const live = ['--dataset', 'simulated', '--data', quiet.file, '--from', quiet.cut]
    await quiet.fd('produce', ...live, '--limit', '1500')
    const places = freshPlaces()
    await expectHostileHarmless(
      quiet,
      quiet.with({ FD_EVENT_LOG: places.FD_EVENT_LOG }),
      places.FD_EVENT_LOG,
      inCi ? 10_000 : 2_000,
    )
  })

  test('a scorer that is stopped, replaced and goes on harms nothing', { timeout: 180_000 }, async () => {
    await expectStoppedScorerHarmless(await freshWorld(3), { rate: 150, patienceMs: 30_000 })
  })
})
