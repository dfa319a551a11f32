import { randomStream } from '../../datasets/random/random.ts'
import { CONTESTANTS, type ContestParams, type Task } from './contest.ts'
import type { ContestSet } from './data.ts'
import { runJob, type Result } from './run.ts'

/** Parameters of the time measurements: plain ones that every library has. */
export const PLAIN: ContestParams = {
  trees: 100,
  depth: 6,
  learningRate: 0.1,
  l2: 1,
  minChildWeight: 1,
  minSamplesLeaf: 1,
  subsample: 1,
  colsample: 1,
  sampleSize: 256,
  seed: 1,
}

/**
 * A contestant's best draw, by average precision on the validation rows. It was then fitted again on all training rows
 * and judged on the test rows.
 */
export interface Found {
  set: string
  task: Task
  contestant: string
  validation: number
  /** Average precision on the test rows with the chosen parameters, one value for each seed. */
  test: number[]
  /** Scores of the test rows with the first seed. */
  scores: Float32Array
  params: ContestParams
}

/** Draw number `draw` of a task, the same for all its contestants. */
export function drawParams(task: Task, draw: number): ContestParams {
  const random = randomStream(2026, draw)
  const between = (low: number, high: number): number => low + (high - low) * random.uniform()
  const logarithmic = (low: number, high: number): number => Math.exp(between(Math.log(low), Math.log(high)))
  const whole = (low: number, high: number): number => low + random.integer(high - low + 1)
  const own =
    task === 'forest'
      ? { trees: 200, depth: whole(8, 20), colsample: between(0.1, 0.6), minSamplesLeaf: whole(1, 10) }
      : {
          trees: whole(100, 400),
          depth: whole(3, 8),
          learningRate: logarithmic(0.02, 0.2),
          l2: logarithmic(0.3, 30),
          minChildWeight: logarithmic(0.5, 10),
          subsample: between(0.5, 1),
          colsample: between(0.4, 1),
        }
  return { ...PLAIN, ...own }
}

/** How much is tried for each contestant: parameter draws, then seeds for the best of them. */
export interface Budget {
  draws: number
  seeds: number
}

/** Searches for every contestant of boosting and forest, all with the same budget. */
export function* search(set: ContestSet, python: string, budget: Budget): Generator<Found> {
  for (const task of ['boosting', 'forest'] as const) {
    for (const contestant of CONTESTANTS[task]) yield searchOne(set, task, contestant, python, budget)
  }
}

function searchOne(set: ContestSet, task: Task, contestant: string, python: string, { draws, seeds }: Budget): Found {
  const run = (params: ContestParams, fit: string, score: string): Result =>
    runJob({ task, contestant, folder: set.folder, features: set.features, threads: 1, params, fit, score }, python)
  const tried = Array.from({ length: draws }, (_, draw) => {
    const params = drawParams(task, draw)
    return { params, validation: run(params, 'early', 'valid').averagePrecision }
  })
  const best = tried.reduce((one, other) => (other.validation > one.validation ? other : one))
  const judged = Array.from({ length: seeds }, (_, seed) => run({ ...best.params, seed: seed + 1 }, 'train', 'test'))
  const test = judged.map(({ averagePrecision }) => averagePrecision)
  return { set: set.name, task, contestant, ...best, test, scores: judged[0].scores }
}
