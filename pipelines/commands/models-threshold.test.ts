import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeWorld, type World } from '../testing/world.ts'

let world: World
beforeAll(async () => {
  world = await makeWorld({ customers: 120, terminals: 200, days: 80, liveDays: 10 })
}, 120_000)
afterAll(() => world[Symbol.asyncDispose]())

const PATIENT = { timeout: 120_000 }

interface Budgets {
  value: number
  fraudsPerDay: number
  budgets: { budget: number; threshold: number; alertsPerDay: number; recall: number; prevented: number }[]
}

test(
  'budgets are shown with what they do, and one can be set; a budget above the frauds is said',
  PATIENT,
  async () => {
    const { value, fraudsPerDay, budgets } = JSON.parse(
      await world.fd('models', 'threshold', 'card-fraud', '1', '--json'),
    ) as Budgets
    expect(budgets.map(({ budget }) => budget).slice(0, 3)).toEqual([1, 2, 5])
    for (const [i, row] of budgets.entries()) {
      expect(row.alertsPerDay).toBeLessThanOrEqual(row.budget * 1.1)
      if (i === 0) continue
      expect(row.threshold).toBeLessThanOrEqual(budgets[i - 1].threshold)
      expect(row.recall).toBeGreaterThanOrEqual(budgets[i - 1].recall)
      expect(row.prevented).toBeGreaterThanOrEqual(budgets[i - 1].prevented)
    }
    const set = await world.try(
      'models',
      'threshold',
      'card-fraud',
      '1',
      '--budget',
      '2/day',
      '--reason',
      'one analyst',
    )
    expect(set.code, set.stderr).toBe(0)
    expect(set.stdout).toContain(`Threshold of card-fraud version 1: ${value} → ${budgets[1].threshold}.`)
    expect(set.stderr.includes('2 alerts a day are more than the')).toBe(fraudsPerDay < 2)
    const large = await world.try('models', 'threshold', 'card-fraud', '1', '--budget', '40', '--json')
    expect(large.stderr).toMatch(/40 alerts a day are more than the [\d.]+ frauds a day of the test rows/)
    const history = await world.fd('models', 'history', 'card-fraud')
    expect(history).toMatch(
      new RegExp(`threshold of version 1: ${value} → ${budgets[1].threshold} \\(2 alerts a day\\) +one`),
    )
    expect(await world.fd('models', 'describe', 'card-fraud/1')).toMatch(/threshold +[\d.e-]+ \(40 alerts a day\)/)
  },
)

test(
  'a running scorer takes a new threshold up between batches, and each prediction says which decided',
  PATIENT,
  async () => {
    await world.fd('models', 'threshold', 'card-fraud', '1', '--threshold', '0.5')
    const stream = ['produce', '--dataset', 'simulated', '--data', world.file]
    const scorer = world.start('score')
    await scorer.says('Scoring with card-fraud version 1')
    const middle = new Date(Date.parse(world.cut) + 5 * 86_400_000).toISOString()
    await world.fd(...stream, '--from', world.cut, '--until', middle)
    let scored = 0
    while ((scored = (await world.predictions()).length) === 0);
    await world.fd('models', 'threshold', 'card-fraud', '1', '--threshold', '0.25', '--reason', 'more hands')
    await scorer.says('New threshold of card-fraud version 1: 0.25.')
    await world.fd(...stream, '--from', middle)
    while ((await world.predictions()).length === scored);
    scorer.child.kill('SIGTERM')
    await scorer.ended
    await world.fd('score', '--until-idle')
    const predictions = await world.predictions()
    const entries = [
      ...new Set(predictions.map(({ threshold, threshold_entry }) => `${threshold} by ${threshold_entry}`)),
    ]
    expect(entries).toHaveLength(2)
    expect(entries[0]).toMatch(/^0\.5 by \d$/)
    expect(entries[1]).toBe(`0.25 by ${Number(entries[0].at(-1)) + 1}`)
    for (const { score, threshold, decision } of predictions) {
      expect(decision).toBe(score >= threshold ? 'alert' : 'approve')
    }
    await world.fd('features', 'verify')
  },
)

test.each([
  [['--budget', '2', '--threshold', '.5'], 'Give one of the two'],
  [['--budget', 'many'], 'Expected alerts a day, such as 40/day'],
  [['--budget', '0/day'], 'Expected alerts a day, such as 40/day'],
  [['--threshold', 'high'], 'Expected a score, from 0 to 1'],
  [['--threshold', '40'], 'Expected a score, from 0 to 1'],
  [['--threshold', '-0.1'], 'Expected a score, from 0 to 1'],
])('%j is refused', PATIENT, async (options, message) => {
  const { code, stderr } = await world.try('models', 'threshold', 'card-fraud', '1', ...options)
  expect([code, stderr]).toEqual([2, expect.stringContaining(message)])
})
