import { randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { expectNoTraceOf, startStream, UNDER_WAY } from './fault.contract.ts'
import { expectAsInPeace, random } from './kill.contract.ts'
import { ownServices, type OwnServices } from './own-services.ts'
import { makeWorld, type World } from './world.ts'

const { CI } = process.env
// In CI as many transactions as in services-kill.test.ts, and outages as long as the promise; at a desk, where a minute is long, less.
const [customers, rate, rounds, awaySeconds] = CI === undefined ? [300, 400, 1, 3] : [1900, 2000, 3, 30]
const whole = CI !== undefined
const least = whole ? 100_000 : 0

const next = random(11)
/** Some time in the stream's life, so that a fault meets any step of a commit or checkpoint. */
const awhile = (): Promise<void> => wait(300 + next() * 900)

const servers = await ownServices('redis', 'kafka')
const lacking = (['redis', 'kafka'] as const).map((name) => servers.get(name).missing()).find((missing) => missing !== undefined)
afterAll(() => servers[Symbol.asyncDispose]())

describe.runIf(lacking === undefined)('Kafka and Redis that fail while transactions stream', () => {
  let home: World
  beforeAll(async () => {
    await servers.start()
    home = await makeWorld({ customers, terminals: customers * 2, days: 80, liveDays: 30, scorer: { maxBatch: 256, checkpointEveryMs: 100 }, environment: places(servers, 'first') })
  }, 180_000)
  afterAll(() => home[Symbol.asyncDispose]())

  /** The home with topics and keys of a test's own on the same servers. */
  async function freshWorld(): Promise<World & { name: string }> {
    const name = randomUUID().slice(0, 8)
    const world = home.with(places(servers, name))
    await world.backfill()
    return { ...world, name }
  }

  test(`Redis killed with -9 and started from its append-only file, ${2 * rounds + 1} times, once with the scorer`, { timeout: 300_000 }, async () => {
    const { transactions, said } = await expectNoTraceOf(await freshWorld(), { rate, whole }, async (scorer) => {
      for (let round = 1; round <= 2 * rounds; round++) {
        await servers.kill('redis')
        await awhile()
        await servers.start('redis')
        await scorer.says('is back', round)
        await awhile()
      }
      await servers.kill('redis')
      scorer.kill()
      await servers.start('redis')
      await scorer.says('Scoring with', 2)
      await awhile()
    })
    expect(said).toContain('Lost the connection to Redis')
    expect(transactions).toBeGreaterThan(least)
  })

  test(`the broker stopped ${rounds} times and killed with -9 ${rounds} times`, { timeout: 300_000 }, async () => {
    const { transactions } = await expectNoTraceOf(await freshWorld(), { rate, whole }, async () => {
      for (let round = 1; round <= rounds; round++) {
        await servers.stop('kafka')
        await servers.start('kafka')
        await awhile()
        await servers.kill('kafka')
        await servers.start('kafka')
        await awhile()
      }
    })
    expect(transactions).toBeGreaterThan(least)
  })

  test(`Redis, then the broker, gone for ${awaySeconds} s: said on stderr, when it goes and when it is back`, { timeout: 300_000 }, async () => {
    const { said } = await expectNoTraceOf(await freshWorld(), { rate: rate / 2, whole: false }, async (scorer) => {
      await servers.stop('redis')
      await scorer.says('Lost the connection to Redis')
      await wait(awaySeconds * 1000)
      await servers.start('redis')
      await scorer.says('is back.')
      await servers.stop('kafka')
      await scorer.says('does not answer')
      await wait(awaySeconds * 1000)
      await servers.start('kafka')
      await scorer.says('answers again.')
      await awhile()
    })
    expect(said).toMatch(/Lost the connection to Redis at \S+; waiting up to 60 s for it\.\nRedis at \S+ is back\./)
    expect(said).toMatch(/Kafka at \S+ does not answer \(.*\): waiting up to 60 s\.\nKafka at \S+ answers again\./)
    expect(said.match(/Scoring with/g)).toHaveLength(1)
  })

  test('a broker and a Redis that stay away longer than the URL says: the scorer ends and says so, the next one goes on', { timeout: 180_000 }, async () => {
    const world = await freshWorld()
    const stream = startStream(world, rate)
    for (const name of ['kafka', 'redis'] as const) {
      const impatient = world.with(places(servers, world.name, name === 'kafka' ? { patience: 2 } : { outageMs: 2000 }))
      const scorer = impatient.start('score', '--group', 'harmed')
      await scorer.says(UNDER_WAY)
      await servers.stop(name)
      const { code, stderr } = await scorer.ended
      expect(code).toBe(2)
      expect(stderr).toMatch(
        name === 'kafka'
          ? /\nKafka at \S+ did not answer for 2 s \(.*ECONNREFUSED.*\)\. Nothing that was said to be written is lost\. Look at it with: fd services status kafka\n$/
          : /\nRedis at \S+ has been away for 2 s \(.*ECONNREFUSED.*\)\. Bring it back and run the command again; what was acknowledged is kept\. See: fd doctor\n$/,
      )
      await servers.start(name)
    }
    await expectAsInPeace(world, 'harmed', await stream.end())
  })

  test('a Redis without memory: the scorer ends and says what to do; with memory again the next one goes on', { timeout: 180_000 }, async () => {
    const world = await freshWorld()
    const stream = startStream(world, rate)
    const scorer = world.start('score', '--group', 'harmed')
    await scorer.says(UNDER_WAY)
    await redis('CONFIG', 'SET', 'maxmemory', '1mb')
    const { code, stderr } = await scorer.ended
    await redis('CONFIG', 'SET', 'maxmemory', '0')
    expect(code).toBe(2)
    expect(stderr).toMatch(/\nRedis at \S+ is out of memory; nothing was written\. Raise its limit \(redis-cli CONFIG SET maxmemory …\) or remove other data, then run the command again\..*\n$/)
    await expectAsInPeace(world, 'harmed', await stream.end())
  })

  test.each([
    ['emptied while it runs', () => redis('FLUSHALL')],
    ['started without its file', async () => {
      await servers.kill('redis')
      rmSync(join(servers.folder('redis'), 'appendonlydir'), { recursive: true })
      await servers.start('redis')
    }],
  ])('a Redis %s: no feature is computed from the void; once history is back, the log is folded again', { timeout: 180_000 }, async (_, wipe) => {
    const world = await freshWorld()
    const stream = startStream(world, rate)
    const scorer = world.start('score', '--group', 'harmed')
    await scorer.says(UNDER_WAY)
    await wipe()
    const { code, stderr } = await scorer.ended
    expect(code).toBe(2)
    expect(stderr).toContain('fd features backfill --online')
    await world.backfill()
    await expectAsInPeace(world, 'harmed', await stream.end())
  })

  /** One command to Redis, as an administrator would give it. */
  async function redis(...words: string[]): Promise<unknown> {
    const client = new Redis(servers.get('redis').url)
    try {
      return await client.call(words[0], ...words.slice(1))
    } finally {
      client.disconnect()
    }
  }
})

/** Variables that lead a world to the servers, under names that no other has there. */
function places(own: OwnServices, name: string, { patience = 60, outageMs = 60_000 }: { patience?: number; outageMs?: number } = {}): Record<string, string> {
  return {
    FD_EVENT_LOG: `${own.get('kafka').url}?prefix=${name}.&session=6&patience=${patience}`,
    FD_ONLINE_STORE: `${own.get('redis').url}?prefix=${name}&outageMs=${outageMs}`,
  }
}
