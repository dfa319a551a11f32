import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { PROJECT_ROOT } from '../../configs/config.ts'
import { UserError } from '../../configs/user-error.ts'
import { openEventLog } from '../../datasets/open.ts'
import type { Champion } from '../model/champion.ts'
import type { ScoredBatch } from '../scorer/batch.ts'
import { watchLag } from './lag.ts'
import { SCORER_METRICS, scorerMetrics, type Lag } from './metrics.ts'
import { serveMetrics } from './server.ts'

const champion = (version: number): Champion => ({ name: 'card-fraud', version }) as Champion

const batch = (change: Partial<ScoredBatch>): ScoredBatch => ({
  scored: 0,
  alerts: 0,
  rejected: 0,
  rejections: {},
  labels: 0,
  late: 0,
  truncated: 0,
  early: 0,
  matched: 0,
  unmatched: 0,
  replayed: 0,
  timestamps: new Float64Array(0),
  done: 0,
  ...change,
})

/** The samples of a scrape, by `name{labels}`. */
async function samples(metrics: { text(): Promise<string> }): Promise<Record<string, number>> {
  const lines = (await metrics.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return Object.fromEntries(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]),
  )
}

test('batches add up; latency is in seconds; the kinds of rejections stand apart', async () => {
  const metrics = scorerMetrics(() => 0)
  metrics.onBatch(
    batch({
      scored: 3,
      alerts: 1,
      late: 1,
      labels: 2,
      replayed: 4,
      done: 1000,
      timestamps: Float64Array.of(999, 990, 400),
    }),
  )
  metrics.onBatch(
    batch({
      scored: 1,
      rejected: 3,
      rejections: { not_json: 1, missing_field: 2 },
      done: 500,
      timestamps: Float64Array.of(499.5),
    }),
  )
  expect(await samples(metrics)).toMatchObject({
    fd_transactions_scored_total: 4,
    fd_alerts_total: 1,
    fd_transactions_late_total: 1,
    fd_labels_total: 2,
    fd_records_replayed_total: 4,
    fd_batches_total: 2,
    'fd_records_rejected_total{kind="not_json"}': 1,
    'fd_records_rejected_total{kind="missing_field"}': 2,
    'fd_records_rejected_total{kind="wrong_value"}': 0,
    'fd_records_rejected_total{kind="newer_schema"}': 0,
    fd_prediction_latency_seconds_count: 4,
    'fd_prediction_latency_seconds_bucket{le="0.001"}': 2,
    'fd_prediction_latency_seconds_bucket{le="0.01"}': 3,
    'fd_prediction_latency_seconds_bucket{le="1"}': 4,
  })
  expect((await samples(metrics)).fd_prediction_latency_seconds_sum).toBeCloseTo(0.001 + 0.01 + 0.6 + 0.0005)
})

test('of the champion one series stands at a time; swaps and refusals are counted', async () => {
  const metrics = scorerMetrics(() => 0)
  metrics.onStart(champion(1))
  metrics.onSwap(champion(2))
  metrics.onRefused()
  const found = await samples(metrics)
  expect(Object.keys(found).filter((name) => name.startsWith('fd_champion_info'))).toEqual([
    'fd_champion_info{model="card-fraud",version="2"}',
  ])
  expect(found).toMatchObject({ fd_champion_swaps_total: 1, fd_champion_refusals_total: 1 })
})

test('an outage is counted once, its seconds while it lasts and no further; other news is none', async () => {
  let now = 10_000
  const metrics = scorerMetrics(() => now)
  const hear = metrics.hear('event_log')
  hear('Group "g" has committed offset 7 of a topic that ends at 3')
  hear('lost', 'lost')
  hear('still lost', 'lost')
  now += 2500
  expect(await samples(metrics)).toMatchObject({
    'fd_outages_total{service="event_log"}': 1,
    'fd_outage_seconds_total{service="event_log"}': 2.5,
    'fd_service_up{service="event_log"}': 0,
    'fd_service_up{service="online_store"}': 1,
  })
  expect(metrics.lost()).toEqual(['event_log'])
  now += 500
  hear('back', 'back')
  now += 60_000
  expect(await samples(metrics)).toMatchObject({
    'fd_outages_total{service="event_log"}': 1,
    'fd_outage_seconds_total{service="event_log"}': 3,
    'fd_service_up{service="event_log"}': 1,
  })
  expect(metrics.lost()).toEqual([])
})

test('lag is of the partitions of this process; those that went to another are no longer told', async () => {
  const metrics = scorerMetrics(() => 0)
  metrics.onLag(
    new Map([
      [0, 5],
      [1, 0],
    ]),
  )
  metrics.onLag(new Map([[1, 7]]))
  const found = await samples(metrics)
  expect(Object.entries(found).filter(([name]) => name.startsWith('fd_consumer_lag'))).toEqual([
    ['fd_consumer_lag_records{partition="1"}', 7],
  ])
  expect(found.fd_partitions_owned).toBe(1)
})

test('lag is the end of the log less the position, by partition; unknown while the log cannot be asked', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'fd-lag-'))
  {
    await using log = await openEventLog(`lmdb:${folder}`)
    await log.createTopic('t', { partitions: 2 })
    await log.append(
      't',
      [0, 0, 0, 1].map((partition) => ({ value: 'x', timestamp: 0, partition })),
    )
    const seen: Lag[] = []
    const watch = (topic: string): Disposable =>
      watchLag(log, {
        topic,
        everyMs: 5,
        positions: () =>
          new Map([
            [0, 1],
            [1, 1],
          ]),
        report: (lag) => seen.push(lag),
      })
    {
      using _ = watch('t')
      await expect.poll(() => seen.length).toBeGreaterThan(1)
    }
    expect(seen.at(-1)).toEqual(
      new Map([
        [0, 2],
        [1, 0],
      ]),
    )
    using _ = watch('no-such-topic')
    await expect
      .poll(() => seen.at(-1))
      .toEqual(
        new Map([
          [0, Number.NaN],
          [1, Number.NaN],
        ]),
      )
  }
  await rm(folder, { recursive: true })
})

test('names are as Prometheus wants them', () => {
  for (const { name, type, help } of Object.values(SCORER_METRICS)) {
    expect(name).toMatch(/^fd_[a-z]+(_[a-z]+)*$/)
    expect(name.endsWith('_total'), name).toBe(type === 'counter')
    expect(/_(ms|milliseconds|minutes|percent)/.test(name), name).toBe(false)
    expect(type !== 'histogram' || name.endsWith('_seconds'), name).toBe(true)
    expect(help).toMatch(/\.$/)
  }
})

const dashboard = z.object({
  panels: z.array(
    z.object({
      title: z.string(),
      datasource: z.object({ uid: z.literal('prometheus') }),
      targets: z.array(z.object({ expr: z.string(), legendFormat: z.string() })).nonempty(),
    }),
  ),
})

test(
  'every metric and label the dashboard asks for is one we give; every metric of ours but two is on it',
  { timeout: 60_000 },
  async () => {
    const dashboards = join(PROJECT_ROOT, 'configs', 'grafana', 'provisioning', 'dashboards')
    const text = readFileSync(join(dashboards, 'scorer.json'), 'utf8')
    const expressions = dashboard.parse(JSON.parse(text)).panels.flatMap(({ targets }) => targets)
    const given = new Set(
      (await scorerMetrics(() => 0).text()).split('\n').flatMap((line) => /^# TYPE (\S+)/.exec(line)?.[1] ?? []),
    )
    const asked = new Set(
      expressions
        .flatMap(({ expr }) => expr.match(/\b(fd|process|nodejs)_\w+/g) ?? [])
        .map((name) => name.replace(/_(bucket|count|sum)$/, '')),
    )
    expect([...asked].filter((name) => !given.has(name))).toEqual([])
    expect(
      Object.values(SCORER_METRICS)
        .map(({ name }) => name as string)
        .filter((name) => !asked.has(name)),
    ).toEqual(['fd_labels_total', 'fd_batches_total'])
    const labels = new Set([
      'instance',
      'le',
      ...Object.values(SCORER_METRICS).flatMap((metric) => ('labels' in metric ? metric.labels : [])),
    ])
    const used = expressions.flatMap(({ expr, legendFormat }) =>
      [...legendFormat.matchAll(/\{\{(\w+)\}\}/g), ...expr.matchAll(/by \((\w+)\)/g)].map((match) => match[1]),
    )
    expect(used.filter((label) => !labels.has(label))).toEqual([])
  },
)

test('README tells of every metric, and of no other', () => {
  const readme = readFileSync(join(PROJECT_ROOT, 'README.md'), 'utf8')
  expect([...new Set(readme.match(/\bfd_[a-z_]+\b/g))].toSorted()).toEqual(
    Object.values(SCORER_METRICS)
      .map(({ name }) => name as string)
      .toSorted(),
  )
})

test('pages by path; what is not there, and what fails, has its status', async () => {
  await using server = await serveMetrics(
    { host: '127.0.0.1', port: 0 },
    {
      '/metrics': async () => ({ status: 200, type: 'text/plain', text: 'a 1\n' }),
      '/broken': () => Promise.reject(new Error('no')),
    },
  )
  expect(await (await fetch(`${server.url}/metrics?x=1`)).text()).toBe('a 1\n')
  const statuses = await Promise.all([
    fetch(`${server.url}/`),
    fetch(`${server.url}/toString`),
    fetch(`${server.url}/metrics`, { method: 'POST' }),
    fetch(`${server.url}/broken`),
  ])
  expect(statuses.map(({ status }) => status)).toEqual([404, 404, 405, 500])
  const taken = serveMetrics({ host: '127.0.0.1', port: Number(new URL(server.url).port) }, {})
  await expect(taken).rejects.toThrow(UserError)
  await expect(taken).rejects.toThrow(/Port \d+ of 127\.0\.0\.1, for the metrics, is taken.*--metrics PORT/)
  await expect(serveMetrics({ host: '192.0.2.1', port: 0 }, {})).rejects.toThrow(
    /"192\.0\.2\.1", for the metrics, is no address of this machine/,
  )
})
