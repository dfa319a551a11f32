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
  promotions: 0,
  bases: 0,
}

test('one scorer of one partition that is killed at any step', async () => {
  const steps = await run(1, alone)
  expect(steps).toBeGreaterThan(50)
  for (let killAt = 0; killAt < steps; killAt++) await run(1, { ...alone, killAt })
})

/** Two members that are taken for dead again and again, and nothing else. */
const evicted: Partial<Weather> = {
  partitions: 2,
  members: 2,
  maxBatch: 2,
  refused: 0,
  unanswered: 0,
  kill: 0,
  evict: 0.08,
  stop: 0,
  promotions: 0,
  bases: 0,
  blankKeys: false,
  hourLate: false,
}

/** One partition that goes round among three. */
const overtaken: Partial<Weather> = {
  ...evicted,
  partitions: 1,
  members: 3,
  events: 12,
  maxBatch: 1,
  checkpointEveryMs: 1,
  evict: 0.1,
  blankKeys: true,
}

/** Their seeds are of a time when every transaction had a terminal, and there were no promotions and backfills. */
const unchanged: Partial<Weather> = { promotions: 0, bases: 0, blankKeys: false, hourLate: false }

test.each<[string, number, Partial<Weather>?]>([
  ['a commit to a lost partition is under way when its scorer ends', 5875, unchanged],
  ['a partition is lost while it is given up', 5183, unchanged],
  ['two scorers begin at once on a new log, and one makes the topics', 1839, evicted],
  ['a state is taken after a takeover, and is ahead of the outputs that were known before it', 433, overtaken],
  ['the first record after a history comes alone, and hours late', 160, { bases: 1 }],
])('a schedule that once failed: %s', async (_, seed, weather) => {
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
