import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { redisServerOnPath, startRedis, type RedisProcess } from '../../configs/testing/redis-process.ts'
import { runFd, type FdProcess } from '../console/fd-process.ts'
import { makeWorld, type World } from '../testing/world.ts'

/** The address at which a scorer says that it serves its metrics. */
async function addressOf(scorer: FdProcess): Promise<string> {
  let said = ''
  scorer.child.stderr?.on('data', (text: string) => (said += text))
  await expect.poll(() => /Metrics: (\S+)\/metrics/.exec(said)?.[1], { timeout: 20_000 }).toBeDefined()
  return /Metrics: (\S+)\/metrics/.exec(said)?.[1] ?? ''
}

/** The value of one series; NaN when there is no such series. */
async function sample(url: string, series: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text()
  return Number(
    text
      .split('\n')
      .find((line) => line.startsWith(`${series} `))
      ?.slice(series.length + 1) ?? Number.NaN,
  )
}

const health = async (url: string): Promise<{ status: number; body: unknown }> => {
  const answer = await fetch(`${url}/healthz`)
  return { status: answer.status, body: await answer.json() }
}

describe.runIf(redisServerOnPath)('a scorer on Redis, watched', () => {
  let redis: RedisProcess
  let world: World
  beforeAll(async () => {
    redis = await startRedis(['--appendonly', 'yes', '--appendfsync', 'always'])
    world = await makeWorld({
      customers: 100,
      terminals: 200,
      days: 80,
      liveDays: 30,
      environment: { FD_ONLINE_STORE: redis.url() },
      scorer: { checkpointEveryMs: 100 },
    })
  })
  afterAll(async () => {
    await world[Symbol.asyncDispose]()
    await redis[Symbol.asyncDispose]()
  })

  test(
    'what it scores, owns and waits for is told while it happens, on 127.0.0.1; ' +
      'its own count at the end is the same',
    async () => {
      const scorer = world.start('score', '--metrics', '0', '--json')
      const url = await addressOf(scorer)
      expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
      await scorer.says('Scoring with')
      expect(await health(url)).toEqual({ status: 200, body: { state: 'scoring', lost: [] } })
      const produced = world.start(
        'produce',
        '--json',
        '--dataset',
        'simulated',
        '--data',
        world.file,
        '--from',
        world.cut,
        '--rate',
        '500',
      )
      await expect.poll(() => sample(url, 'fd_transactions_scored_total'), { timeout: 20_000 }).toBeGreaterThan(100)
      await expect.poll(() => sample(url, 'fd_checkpoint_seconds_count'), { timeout: 20_000 }).toBeGreaterThan(0)
      await expect
        .poll(() => sample(url, 'fd_consumer_lag_records{partition="0"}'), { timeout: 20_000 })
        .toBeGreaterThanOrEqual(0)
      expect(await sample(url, 'fd_partitions_owned')).toBe(1)
      expect(await sample(url, 'fd_champion_info{model="card-fraud",version="1"}')).toBe(1)
      expect(await sample(url, 'process_resident_memory_bytes')).toBeGreaterThan(0)

      await redis.kill()
      await expect.poll(() => sample(url, 'fd_service_up{service="online_store"}'), { timeout: 20_000 }).toBe(0)
      expect(await health(url)).toEqual({ status: 503, body: { state: 'scoring', lost: ['online_store'] } })
      await redis.start()
      await expect.poll(() => sample(url, 'fd_service_up{service="online_store"}'), { timeout: 20_000 }).toBe(1)
      expect(await sample(url, 'fd_outages_total{service="online_store"}')).toBe(1)
      expect(await sample(url, 'fd_outage_seconds_total{service="online_store"}')).toBeGreaterThan(0)

      const { transactions } = JSON.parse((await produced.ended).stdout) as { transactions: number }
      await expect.poll(() => sample(url, 'fd_transactions_scored_total'), { timeout: 30_000 }).toBe(transactions)
      const observed = await sample(url, 'fd_prediction_latency_seconds_count')
      scorer.child.kill('SIGTERM')
      const { code, stdout, stderr } = await scorer.ended
      expect({ code, observed, scored: (JSON.parse(stdout) as { scored: number }).scored }).toEqual({
        code: 0,
        observed: transactions,
        scored: transactions,
      })
      expect(stderr).toMatch(/Lost the connection to Redis[^]*Redis at \S+ is back\./)
    },
  )
})

test('a port that is none is refused, from the command line and from the environment', async () => {
  const home = await mkdtemp(join(tmpdir(), 'fd-metrics-'))
  for (const port of ['many', '99999']) {
    const wrong = await runFd(home, ['score', '--metrics', port])
    expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining('Expected a port, 0 to 65535.')])
  }
  const large = await runFd(home, ['score'], { FD_METRICS_PORT: '70000' })
  expect([large.code, large.stderr]).toEqual([2, expect.stringMatching(/metrics\.port/)])
  await rm(home, { recursive: true })
})
