/** One seed alone is run again with FD_SIM_SEED=… */
const SEED = process.env['FD_SIM_SEED']

/** How many schedules a simulation runs: FD_SIM_COUNT=… of them, else all in CI and some at a desk. */
export function scheduleCount({ desk, ci }: { desk: number; ci: number }): number {
  return Number(process.env['FD_SIM_COUNT'] ?? (process.env['CI'] === undefined ? desk : ci))
}

/** A simulation under the schedule of a seed. `trace` takes a line of each step. @returns the number of steps. */
export type Simulate = (seed: number, trace?: string[]) => Promise<number>

/** Runs a schedule. If it fails, it is run again for a trace of its last steps. */
export async function runSchedule(seed: number, simulate: Simulate): Promise<number> {
  try {
    return await simulate(seed)
  } catch {
    const trace: string[] = []
    return simulate(seed, trace).catch((error: unknown) => {
      const steps = trace.slice(-150).join('\n  ')
      throw new Error(`Schedule ${seed} fails. Run it alone: FD_SIM_SEED=${seed}\n  ${steps}`, { cause: error })
    })
  }
}

/** Runs the schedules of the seeds from 0, or the one of FD_SIM_SEED. @returns the number of steps of all. */
export async function runSchedules(count: number, simulate: Simulate): Promise<number> {
  if (SEED !== undefined) return runSchedule(Number(SEED), simulate)
  let steps = 0
  for (let seed = 0; seed < count; seed++) steps += await runSchedule(seed, simulate)
  return steps
}
