/** A program: runs one job of the contest with our estimators. Argument: the job's file. Prints the outcome as JSON. */
import { readFileSync, writeFileSync } from 'node:fs'
import type { TrainingSet } from '../../features/backfill/training-set.ts'
import { findEstimator } from '../../training/catalog.ts'
import { modelScores } from '../../training/fit/fitted-model.ts'
import { type ContestParams, type Job, type Outcome, readPart, type Task } from './contest.ts'

/** Translates the parameters into our names. */
const OWN: Record<Task, (params: ContestParams, features: number) => Record<string, number>> = {
  boosting: ({ trees, depth, learningRate, l2, minChildWeight, subsample, colsample }) => ({
    rounds: trees,
    max_depth: depth,
    learning_rate: learningRate,
    l2,
    min_child_weight: minChildWeight,
    subsample,
    colsample,
  }),
  forest: ({ trees, depth, minSamplesLeaf, colsample }, features) => ({
    trees,
    max_depth: depth,
    min_samples_leaf: minSamplesLeaf,
    max_features: Math.max(1, Math.round(colsample * features)),
  }),
  isolation: ({ trees, sampleSize }) => ({ trees, sample_size: sampleSize }),
}

const job = JSON.parse(readFileSync(process.argv[2], 'utf8')) as Job
const set = trainingSet(job)
const { x } = readPart(job.folder, job.score)
const memoryBefore = process.memoryUsage().rss
const estimator = findEstimator(job.task)
const params = estimator.params(OWN[job.task](job.params, job.features))
const fit = await timed(() => estimator.fit(set, params, job.params.seed, () => true))
const score = await timed(async () => modelScores(fit.result, x))
writeFileSync(job.scores, score.result)
const peak = peakBytes()
const outcome: Outcome = {
  fitSeconds: fit.seconds,
  fitCpuSeconds: fit.cpuSeconds,
  scoreSeconds: score.seconds,
  scoreCpuSeconds: score.cpuSeconds,
  peakMb: peak / 2 ** 20,
  addedMb: (peak - memoryBefore) / 2 ** 20,
}
process.stdout.write(JSON.stringify(outcome))

/** Not `maxRSS`, because a child's begins with the memory its parent held when it forked. */
function peakBytes(): number {
  return 1024 * Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1])
}

function trainingSet({ features, folder, fit: part }: Job): TrainingSet {
  const { x: rows, y } = readPart(folder, part)
  // The estimators look neither at the time nor at the identity of a row.
  const order = new Float64Array(y.length)
  return {
    names: Array.from({ length: features }, (_, feature) => `v${feature}`),
    categorical: [],
    rows: y.length,
    x: rows,
    y,
    time: order,
    ids: order,
  }
}

async function timed<T>(work: () => Promise<T>): Promise<{ result: T; seconds: number; cpuSeconds: number }> {
  const [wall, cpu] = [performance.now(), process.cpuUsage()]
  const result = await work()
  const { user, system } = process.cpuUsage(cpu)
  return { result, seconds: (performance.now() - wall) / 1000, cpuSeconds: (user + system) / 1e6 }
}
