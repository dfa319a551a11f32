import { expect, test } from 'vitest'
import { makeWorld } from '../testing/world.ts'
import { soak } from './run.ts'

test('a disturbed stream through processes that are killed: each record has what is due to it, once', async () => {
  await using world = await makeWorld({ customers: 60, terminals: 100, days: 60, liveDays: 1 })
  const said: string[] = []
  const report = await soak(world, `lmdb:${world.home}/log`, {
    seed: 5,
    events: 20_000,
    kills: 6,
    tell: (line) => void said.push(line),
  })
  expect(report.faults, said.join('\n')).toEqual([])
  expect(Object.values(report.blows).reduce((sum, count) => sum + count)).toBe(6)
  const { outcome } = report
  expect(Math.min(outcome.transactions, outcome.labels, outcome.bad, outcome.repeats)).toBeGreaterThan(50)
})
