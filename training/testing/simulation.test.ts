import { expect, test } from 'vitest'
import { runSchedule, runSchedules, scheduleCount } from '../../configs/testing/schedules.ts'
import { CALM, type QueueWeather } from './queue-weather.ts'
import { simulateQueue } from './simulated-queue.ts'

const COUNT = scheduleCount({ desk: 300, ci: 20_000 })

/** Runs a schedule of this weather. */
function run(seed: number, weather?: Partial<QueueWeather>): Promise<number> {
  return runSchedule(seed, (n, trace) => simulateQueue(n, weather, trace))
}

/** One command, and one worker after the other. */
const alone: Partial<QueueWeather> = {
  ...CALM,
  workers: 1,
  concurrency: 2,
  foreign: false,
  commands: 1,
  jobs: 2,
  failures: 3,
  trainingMs: 500,
  heartbeatMs: 1_000,
}

test.each(['worker', 'command'] as const)('a %s that is killed at any step', async (of) => {
  const steps = await run(1, alone)
  expect(steps).toBeGreaterThan(50)
  for (let step = 0; step < steps; step++) await run(1, { ...alone, killAt: { step, of } })
})

/** A command that takes its jobs back, while answers are lost. */
const takenBack: Partial<QueueWeather> = {
  ...alone,
  workers: 2,
  jobs: 3,
  trainingMs: 4_000,
  takeBack: 0.02,
  unanswered: 0.03,
}

/** A command that takes long jobs back, while workers die. */
const takenFromDead: Partial<QueueWeather> = {
  ...takenBack,
  trainingMs: 30_000,
  unanswered: 0,
  kill: 0.01,
}

test.each<[string, number, Partial<QueueWeather>]>([
  ['a look finds that a job is gone, and it is taken back meanwhile', 11, takenBack],
  ['a job is taken back while it is added', 8, takenBack],
  ['a job is taken back, and the worker that should end it dies', 302, takenFromDead],
  ['the server goes away for good while a command opens its queue', 460, {}],
  ['a sign of life is on its way when its owner says goodbye', 7675, {}],
  ['a job is added again between the look at its owner and its removal', 2138, {}],
])('a schedule that once failed: %s', async (_, seed, weather) => {
  expect(await run(seed, weather)).toBeGreaterThan(20)
})

test(
  `${COUNT} schedules of commands and workers that fail, die, stop and come back at one job queue`,
  { timeout: 1_800_000 },
  async () => {
    const steps = await runSchedules(COUNT, (seed, trace) => simulateQueue(seed, undefined, trace))
    expect(steps).toBeGreaterThan(0)
  },
)
