import type { RandomForestBaseOptions, RandomForestClassifier } from 'ml-random-forest'
import { z } from 'zod'
import { UserError } from '../../configs/user-error.ts'
import { randomStream } from '../../datasets/random/random.ts'
import type { TrainingSet } from '../../features/backfill/training-set.ts'
import { encode, fitEncoder, minCategoryRows } from '../fit/encoder.ts'
import { defineEstimator } from '../fit/estimator.ts'
import { requireLabels } from '../fit/labels.ts'
import { finishRound } from '../fit/report.ts'
import { thresholdTrees, type ThresholdTrees } from '../trees/threshold-trees.ts'
import { fittedTrees } from './estimator.ts'

/** Most rows of a fit. More are refused, since the time of a tree grows with their square. */
const MOST_ROWS = 20_000

/** Parameters of ml-random-forest with their defaults, under the names of our own forest. */
const mlRandomForestParams = z.strictObject({
  trees: z.number().int().min(1).max(1000).default(10).describe('trees'),
  max_depth: z.number().int().min(0).default(0).describe('edges from the root to the deepest leaf; 0 no limit'),
  max_features: z
    .number()
    .positive()
    .max(1)
    .default(0.3)
    .describe('share of the features drawn, with repetition, for each tree'),
  min_samples_split: z.number().int().min(2).default(4).describe('least rows of a node that is split'),
  min_category_rows: minCategoryRows,
})

/**
 * The npm package ml-random-forest 2.1, for comparison on small data. As in our own forest, a leaf holds its share of
 * frauds and the score is the mean over the trees; the package itself counts votes. Trees are fitted one by one, each
 * as a forest of one tree with its own seed. So the fit can report progress, and the same seed gives the same trees.
 *
 * A missing number (NaN) is fitted as +Infinity. It is below no threshold, so it goes right. A category that is rare,
 * unseen or missing takes the rank of the median row, since beyond all numbers it would be among the riskiest.
 */
export const mlRandomForest = defineEstimator({
  name: 'ml-random-forest',
  description: `random forest of the npm package, for comparison on at most ${MOST_ROWS.toLocaleString('en')} rows`,
  schema: mlRandomForestParams,
  async fit(set, params, seed, report) {
    requireFewRows(set)
    requireLabels(set, 'to fit on')
    // Loaded only when needed, since it brings a matrix library of its own.
    const { RandomForestClassifier } = await import('ml-random-forest')
    const width = set.names.length
    const encoder = fitEncoder(set, { minRows: params.min_category_rows, unknown: 'median' })
    const x = encode(encoder, set.x, width, set.categorical)
    const present = x.map((value) => (Number.isNaN(value) ? Infinity : value))
    const rows = Array.from({ length: set.rows }, (_, row) => [...present.subarray(row * width, (row + 1) * width)])
    const labels = [...set.y]
    const builder = thresholdTrees()
    for (let tree = 1; tree <= params.trees; tree++) {
      const forest = new RandomForestClassifier({
        ...optionsOf(params, width),
        seed: randomStream(seed, tree).integer(2 ** 31),
      })
      forest.train(rows, labels)
      addTree(builder, forest)
      await finishRound(report, tree, params.trees)
    }
    return fittedTrees({ names: set.names, encoder, trees: builder.finish(), link: 'mean' })
  },
})

function requireFewRows({ rows }: TrainingSet): void {
  if (rows <= MOST_ROWS) return
  const [most, there] = [MOST_ROWS, rows].map((count) => count.toLocaleString('en'))
  throw new UserError(
    `Estimator "ml-random-forest" takes at most ${most} rows, and there are ${there}: ` +
      'its time grows with the square of the rows, and would be hours. ' +
      'Use --model forest, or a shorter training period (--until DATE).',
  )
}

function optionsOf(
  params: z.output<typeof mlRandomForestParams>,
  width: number,
): Omit<Partial<RandomForestBaseOptions>, 'seed'> {
  const drawn = Math.max(1, Math.round(params.max_features * width))
  return {
    // A share, not a count: the package reads 1 as all features. It rounds down, and half a feature more keeps `drawn`.
    maxFeatures: Math.min(1, (drawn + 0.5) / width),
    replacement: true,
    nEstimators: 1,
    useSampleBagging: true,
    noOOB: true,
    // The package's own threshold, a gain of 0.01, is more than any split gains where one row in a hundred is a fraud.
    treeOptions: {
      gainThreshold: 0,
      minNumSamples: params.min_samples_split - 1,
      maxDepth: params.max_depth === 0 ? Infinity : params.max_depth,
    },
  }
}

/**
 * A node of the package's model. An inner node has both sides. A leaf has the shares of the classes, or only that of
 * class 0 when it has no fraud.
 */
interface CartNode {
  left?: CartNode
  right?: CartNode
  splitColumn: number
  splitValue: number
  distribution: { to1DArray(): number[] }
}

/** The package's model of one tree. `indexes` are the columns drawn for each tree. */
interface CartForest {
  baseModel: { indexes: number[][]; estimators: { root: CartNode }[] }
}

/**
 * Copies the only tree of a fitted forest. Its columns are those drawn for the tree, and its rule is `x < value` in
 * float64.
 */
function addTree(builder: ThresholdTrees, forest: RandomForestClassifier): void {
  const { baseModel } = forest.toJSON() as object as CartForest
  const [columns] = baseModel.indexes
  const waiting = [{ id: builder.addRoot(), node: baseModel.estimators[0].root }]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { id, node } = next
    if (node.left === undefined || node.right === undefined) {
      builder.setLeaf(id, node.distribution.to1DArray()[1] ?? 0)
      continue
    }
    const left = builder.split(id, columns[node.splitColumn], below(node.splitValue))
    waiting.push({ id: left + 1, node: node.right }, { id: left, node: node.left })
  }
}

/** The greatest float32 t for which `x <= t` means `x < value` for every float32 x. */
function below(value: number): number {
  const float = Float32Array.of(value)
  if (float[0] < value) return float[0]
  const bits = new Int32Array(float.buffer)
  // The bits of a negative float rise as the number falls. The float next below +0 is the negative one nearest to 0.
  if (float[0] === 0) bits[0] = -0x7fff_ffff
  else bits[0] += float[0] > 0 ? -1 : 1
  return float[0]
}
