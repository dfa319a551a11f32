import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { simulateTraining } from './simulated-training.ts'
import type { TrainingWeather } from './training-weather.ts'

/** All of them in CI; at a desk, some, or FD_SIM_COUNT=… One seed alone is run again with FD_SIM_SEED=… */
const COUNT = Number(process.env['FD_SIM_COUNT'] ?? (process.env['CI'] === undefined ? 40 : 2_000))
const SEED = process.env['FD_SIM_SEED']

// A command says after some seconds that it has no worker. A schedule must not depend on the time that it takes.
beforeAll(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }))
afterAll(() => void vi.useRealTimers())

/** Runs a schedule. If it fails, it is run again for a trace of its last steps. */
async function run(seed: number, weather?: Partial<TrainingWeather>): Promise<number> {
  try {
    return await simulateTraining(seed, weather)
  } catch {
    const trace: string[] = []
    return simulateTraining(seed, weather, trace).catch((error: unknown) => {
      const steps = trace.slice(-150).join('\n  ')
      throw new Error(`Schedule ${seed} fails. Run it alone: FD_SIM_SEED=${seed}\n  ${steps}`, { cause: error })
    })
  }
}

test('a schedule runs again in the same way from its seed', async () => {
  const traces = [await traceOf(11), await traceOf(11)]
  expect(traces[0]).toEqual(traces[1])
})

async function traceOf(seed: number): Promise<string[]> {
  const trace: string[] = []
  await simulateTraining(seed, undefined, trace)
  return trace
}

test(
  `${COUNT} schedules of commands that train, whose processes die or are stopped for long`,
  { timeout: 1_800_000 },
  async () => {
    let steps = 0
    if (SEED !== undefined) steps = await run(Number(SEED))
    else for (let seed = 0; seed < COUNT; seed++) steps += await run(seed)
    expect(steps).toBeGreaterThan(0)
  },
)
