import { randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openLake } from '../../datasets/open.ts'
import { endOf, expectNoTraceOf, UNDER_WAY } from './fault.contract.ts'
import { expectAsInPeace, random } from './kill.contract.ts'
import { ownServices, type OwnServices } from './own-services.ts'
import { startStream } from './stream.contract.ts'
import { makeWorld, type World } from './world.ts'

const { CI } = process.env
const inCi = CI !== undefined
/** Transactions a second where time matters and not their number: the stream must outlast outages on a slow machine. */
const SLOW = 150
// In CI there are as many transactions as in services-kill.test.ts, and outages are as long as promised. Elsewhere,
// where a minute is long, all is smaller and the tests that wait longest are left out.
const [customers, liveDays, rate, rounds, awaySeconds, least] = inCi
  ? [1900, 30, 1250, 2, 30, 100_000]
  : [150, 60, SLOW, 1, 2, 0]

/** The last words of a scorer whose server stays away for longer than 2 s. */
const AWAY = {
  kafka: new RegExp(
    String.raw`\n\S+ {2}Kafka at \S+ did not answer for 2 s \(.*ECONNREFUSED.*\)\. ` +
      String.raw`Nothing that was said to be written is lost\. Look at it with: fd services status kafka\n$`,
  ),
  redis: new RegExp(
    String.raw`\n\S+ {2}Redis at \S+ has been away for 2 s \(.*ECONNREFUSED.*\)\. ` +
      String.raw`Bring it back and run the command again; what was acknowledged is kept\. See: fd doctor\n$`,
  ),
}
/** The last words of a scorer whose Redis has no memory left. */
const OUT_OF_MEMORY = new RegExp(
  String.raw`\n\S+ {2}Redis at \S+ is out of memory; nothing was written\. Raise its limit ` +
    String.raw`\(redis-cli CONFIG SET maxmemory …\) or remove other data, then run the command again\..*\n$`,
)

const next = random(11)
/** Lets the stream run for a random time, so that a fault may hit any step of a commit or checkpoint. */
const awhile = (): Promise<void> => wait(300 + next() * 900)

const servers = await ownServices('redis', 'kafka', 's3', 'mlflow')
const lacking = (['redis', 'kafka'] as const)
  .map((name) => servers.get(name).missing())
  .find((missing) => missing !== undefined)
afterAll(() => servers[Symbol.asyncDispose]())

describe.runIf(lacking === undefined)('Kafka and Redis that fail while transactions stream', () => {
  let home: World
  beforeAll(async () => {
    await servers.start('redis', 'kafka')
    home = await makeWorld({
      customers,
      terminals: customers * 2,
      days: 50 + liveDays,
      liveDays,
      scorer: { maxBatch: 256, checkpointEveryMs: 100 },
      environment: places(servers, 'first'),
    })
  }, 180_000)
  afterAll(() => home[Symbol.asyncDispose]())

  /** The home with topics and keys for one test, on the same servers. */
  async function freshWorld(): Promise<World & { name: string }> {
    const name = randomUUID().slice(0, 8)
    const world = home.with(places(servers, name))
    await world.backfill()
    return { ...world, name }
  }

  test(
    `Redis killed with -9 and started from its append-only file, ${2 * rounds + 1} times, once with the scorer`,
    { timeout: 300_000 },
    async () => {
      const { transactions, said } = await expectNoTraceOf(
        await freshWorld(),
        { rate, whole: inCi },
        async (scorer) => {
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
        },
      )
      expect(said).toContain('Lost the connection to Redis')
      expect(transactions).toBeGreaterThan(least)
    },
  )

  test(`the broker killed with -9 and stopped in turn, ${rounds * 2 - 1} times`, { timeout: 300_000 }, async () => {
    const { transactions } = await expectNoTraceOf(await freshWorld(), { rate, whole: inCi }, async () => {
      for (let round = 0; round < rounds * 2 - 1; round++) {
        await (round % 2 === 0 ? servers.kill('kafka') : servers.stop('kafka'))
        await servers.start('kafka')
        await awhile()
      }
    })
    expect(transactions).toBeGreaterThan(least)
  })

  test(
    `Redis, then the broker, gone for ${awaySeconds} s: said on stderr, when it goes and when it is back`,
    { timeout: 300_000 },
    async () => {
      const { said } = await expectNoTraceOf(await freshWorld(), { rate: SLOW, whole: false }, async (scorer) => {
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
      expect(said).toMatch(
        /Lost the connection to Redis at \S+; waiting up to 60 s for it\.\n\S+ {2}Redis at \S+ is back\./,
      )
      expect(said).toMatch(
        /Kafka at \S+ does not answer \(.*\): waiting up to 60 s\.\n\S+ {2}Kafka at \S+ answers again\./,
      )
      expect(said.match(/Scoring with/g)).toHaveLength(1)
    },
  )

  test(
    'a broker and a Redis that stay away longer than the URL says: the scorer ends and says so, the next one goes on',
    { timeout: 180_000 },
    async () => {
      const world = await freshWorld()
      const stream = startStream(world, SLOW)
      for (const name of ['kafka', 'redis'] as const) {
        const impatient = world.with(
          places(servers, world.name, name === 'kafka' ? { patience: 2 } : { outageMs: 2000 }),
        )
        const scorer = impatient.start('score', '--group', 'harmed')
        await scorer.says(UNDER_WAY)
        await servers.stop(name)
        const { code, stderr } = await endOf(scorer)
        expect(code, stderr).toBe(2)
        expect(stderr).toMatch(AWAY[name])
        await servers.start(name)
      }
      await expectAsInPeace(world, 'harmed', await stream.end())
    },
  )

  test(
    'a Redis without memory: the scorer ends and says what to do; with memory again the next one goes on',
    { timeout: 180_000 },
    async () => {
      const world = await freshWorld()
      const stream = startStream(world, SLOW)
      const scorer = world.start('score', '--group', 'harmed')
      await scorer.says(UNDER_WAY)
      await redis('CONFIG', 'SET', 'maxmemory', '1mb')
      const { code, stderr } = await endOf(scorer)
      await redis('CONFIG', 'SET', 'maxmemory', '0')
      expect(code, stderr).toBe(2)
      expect(stderr).toMatch(OUT_OF_MEMORY)
      await expectAsInPeace(world, 'harmed', await stream.end())
    },
  )

  const wipes: [string, boolean, () => Promise<unknown>][] = [
    ['emptied while it runs', true, () => redis('FLUSHALL')],
    [
      'started without its file',
      inCi,
      async () => {
        await servers.kill('redis')
        rmSync(join(servers.folder('redis'), 'appendonlydir'), { recursive: true })
        await servers.start('redis')
      },
    ],
  ]
  test.each(wipes.filter(([, runs]) => runs))(
    'a Redis %s: no feature is computed from the void; once history is back, the log is folded again',
    { timeout: 180_000 },
    async (_name, _runs, wipe) => {
      const world = await freshWorld()
      const stream = startStream(world, SLOW)
      const scorer = world.start('score', '--group', 'harmed')
      await scorer.says(UNDER_WAY)
      await wipe()
      const { code, stderr } = await endOf(scorer)
      expect(code, stderr).toBe(2)
      expect(stderr).toContain('fd features backfill --online')
      await world.backfill()
      await expectAsInPeace(world, 'harmed', await stream.end())
    },
  )

  test.runIf(servers.get('s3').missing() === undefined)(
    'an S3 server killed with -9 while the archive writes: it goes on, and the lake has every record once',
    { timeout: 180_000 },
    async () => {
      await servers.start('s3')
      const { world, lakeOffsets } = await lakeWorld()
      const stream = startStream(world, SLOW)
      const archived = world.start('archive', '--records', '300', '--every', '1')
      await archived.says('archived')
      for (let round = 0; round < 2; round++) {
        await servers.kill('s3')
        await wait(1000 + next() * 2000)
        await servers.start('s3')
        await awhile()
      }
      await stream.end()
      archived.child.kill('SIGTERM')
      const { code, stderr } = await archived.ended
      expect(code, stderr).toBe(0)
      await world.fd('archive', '--until-idle')
      expect(await lakeOffsets()).toEqual(await logOffsets(world))
    },
  )

  test.runIf(inCi && servers.get('s3').missing() === undefined)(
    'an S3 server that stays away: the archive ends and says so, the next one goes on',
    { timeout: 180_000 },
    async () => {
      await servers.start('s3')
      const { world, lakeOffsets } = await lakeWorld()
      await world.fd('produce', '--dataset', 'simulated', '--data', world.file, '--from', world.cut, '--limit', '2000')
      await servers.stop('s3')
      const { code, stderr } = await world.try('archive', '--records', '300', '--until-idle')
      expect(code).toBe(2)
      expect(stderr).toMatch(/the store cannot be reached \(ECONNREFUSED\)\. Start it, or set AWS_ENDPOINT_URL/)
      await servers.start('s3')
      await world.fd('archive', '--records', '300', '--until-idle')
      expect(await lakeOffsets()).toEqual(await logOffsets(world))
    },
  )

  test.runIf(inCi && servers.get('mlflow').missing() === undefined)(
    'an MLflow killed with -9: the scorer keeps its champion, and takes the next one when it is back',
    { timeout: 600_000 },
    async () => {
      await servers.start('mlflow')
      const world = (await freshWorld()).with(servers.get('mlflow').environment)
      await promoted(world)
      const stream = startStream(world, SLOW)
      const scorer = world.start('score', '--group', 'harmed')
      await scorer.says(UNDER_WAY)
      await servers.kill('mlflow')
      await scorer.says('the old one goes on')
      await servers.start('mlflow')
      const version = await promoted(world)
      await scorer.says(`New champion: card-fraud version ${version}`)
      // The stream ends only once the new champion has decided something: else it may be told and never be used.
      const versions = async (): Promise<number[]> =>
        (await world.predictions('harmed')).map(({ model }) => model.version)
      await expect.poll(versions, { timeout: 120_000, interval: 1000 }).toContain(version)
      const transactions = await stream.end()
      scorer.child.kill('SIGTERM')
      const { code, stderr } = await scorer.ended
      expect(code, stderr).toBe(0)
      await world.fd('score', '--group', 'harmed', '--until-idle')
      const parity: unknown = JSON.parse(await world.fd('features', 'verify', '--group', 'harmed', '--json'))
      expect(parity).toMatchObject({ transactions, differences: 0, duplicates: 0, missing: 0 })
      expect(new Set(await versions()).size).toBe(2)
    },
  )

  /** Trains a model and makes it the champion. */
  async function promoted(world: World): Promise<number> {
    const history = ['--dataset', 'simulated', '--data', world.file, '--until', world.cut]
    const trained = await world.fd('train', ...history, '--param', 'rounds=20', '--register', 'card-fraud', '--json')
    const { version } = JSON.parse(trained) as { version: number }
    await world.fd('models', 'promote', 'card-fraud', String(version), '--force', '--reason', 'a champion of this test')
    return version
  }

  async function logOffsets(world: World): Promise<number[]> {
    const lines = (await world.fd('topics', 'read', 'transactions')).split('\n').filter((line) => line !== '')
    return lines.map((line) => (JSON.parse(line) as { offset: number }).offset)
  }

  /** A world with its own part of the bucket, and a function that reads the offsets of the transactions there. */
  async function lakeWorld(): Promise<{ world: World; lakeOffsets: () => Promise<number[]> }> {
    const fresh = await freshWorld()
    const { environment } = servers.get('s3')
    const url = environment['FD_LAKE'].replace('?', `/${fresh.name}?`)
    const lakeOffsets = async (): Promise<number[]> => {
      await using lake = await openLake(url, {
        accessKeyId: environment['AWS_ACCESS_KEY_ID'],
        secretAccessKey: environment['AWS_SECRET_ACCESS_KEY'],
      })
      const offsets: number[] = []
      for await (const batch of lake.read('transactions')) offsets.push(...batch.offsets.subarray(0, batch.size))
      return offsets
    }
    return { world: fresh.with({ ...environment, FD_LAKE: url }), lakeOffsets }
  }

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

/** Variables that point a world to the servers, under a name of its own. */
function places(
  own: OwnServices,
  name: string,
  { patience = 60, outageMs = 60_000 }: { patience?: number; outageMs?: number } = {},
): Record<string, string> {
  return {
    FD_EVENT_LOG: `${own.get('kafka').url}?prefix=${name}.&session=6&patience=${patience}`,
    FD_ONLINE_STORE: `${own.get('redis').url}?prefix=${name}&outageMs=${outageMs}`,
  }
}
