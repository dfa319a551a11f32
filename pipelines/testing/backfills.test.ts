import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { openEventLog } from '../../datasets/open.ts'
import { randomStream } from '../../datasets/random/random.ts'
import type { Prediction } from '../../serving/prediction.ts'
import { PREDICTIONS } from '../../serving/topics.ts'
import type { Ended } from '../console/fd-process.ts'
import { makeWorld, type World } from './world.ts'

const DAY = 86_400_000
const KILLS = process.env['CI'] === undefined ? 3 : 12

/**
 * Backfills that meet a running scorer, a kill or each other. Whatever becomes of them, the transactions of the stream
 * are served once, with the features of the one history that ends where the stream begins.
 *
 * @param freshStore the URL of an empty online store; a folder of the given home may hold it.
 */
function backfillsInto(store: string, freshStore: (home: string) => string): void {
  describe(`backfills into ${store}`, () => {
    // Each test starts many processes, one after the other.
    vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 })
    let world: World
    /** What is served after one backfill, by a scorer that is not disturbed. */
    let exact: unknown[]

    beforeAll(async () => {
      world = await makeWorld({ customers: 60, terminals: 100, days: 60, liveDays: 8 })
      await produce(world, '--from', world.cut)
      await world.fd('score', '--group', 'exact', '--until-idle')
      exact = served(await world.predictions('exact'))
      expect(exact.length).toBeGreaterThan(300)
    })
    afterAll(() => world[Symbol.asyncDispose]())

    const fresh = (): World => world.with({ FD_ONLINE_STORE: freshStore(world.home) })

    test('while a scorer runs: it stays on its base, and the next scorer begins on the new one', async () => {
      const log = `lmdb:${world.home}/${randomUUID()}`
      const live = fresh().with({ FD_EVENT_LOG: log })
      const middle = new Date(Date.parse(world.cut) + 4 * DAY).toISOString()
      await live.backfill()
      const scorer = live.start('score')
      await scorer.says('Scoring with')
      const half = await produce(live, '--from', live.cut, '--until', middle)
      await predictionsReach(log, half)
      await backfill(live, '--until', middle)
      await produce(live, '--from', middle)
      await predictionsReach(log, exact.length)
      scorer.child.kill('SIGTERM')
      const { code, stderr } = await scorer.ended
      expect(code, stderr).toBe(0)
      await live.fd('score', '--until-idle')
      const predictions = await live.predictions()
      expect(served(predictions)).toEqual(exact)
      expect(new Set(predictions.map(({ base }) => base))).toEqual(new Set([1]))
      await produce(live, '--from', live.cut)
      await live.fd('score', '--until-idle')
      expect((await live.predictions()).length).toBe(exact.length)
      expect(JSON.parse(await live.fd('features', 'verify', '--json'))).toMatchObject({
        transactions: exact.length,
        differences: 0,
        duplicates: 0,
        missing: 0,
        repeats: exact.length,
        lacking: [],
      })
    })

    test(`${KILLS} killed with −9 at random moments leave nothing in the one that follows`, async () => {
      const killed = fresh()
      const started = performance.now()
      await killed.backfill()
      const took = performance.now() - started
      const random = randomStream(1)
      for (let kill = 0; kill < KILLS; kill++) {
        // What it folds goes on to the end of the file: any of it would be seen in what is served.
        const load = killed.start(...backfillOf(killed))
        await wait(random.uniform() * took)
        load.child.kill('SIGKILL')
        await load.ended
      }
      await killed.backfill()
      await killed.fd('score', '--group', 'killed', '--until-idle')
      expect(served(await killed.predictions('killed'))).toEqual(exact)
    })

    test('two at once: one of them is the newest, and whole', async () => {
      const both = fresh()
      const ends = await Promise.all([
        both.try(...backfillOf(both)),
        both.try(...backfillOf(both), '--until', both.cut),
      ])
      for (const { code, stderr } of ends) expect(code, stderr).toBe(0)
      const score = (): Promise<Ended> => both.try('score', '--group', 'both', '--until-idle')
      const first = await score()
      // On the base of the whole file nothing of the stream may be decided.
      expect(first.code === 0 || /it knows what came after them/.test(first.stderr), first.stderr).toBe(true)
      if (first.code !== 0) await both.backfill()
      await score()
      expect(served(await both.predictions('both'))).toEqual(exact)
    })
  })
}

async function produce({ fd, file }: World, ...range: string[]): Promise<number> {
  const sent = await fd('produce', '--dataset', 'simulated', '--data', file, ...range, '--json')
  return (JSON.parse(sent) as { transactions: number }).transactions
}

function backfillOf({ file }: World): string[] {
  return ['features', 'backfill', '--dataset', 'simulated', '--data', file, '--online']
}

async function backfill(world: World, ...until: string[]): Promise<void> {
  await world.fd(...backfillOf(world), ...until)
}

/** What was decided of each transaction, in log order. */
function served(predictions: Prediction[]): unknown[] {
  return predictions.map(({ transaction_id: id, features, score, decision }) => ({ id, features, score, decision }))
}

/** Resolves when so many predictions are in an embedded log. */
async function predictionsReach(url: string, count: number): Promise<void> {
  await using log = await openEventLog(url)
  const stop = new AbortController()
  let seen = 0
  for await (const { size } of log.read(PREDICTIONS, 0, { follow: true, signal: stop.signal })) {
    seen += size
    if (seen >= count) stop.abort()
  }
}

backfillsInto('lmdb:', (home) => `lmdb:${join(home, randomUUID())}`)

const { FD_TEST_REDIS_URL: redis } = process.env
describe.runIf(redis !== undefined)('on the Redis of FD_TEST_REDIS_URL', () => {
  backfillsInto('redis:', () => {
    const url = new URL(redis ?? '')
    url.searchParams.set('prefix', `fd-test-${randomUUID()}`)
    return url.href
  })
})
