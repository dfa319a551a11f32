import { expect, test } from 'vitest'
import { runSchedule, runSchedules, scheduleCount } from '../../configs/testing/schedules.ts'
import { simulateScorer } from './simulated-scorer.ts'
import type { Weather } from './weather.ts'

const COUNT = scheduleCount({ desk: 1_000, ci: 100_000 })

/** Runs a schedule of this weather. */
function run(seed: number, weather?: Partial<Weather>): Promise<number> {
  return runSchedule(seed, (n, trace) => simulateScorer(n, weather, trace))
}

const alone: Partial<Weather> = {
  partitions: 1,
  members: 1,
  events: 12,
  maxBatch: 2,
  checkpointEveryMs: 6,
  refused: 0,
  unanswered: 0,
  kill: 0,
  evict: 0,
  stop: 0,
  pause: 0,
  promotions: 0,
  bases: 0,
}

test('one scorer of one partition that is killed at any step', async () => {
  const steps = await run(1, alone)
  expect(steps).toBeGreaterThan(50)
  for (let killAt = 0; killAt < steps; killAt++) await run(1, { ...alone, killAt })
})

/** Two members that are stopped for longer than their sessions again and again, and nothing else. */
const stopped: Partial<Weather> = {
  partitions: 1,
  members: 2,
  events: 30,
  maxBatch: 1,
  checkpointEveryMs: 1,
  refused: 0,
  unanswered: 0,
  kill: 0,
  evict: 0,
  stop: 0,
  pause: 0.06,
  promotions: 0,
  bases: 0,
}

// Each fails when what it names is taken out of `stage.ts`.
test.each<[string, number, Partial<Weather>?]>([
  ['a state is taken by one that was stopped before it heard that the partition is another’s', 38],
  ['a commit is under way when its scorer ends', 167],
  ['a stopped scorer hears of its loss from the store, before it hears from the log', 363, stopped],
  ['a batch fails after it was folded, and its partition is given up before its scorer ends', 48_051],
])('a schedule in which %s', async (_, seed, weather) => {
  expect(await run(seed, weather)).toBeGreaterThan(50)
})

test(
  `${COUNT} schedules of scorers that fail, die, or lose what they have, while champions and bases change`,
  { timeout: 1_800_000 },
  async () => {
    const steps = await runSchedules(COUNT, (seed, trace) => simulateScorer(seed, undefined, trace))
    expect(steps).toBeGreaterThan(0)
  },
)
