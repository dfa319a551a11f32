import { availableParallelism } from 'node:os'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import type { TrainingSet } from '../features/training-set.ts'
import { averagePrecision } from './metrics.ts'
import { modelScores, toOnnx } from './fitted-model.ts'
import { plantedSet } from './planted-set.ts'
import { boosting, forest, type FittedTrees } from './tree-estimator.ts'

/**
 * Seconds to fit on a set of kaggle-cc's shape (284,807 × 30, 492 frauds), rows a second scored by ONNX Runtime on one
 * thread in batches of 256. Prints one JSON document.
 */
const ROWS = 284_807
const FEATURES = 30
const FRAUDS = 492
const BATCH = 256

async function fitSeconds(set: TrainingSet, estimator: typeof boosting, given: Record<string, number>): Promise<{ model: FittedTrees; figures: object }> {
  const params = estimator.params(given)
  const [wall, cpu] = [performance.now(), process.cpuUsage()]
  const model = await estimator.fit(set, params, 0, () => true)
  const seconds = (performance.now() - wall) / 1000
  const { user, system } = process.cpuUsage(cpu)
  const fitted = averagePrecision(modelScores(model, set.x), set.y)
  return { model, figures: { estimator: estimator.name, given, seconds, cpuSeconds: (user + system) / 1e6, nodes: model.trees.feature.length, averagePrecisionOnTrain: fitted } }
}

async function onnxRowsPerSecond(model: FittedTrees, set: TrainingSet): Promise<number> {
  const session = await InferenceSession.create(toOnnx(model), { intraOpNumThreads: 1, interOpNumThreads: 1 })
  const calls = Math.floor(50_000 / BATCH)
  const pass = async (): Promise<void> => {
    for (let call = 0; call < calls; call++) {
      const x = set.x.subarray(call * BATCH * FEATURES, (call + 1) * BATCH * FEATURES)
      await session.run({ features: new Tensor('float32', x, [BATCH, FEATURES]) })
    }
  }
  await pass()
  const start = performance.now()
  await pass()
  const seconds = (performance.now() - start) / 1000
  await session.release()
  return (calls * BATCH) / seconds
}

const set = plantedSet({ rows: ROWS, features: FEATURES, frauds: FRAUDS }, 1)
const fits = [
  await fitSeconds(set, boosting, { rounds: 100, max_depth: 6, subsample: 1, colsample: 1, learning_rate: 0.1, min_child_weight: 1 }),
  await fitSeconds(set, boosting, {}),
  await fitSeconds(set, forest, { max_depth: 12 }),
  await fitSeconds(set, forest, {}),
]
const results = []
for (const { model, figures } of fits) results.push({ ...figures, onnxRowsPerSecond: Math.round(await onnxRowsPerSecond(model, set)) })
process.stdout.write(
  `${JSON.stringify({ bench: 'trees', rows: ROWS, features: FEATURES, frauds: FRAUDS, batch: BATCH, cpus: availableParallelism(), node: process.version, peakMemoryMb: Math.round(process.resourceUsage().maxRSS / 1024), results }, null, 2)}\n`,
)
