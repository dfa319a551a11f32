import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openEventLog } from '../../datasets/open.ts'
import { openRegistry } from '../../registry/open.ts'
import { checkDecisions, type DecisionReport } from '../../serving/audit/decisions.ts'
import type { Prediction } from '../../serving/prediction.ts'
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

test(
  'what was decided is decided again; a decision, threshold or score of another origin is named',
  PATIENT,
  async () => {
    const honest = JSON.parse(await world.fd('features', 'verify', '--scores', '--json')) as { decided: DecisionReport }
    const all = (await world.predictions()).length
    expect(honest.decided).toMatchObject({ decisions: all, scores: all, differences: 0, uncovered: [] })

    const [first] = await world.predictions()
    const other = (change: object, offset: number): Prediction => ({
      ...first,
      ...change,
      group: 'forged',
      input: { partition: 0, offset },
    })
    const { threshold_entry: _, ...byCard } = first
    await using log = await openEventLog(`lmdb:${join(world.home, 'log')}`)
    const wrong = first.decision === 'alert' ? 'approve' : 'alert'
    // The neighbour of a float32 that is not 0, in the direction of 0.
    const bits = new Uint32Array(new Float32Array([first.score]).buffer)
    const beside = new Float32Array(new Uint32Array([bits[0] - 1]).buffer)[0]
    const forged = [
      other({}, 0),
      other({ decision: wrong }, 1),
      other({ threshold: first.threshold / 2, decision: first.score >= first.threshold / 2 ? 'alert' : 'approve' }, 2),
      other({ threshold_entry: 1 }, 3),
      other({ score: beside, decision: beside >= first.threshold ? 'alert' : 'approve' }, 4),
      other({ model: { name: 'card-fraud', version: 9 } }, 5),
      // The threshold of training, with which the version never decided this stream, but might have.
      { ...byCard, group: 'forged', input: { partition: 0, offset: 6 } },
    ]
    await log.append(
      'predictions',
      forged.map((prediction) => ({ value: JSON.stringify(prediction), timestamp: first.event_time })),
    )
    await using registry = await openRegistry(`sqlite:${join(world.home, 'registry')}`, { now: Date.now })
    const report = await checkDecisions({ log, registry, group: 'forged', scores: true })
    expect(report).toMatchObject({ decisions: 6, scores: 6, differences: 5 })
    expect(report.first.map(({ offset, what }) => `${what} at ${offset}`).toSorted()).toEqual(
      ['decision at 1', 'score at 4', 'threshold at 2', 'threshold at 3', 'threshold at 6'].toSorted(),
    )
    expect(report.first.find(({ offset }) => offset === 3)?.due).toContain('no entry 1 that set a threshold')
    expect(report.uncovered).toEqual([{ predictions: 1, reason: expect.stringContaining('No version 9') as string }])
    const part = await checkDecisions({ log, registry, group: 'forged', from: 2, to: 4 })
    expect(part).toMatchObject({ decisions: 2, scores: 0, differences: 2 })

    const refused = await world.try('features', 'verify', '--group', 'forged')
    expect(refused.code).toBe(1)
    expect(refused.stdout).toMatch(/other decisions, thresholds or scores +4/)
  },
)
