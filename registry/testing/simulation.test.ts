import { expect, test } from 'vitest'
import { runSchedule, runSchedules, scheduleCount } from '../../configs/testing/schedules.ts'
import { simulateWriters, type WritersWeather } from './simulated-writers.ts'

const COUNT = scheduleCount({ desk: 300, ci: 8_000 })

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
  expect(await runSchedule(seed, (n, trace) => simulateWriters(n, weather, trace))).toBeGreaterThan(50)
})

test(
  `${COUNT} schedules of writers of one history that fail, die and overtake each other`,
  { timeout: 900_000 },
  async () => {
    const steps = await runSchedules(COUNT, (seed, trace) => simulateWriters(seed, {}, trace))
    expect(steps).toBeGreaterThan(0)
  },
)
