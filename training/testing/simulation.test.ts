import { expect, test } from 'vitest'
import { CALM, type QueueWeather } from './queue-weather.ts'
import { simulateQueue } from './simulated-queue.ts'

/** All of them in CI; at a desk, some, or FD_SIM_COUNT=… One seed alone is run again with FD_SIM_SEED=… */
const COUNT = Number(process.env['FD_SIM_COUNT'] ?? (process.env['CI'] === undefined ? 300 : 20_000))
const SEED = process.env['FD_SIM_SEED']

/** Runs a schedule. If it fails, it is run again for a trace of its last steps. */
async function run(seed: number, weather?: Partial<QueueWeather>): Promise<number> {
  try {
    return await simulateQueue(seed, weather)
  } catch {
    const trace: string[] = []
    return simulateQueue(seed, weather, trace).catch((error: unknown) => {
      const steps = trace.slice(-150).join('\n  ')
      throw new Error(`Schedule ${seed} fails. Run it alone: FD_SIM_SEED=${seed}\n  ${steps}`, { cause: error })
    })
  }
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
    let steps = 0
    if (SEED !== undefined) steps = await run(Number(SEED))
    else for (let seed = 0; seed < COUNT; seed++) steps += await run(seed)
    expect(steps).toBeGreaterThan(0)
  },
)
