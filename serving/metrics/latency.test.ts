import { expect, test } from 'vitest'
import { latencyHistogram, latencyOf } from './latency.ts'

const NOW = Date.UTC(2026, 0, 1)
const DAY = 86_400_000

test('a timestamp that cannot be the moment of the append gives no latency; a clock a little ahead gives 0', () => {
  expect([NOW - 5, NOW + 3, NOW + 3_600_000, NOW - 40 * DAY].map((at) => latencyOf(at, NOW))).toEqual([
    5,
    0,
    0,
    40 * DAY,
  ])
  const none = [0, -1, NOW / 1000, NOW * 1000, NOW + 100 * 365 * DAY, NOW + 3_600_001, Number.NaN, Infinity, -Infinity]
  expect(none.map((at) => latencyOf(at, NOW))).toEqual(none.map(() => Number.NaN))
})

test('quantiles are those of the sorted latencies to 3 %, microseconds to weeks; unknown ones do not count', () => {
  const histogram = latencyHistogram()
  const samples = Array.from({ length: 1000 }, (_, i) => 0.001 * 1.025 ** i)
  for (const sample of samples) histogram.add(sample)
  for (const at of [0, 1e18, Number.NaN]) histogram.add(latencyOf(at, NOW))
  expect(histogram.count()).toBe(samples.length)
  for (const q of [0.01, 0.5, 0.9, 0.99, 1]) {
    const exact = samples[Math.ceil(q * samples.length) - 1]
    expect(Math.abs(histogram.quantile(q) / exact - 1)).toBeLessThan(0.03)
  }
})
