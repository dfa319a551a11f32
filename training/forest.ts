import { z } from 'zod'
import { randomStream, type Random } from '../datasets/random.ts'
import type { Bins } from './binning.ts'
import { partition } from './grower.ts'
import { BINS } from './histogram.ts'
import { finishRound, type Report, type Watch, watchShare } from './progress.ts'
import { type TreeBuilder, treeBuilder } from './tree-builder.ts'
import type { Trees } from './tree.ts'

/** Parameters of the random forest with their defaults, by the names the field knows. */
export const forestParams = z.strictObject({
  trees: z.number().int().min(1).max(10_000).default(100).describe('trees'),
  max_depth: z.number().int().min(0).default(0).describe('edges from the root to the deepest leaf; 0 no limit'),
  max_features: z.number().int().min(0).default(0).describe('features drawn at each split; 0 a third of all, rounded up'),
  min_samples_leaf: z.number().int().min(1).default(3).describe('least rows of a leaf, repeated draws counted'),
  watch_share: watchShare,
})
export type ForestParams = z.infer<typeof forestParams>

/**
 * Random forest (Breiman 2001): each tree on a bootstrap of the rows, at each node the best Gini split among a few features
 * drawn anew, further ones drawn while none of them parts the rows (as scikit-learn does). A leaf holds the
 * share of frauds in it; the score is the mean over the trees, summed in float32.
 *
 * Deterministic: tree t depends on the rows, the parameters, the seed and t alone.
 *
 * @throws Pruned when `report` answers false.
 */
export async function fitForest(bins: Bins, y: Uint8Array, params: ForestParams, seed: number, report: Report, watch?: Watch): Promise<Trees> {
  const builder = treeBuilder(bins.cuts)
  const growing = createGrowing(bins, params)
  const watched = watch && { sums: new Float32Array(watch.bins.rows), y: watch.y }
  for (let tree = 1; tree <= params.trees; tree++) {
    const random = randomStream(seed, tree)
    growTree(growing, builder, drawBootstrap(y, random, growing), random)
    if (watch && watched) builder.addNewest(watch.bins, watched.sums)
    await finishRound(report, tree, params.trees, watched)
  }
  return builder.finish()
}

/** What all trees of a forest share: rules and buffers. */
interface Growing {
  bins: Bins
  params: ForestParams
  drawn: number
  features: Int32Array
  scratch: Int32Array
  /** Times each row was drawn. */
  weight: Uint8Array
  genuine: Float64Array
  fraud: Float64Array
}

function createGrowing(bins: Bins, params: ForestParams): Growing {
  const count = bins.columns.length
  return {
    bins,
    params,
    drawn: Math.min(count, params.max_features === 0 ? Math.ceil(count / 3) : params.max_features),
    features: new Int32Array(count),
    scratch: new Int32Array(bins.rows),
    weight: new Uint8Array(bins.rows),
    genuine: new Float64Array(BINS),
    fraud: new Float64Array(BINS),
  }
}

/**
 * Rows of one class, each once, rising. Frauds and genuine rows are kept in lists of their own: no label is looked up
 * while counting, and the frauds, few as they are, cost next to nothing.
 */
interface Bootstrap {
  genuine: Int32Array
  fraud: Int32Array
}

function drawBootstrap(y: Uint8Array, random: Random, { weight }: Growing): Bootstrap {
  weight.fill(0)
  for (let draw = 0; draw < y.length; draw++) {
    const row = random.integer(y.length)
    // A row drawn more than 255 times would need a table of a handful of rows; it saturates instead of wrapping to 0.
    if (weight[row] < 255) weight[row]++
  }
  const rowsOf = (label: number): Int32Array => Int32Array.from(weight.keys().filter((row) => weight[row] > 0 && y[row] === label))
  return { genuine: rowsOf(0), fraud: rowsOf(1) }
}

/** Stretches of both lists that belong to a node, and their weights. */
interface Node {
  id: number
  depth: number
  genuine: [start: number, end: number]
  fraud: [start: number, end: number]
  genuines: number
  frauds: number
}

function growTree(growing: Growing, builder: TreeBuilder, rows: Bootstrap, random: Random): void {
  const { bins, params, scratch, weight } = growing
  const total = (list: Int32Array): number => list.reduce((sum, row) => sum + weight[row], 0)
  const waiting: Node[] = [
    { id: builder.addRoot(), depth: 0, genuine: [0, rows.genuine.length], fraud: [0, rows.fraud.length], genuines: total(rows.genuine), frauds: total(rows.fraud) },
  ]
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    const closed = node.genuines === 0 || node.frauds === 0 || (params.max_depth > 0 && node.depth >= params.max_depth)
    const split = closed || node.genuines + node.frauds < 2 * params.min_samples_leaf ? undefined : drawSplit(growing, rows, node, random)
    if (split === undefined) {
      builder.setLeaf(node.id, node.frauds / (node.frauds + node.genuines))
      continue
    }
    const column = bins.columns[split.feature]
    const id = builder.split(node.id, split.feature, split.cut, split.gain)
    const genuine = partition(column, split.cut, rows.genuine, node.genuine[0], node.genuine[1], scratch)
    const fraud = partition(column, split.cut, rows.fraud, node.fraud[0], node.fraud[1], scratch)
    const depth = node.depth + 1
    const { genuines, frauds } = split
    waiting.push({ id: id + 1, depth, genuine: [genuine, node.genuine[1]], fraud: [fraud, node.fraud[1]], genuines: node.genuines - genuines, frauds: node.frauds - frauds })
    waiting.push({ id, depth, genuine: [node.genuine[0], genuine], fraud: [node.fraud[0], fraud], genuines, frauds })
  }
}

/** `genuines` and `frauds` are the weights that go left. */
interface GiniSplit {
  feature: number
  cut: number
  gain: number
  genuines: number
  frauds: number
}

function drawSplit(growing: Growing, rows: Bootstrap, node: Node, random: Random): GiniSplit | undefined {
  const { features, drawn } = growing
  for (let i = 0; i < features.length; i++) features[i] = i
  const best: GiniSplit = { feature: -1, cut: 0, gain: -1, genuines: 0, frauds: 0 }
  for (let i = 0; i < features.length && (i < drawn || best.feature < 0); i++) {
    const other = i + random.integer(features.length - i)
    const feature = features[other]
    features[other] = features[i]
    features[i] = feature
    tryFeature(growing, rows, node, feature, best)
  }
  return best.feature < 0 ? undefined : best
}

/**
 * Puts the best cut of `feature` into `best` when it gains more: the fall of `weight × Gini impurity`, up to factor 2.
 * Of cuts that part the node's rows alike the middle one is taken, as in `bestSplit`.
 */
function tryFeature(growing: Growing, rows: Bootstrap, node: Node, feature: number, best: GiniSplit): void {
  const { genuine, fraud } = growing
  const [low, high] = countBins(growing, rows, node, growing.bins.columns[feature])
  const all = node.genuines + node.frauds
  const least = growing.params.min_samples_leaf
  const before = (node.frauds * node.frauds + node.genuines * node.genuines) / all
  let [genuines, frauds, last, fresh] = [0, 0, low, false]
  for (let bin = low; bin <= high; bin++) {
    if (genuine[bin] === 0 && fraud[bin] === 0) continue
    if (fresh) best.cut = (last + bin - 1) >> 1
    fresh = false
    genuines += genuine[bin]
    frauds += fraud[bin]
    last = bin
    const left = genuines + frauds
    const right = all - left
    if (right < least) break
    if (left < least) continue
    const [genuinesRight, fraudsRight] = [node.genuines - genuines, node.frauds - frauds]
    const gain = (frauds * frauds + genuines * genuines) / left + (fraudsRight * fraudsRight + genuinesRight * genuinesRight) / right - before
    if (gain <= best.gain) continue
    Object.assign(best, { feature, cut: bin, gain, genuines, frauds })
    fresh = true
  }
}

/** Weights by bin into `growing.genuine` and `growing.fraud`, valid between the lowest and the highest bin in use, which it returns. */
function countBins(growing: Growing, rows: Bootstrap, node: Node, column: Uint8Array): [low: number, high: number] {
  const { genuine, fraud, weight } = growing
  genuine.fill(0)
  fraud.fill(0)
  for (let i = node.genuine[0]; i < node.genuine[1]; i++) genuine[column[rows.genuine[i]]] += weight[rows.genuine[i]]
  for (let i = node.fraud[0]; i < node.fraud[1]; i++) fraud[column[rows.fraud[i]]] += weight[rows.fraud[i]]
  let [low, high] = [0, BINS - 1]
  while (genuine[low] === 0 && fraud[low] === 0) low++
  while (genuine[high] === 0 && fraud[high] === 0) high--
  return [low, high]
}
