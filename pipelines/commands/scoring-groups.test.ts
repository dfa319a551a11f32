import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openEventLog } from '../../datasets/open.ts'
import { latencyOf } from '../../serving/metrics/latency.ts'
import { groupOf, groupTopics } from '../../serving/topics.ts'
import { makeWorld, type World } from '../testing/world.ts'
import { scoreTotals, type ScoreTotals } from './score.ts'

test('only the configured group, with the champion, writes the live topics of alerts and dead letters', () => {
  const live = { alerts: 'fraud_alerts', deadLetters: 'transactions.dlq' }
  const shadow = { alerts: 'fraud_alerts.shadow', deadLetters: 'transactions.dlq.shadow' }
  expect(groupTopics({ group: 'scorer', alias: 'champion' }, 'scorer')).toEqual(live)
  expect(groupTopics({ group: 'shadow', alias: 'challenger' }, 'scorer')).toEqual(shadow)
  // The same decisions a second time, and other decisions under the champion's name, are not the live ones either.
  expect(groupTopics({ group: 'shadow', alias: 'champion' }, 'scorer')).toEqual(shadow)
  expect(groupTopics({ group: 'scorer', alias: 'challenger' }, 'scorer').alerts).toBe('fraud_alerts.scorer')
  expect(groupOf({ alias: 'champion' }, 'scorer')).toBe('scorer')
  expect(groupOf({ alias: 'challenger' }, 'scorer')).toBe('challenger')
  expect(groupOf({ alias: 'challenger', group: 'shadow' }, 'scorer')).toBe('shadow')
})

const LABELS = { labels: 0, early: 0, matched: 0, unmatched: 0 }
const BATCH = { ...LABELS, alerts: 0, rejected: 0, rejections: {}, late: 0, truncated: 0, replayed: 0 }

test('what waited before the scorer began is told apart; time without anything to score is not counted', async () => {
  const totals = await scoreTotals(10_000)
  totals.add({ ...BATCH, scored: 3, timestamps: Float64Array.of(4_000, 5_000, 0), done: 10_100 + latencyOf(0, 0) })
  expect(totals.value()).toMatchObject({ seconds: 0.1, undated: 0, backlog: { scored: 3 } })
  totals.add({ ...BATCH, scored: 1, timestamps: Float64Array.of(70_000), done: 70_050 })
  expect(totals.value()).toMatchObject({ scored: 4, seconds: 0.15, backlog: { scored: 3 } })
  expect(Math.abs(totals.value().p99Ms / 50 - 1)).toBeLessThan(0.03)
  expect(Math.abs(totals.value().backlog.p99Ms / 10_100 - 1)).toBeLessThan(0.03)
  totals.add({ ...BATCH, scored: 1, timestamps: Float64Array.of(1e15), done: 70_060 })
  expect(totals.value().undated).toBe(1)
})

let world: World
beforeAll(async () => {
  world = await makeWorld({ customers: 60, terminals: 120, days: 70, liveDays: 20, scorer: { partitions: 2 } })
})
afterAll(() => world[Symbol.asyncDispose]())

const score = async (...args: string[]): Promise<ScoreTotals> =>
  JSON.parse(await world.fd('score', '--until-idle', '--json', ...args)) as ScoreTotals

test('a challenger writes into topics of its group; the model is the only one; the next command is told', async () => {
  const early = world.start('topics', 'read', 'fraud_alerts.challenger', '--follow', '--limit', '1')
  await early.says('There is no topic "fraud_alerts.challenger" yet: waiting for it')
  await world.fd('produce', '--dataset', 'simulated', '--data', world.file, '--from', world.cut)
  {
    await using log = await openEventLog(`lmdb:${join(world.home, 'log')}`)
    await log.append('transactions', [{ value: 'not json', timestamp: 0, partition: 1 }])
  }
  await world.fd('models', 'promote', '1', '--alias', 'challenger', '--force', '--reason', 'a test')
  const champion = await score()
  const challenger = await score('--alias', 'challenger')
  expect(champion.alerts).toBeGreaterThan(0)
  expect(challenger.scored).toBe(champion.scored)
  const topics = JSON.parse(await world.fd('topics', 'list', '--json')) as {
    name: string
    offsets: { end: number }[]
  }[]
  const size = (name: string): number | undefined => topics.find((topic) => topic.name === name)?.offsets[0].end
  expect(size('fraud_alerts')).toBe(champion.alerts)
  expect(size('fraud_alerts.challenger')).toBe(challenger.alerts)
  expect([champion.rejected, challenger.rejected]).toEqual([1, 1])
  expect([size('transactions.dlq'), size('transactions.dlq.challenger')]).toEqual([1, 1])
  const { code, stdout } = await early.ended
  expect(code).toBe(0)
  expect((JSON.parse(stdout) as { offset: number }).offset).toBe(0)
  const verified = await world.fd('features', 'verify', '--alias', 'challenger')
  expect(verified).toMatch(/differences +0\n[^]*\nNext: fd archive --until-idle --config \S+\n$/)
  const again = await world.fd('score', '--until-idle', '--group', 'late')
  expect(again).toMatch(/scored from the backlog[^]*its waiting time p99, s/)
  expect(again).not.toContain('latency')
  expect(again).toMatch(/\nNext: fd features verify --model card-fraud --group late --config \S+\n$/)
  expect(await world.fd('models', 'describe')).toMatch(
    /until +2018-05-2\d[^]*Next: fd score --model card-fraud --config/,
  )
})
