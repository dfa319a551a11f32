import type { Random } from '../../../datasets/random/random.ts'

/** What may happen in a schedule of commands that train. Without a word, a seed chooses. */
export interface TrainingWeather {
  workers: number
  concurrency: number
  commands: number
  /** Most candidates of a command. */
  candidates: number
  trainingMs: number
  heartbeatMs: number
  /** How likely each is at a step. */
  kill: number
  freeze: number
}

export function trainingWeather(random: Random): TrainingWeather {
  const sometimes = (most: number): number => (random.integer(2) === 0 ? 0 : random.uniform() * most)
  return {
    workers: 1 + random.integer(2),
    concurrency: 1 + random.integer(2),
    commands: 1 + random.integer(2),
    candidates: 1 + random.integer(3),
    trainingMs: [400, 3_000, 12_000][random.integer(3)],
    heartbeatMs: 900 + random.integer(1_000),
    kill: sometimes(0.006),
    freeze: sometimes(0.003),
  }
}
