import { randomStream } from '../../datasets/random/random.ts'
import { CONTESTANTS, type ContestParams, type Task } from './contest.ts'
import type { ContestSet } from './data.ts'
import { runJob } from './run.ts'

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

/** A contestant's best draw by average precision on the validation rows, fitted anew on all training rows and judged on the test rows. */
export interface Found {
  set: string
  task: Task
  contestant: string
  validation: number
  /** Average precision on the test rows, a seed each, of the chosen parameters. */
  test: number[]
  /** Scores of the test rows with the first seed. */
  scores: Float32Array
  params: ContestParams
}

/** The same draws for all contestants of a task: draw `n` is the same whoever asks. */
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

/** Searches for every contestant of boosting and forest with the same budget of `draws`, and judges with `seeds` seeds. */
export function* search(set: ContestSet, python: string, draws: number, seeds: number): Generator<Found> {
  for (const task of ['boosting', 'forest'] as const) {
    const base = { task, folder: set.folder, features: set.features, threads: 1 }
    for (const contestant of CONTESTANTS[task]) {
      const tried = Array.from({ length: draws }, (_, draw) => {
        const params = drawParams(task, draw)
        return {
          params,
          validation: runJob({ ...base, contestant, params, fit: 'early', score: 'valid' }, python).averagePrecision,
        }
      })
      const best = tried.reduce((one, other) => (other.validation > one.validation ? other : one))
      const judged = Array.from({ length: seeds }, (_, seed) =>
        runJob(
          { ...base, contestant, params: { ...best.params, seed: seed + 1 }, fit: 'train', score: 'test' },
          python,
        ),
      )
      const [{ scores }] = judged
      yield {
        set: set.name,
        task,
        contestant,
        ...best,
        test: judged.map(({ averagePrecision }) => averagePrecision),
        scores,
      }
    }
  }
}
