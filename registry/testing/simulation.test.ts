import { expect, test } from 'vitest'
import { simulateWriters, type WritersWeather } from './simulated-writers.ts'

/** All of them in CI; at a desk, some. One seed alone is run again with FD_SIM_SEED=… */
const COUNT = process.env['CI'] === undefined ? 500 : 8_000
const SEED = process.env['FD_SIM_SEED']

/** Runs a schedule. If it fails, it is run again for a trace of its last steps. */
async function run(seed: number, weather?: Partial<WritersWeather>): Promise<number> {
  try {
    return await simulateWriters(seed, weather)
  } catch {
    const trace: string[] = []
    return simulateWriters(seed, weather, trace).catch((error: unknown) => {
      const steps = trace.slice(-150).join('\n  ')
      throw new Error(`Schedule ${seed} fails. Run it alone: FD_SIM_SEED=${seed}\n  ${steps}`, { cause: error })
    })
  }
}

/** Many writers of one history on a server; some are killed while they write, and their last call arrives late. */
const crowded: Partial<WritersWeather> = {
  driver: 'mlflow',
  writers: 4,
  requests: 10,
  refused: 0,
  unanswered: 0,
  kill: 0.02,
  late: 0.7,
}

/** Nobody is killed, and nothing fails. */
const healthy: Partial<WritersWeather> = { driver: 'mlflow', writers: 4, requests: 8, kill: 0, late: 0 }

test.each<[string, number, Partial<WritersWeather>]>([
  ['a dead writer’s last call sets the champion back', 297, crowded],
  ['a dead writer’s last call sets the challenger back', 789, crowded],
  ['a move is completed between the reads of the model and of the ledger', 2595, healthy],
])('a schedule that once failed: %s', async (_, seed, weather) => {
  expect(await run(seed, weather)).toBeGreaterThan(50)
})

test(
  `${COUNT} schedules of writers of one history that fail, die and overtake each other`,
  { timeout: 900_000 },
  async () => {
    let steps = 0
    if (SEED !== undefined) steps = await run(Number(SEED))
    else for (let seed = 0; seed < COUNT; seed++) steps += await run(seed)
    expect(steps).toBeGreaterThan(0)
  },
)
