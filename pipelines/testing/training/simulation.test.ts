import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { runSchedules, scheduleCount } from '../../../configs/testing/schedules.ts'
import { simulateTraining } from './simulated-training.ts'

const COUNT = scheduleCount({ desk: 40, ci: 2_000 })

// A command says after some seconds that it has no worker. A schedule must not depend on the time that it takes.
beforeAll(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }))
afterAll(() => void vi.useRealTimers())

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
    const steps = await runSchedules(COUNT, (seed, trace) => simulateTraining(seed, undefined, trace))
    expect(steps).toBeGreaterThan(0)
  },
)
