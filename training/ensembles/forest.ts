import { z } from 'zod'
import { randomStream } from '../../datasets/random/random.ts'
import { minCategoryRows } from '../fit/encoder.ts'
import { finishRound, type Report } from '../fit/report.ts'
import { watchShare } from '../fit/watched-rows.ts'
import type { Bins } from '../growing/binning.ts'
import { packRows } from '../growing/histogram.ts'
import { drawBootstrap, drawRoom, poissonTimes } from '../growing/row-draw.ts'
import { addTree } from '../growing/tree-sums.ts'
import type { Crew } from '../kernel/crew.ts'
import { type KernelKind, kernelModule } from '../kernel/module.ts'
import { watchedPrecision, type WatchedSums } from '../metrics/watched.ts'
import { joinTrees, type Trees } from '../trees/tree.ts'
import { leaseCrew } from './crew-lease.ts'
import { type FitOptions, threads, type Watch } from './fit-options.ts'
import { growForest } from './forest-crew.ts'
import { forestBuffers, type ForestTask } from './forest-tree.ts'

/** Parameters of the random forest with their defaults, under the names common in the field. */
export const forestParams = z.strictObject({
  trees: z.number().int().min(1).max(10_000).default(100).describe('trees'),
  max_depth: z.number().int().min(0).default(0).describe('edges from the root to the deepest leaf; 0 no limit'),
  max_features: z
    .number()
    .int()
    .min(0)
    .default(0)
    .describe('features drawn at each split; 0 a third of all, rounded up'),
  min_samples_leaf: z.number().int().min(1).default(3).describe('least rows of a leaf, repeated draws counted'),
  oob: z
    .number()
    .int()
    .min(0)
    .max(1)
    .default(0)
    .describe(
      '1: report the average precision of each row by the trees that did not draw it; ' +
        'costs a scoring of the rows a tree',
    ),
  min_category_rows: minCategoryRows,
  watch_share: watchShare,
  threads,
})
export type ForestParams = z.infer<typeof forestParams>

/**
 * Random forest (Breiman 2001). Each tree is grown on a bootstrap of the rows. Each node takes the best Gini split
 * among a few features drawn anew; as in scikit-learn, more are drawn while none of them separates the rows. A leaf
 * holds its share of frauds; the score is the mean over the trees, summed in float32.
 *
 * With `oob` and no watched rows, `report` gets the out-of-bag average precision. After the last tree that is the value
 * of the whole forest, or, when it continues another forest, of its own trees only.
 *
 * Deterministic: tree t depends only on the rows, the parameters, the seed and t, whichever thread grows it.
 *
 * @throws Pruned when `report` answers false.
 */
export async function fitForest(
  bins: Bins,
  y: Uint8Array,
  params: ForestParams,
  seed: number,
  report: Report,
  options: FitOptions = {},
): Promise<Trees> {
  const { arena, rows } = bins
  const { start, kernel = 'compiled' } = options
  using _room = arena.scope()
  await using lease = await leaseCrew(options, arena, params.threads, rows)
  const { crew } = lease
  const tasks = await forestTasks(bins, y, params, seed, crew, kernel)
  const judged = judgedRows(bins, tasks[0], params, crew, options)
  const before = start?.trees.roots.length ?? 0
  const trees: Trees[] = []
  for await (const tree of growForest(crew, tasks, before + 1, before + params.trees)) {
    trees.push(tree)
    const value = watchedPrecision(judged?.add(tree, before + trees.length))
    await finishRound(report, trees.length, params.trees, value)
  }
  return joinTrees(start === undefined ? trees : [start.trees, ...trees])
}

/** One task for each thread of the crew. They share the rows and have buffers of their own. */
async function forestTasks(
  bins: Bins,
  y: Uint8Array,
  params: ForestParams,
  seed: number,
  crew: Crew,
  kernel: KernelKind,
): Promise<ForestTask[]> {
  const { arena, cuts, columns, rows } = bins
  const labels = arena.bytes(rows)
  labels.set(y)
  const packed = packRows(bins, crew)
  const shared = {
    module: await kernelModule(kernel),
    memory: arena.memory,
    cuts,
    columns,
    packed,
    y: labels,
    times: poissonTimes(arena),
    params,
    seed,
  }
  return Array.from({ length: crew.threads }, () => ({ ...shared, ...forestBuffers(bins, packed) }))
}

/** Rows whose scores are followed as the forest grows. */
interface Judged {
  /** Adds tree number `tree`. Returns sums that rank the rows, and the labels of those rows. */
  add(trees: Trees, tree: number): WatchedSums
}

/** The watched rows if there are any, else the out-of-bag rows if `oob` asks for them. */
function judgedRows(
  bins: Bins,
  task: ForestTask,
  params: ForestParams,
  crew: Crew,
  { watch, start }: FitOptions,
): Judged | undefined {
  if (watch !== undefined) return watchRows(crew, watch, start?.watched)
  return params.oob === 1 ? outOfBag(crew, bins, task) : undefined
}

function watchRows(crew: Crew, { bins, y }: Watch, before?: Float32Array): Judged {
  const sums = bins.arena.floats(bins.rows)
  if (before !== undefined) sums.set(before)
  return {
    add(trees) {
      addTree(crew, bins, trees, undefined, sums)
      return { sums, y }
    },
  }
}

/**
 * Scores each row by the mean of the trees whose bootstrap left it out. Rows that every tree has drawn are not judged.
 */
function outOfBag(crew: Crew, bins: Bins, { y, times, seed }: Pick<ForestTask, 'y' | 'times' | 'seed'>): Judged {
  const { arena, rows } = bins
  const [pairs, left, votes] = [arena.ints(2 * rows), arena.ints(rows), arena.floats(rows)]
  const draw = { ...drawRoom(arena, arena.ints(Math.ceil(rows / 2))), y, times, pairs }
  const trees = new Float64Array(rows)
  return {
    add(newest, tree) {
      // Draws the bootstrap of this tree again: it is the first thing the tree's own random stream was used for.
      drawBootstrap(crew.kernel, randomStream(seed, tree), draw, left)
      let count = 0
      for (let row = 0; row < rows; row++) {
        if (pairs[2 * row] > 0) continue
        left[count++] = row
        trees[row]++
      }
      addTree(crew, bins, newest, left.subarray(0, count), votes)
      const judged = Int32Array.from(trees.keys().filter((row) => trees[row] > 0))
      return {
        sums: Float32Array.from(judged, (row) => votes[row] / trees[row]),
        y: Uint8Array.from(judged, (row) => y[row]),
      }
    },
  }
}
