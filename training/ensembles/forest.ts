import { z } from 'zod'
import { randomStream } from '../../datasets/random/random.ts'
import { type FitOptions, finishRound, type Report, threads, type Watch, watchShare } from '../fit/report.ts'
import type { Bins } from '../growing/binning.ts'
import { packRows } from '../growing/histogram.ts'
import { drawBootstrap, drawRoom, poissonTimes } from '../growing/row-draw.ts'
import { addTree } from '../growing/tree-sums.ts'
import { type Crew, openCrew, threadsFor } from '../kernel/crew.ts'
import { kernelModule } from '../kernel/module.ts'
import { joinTrees, type Trees } from '../trees/tree.ts'
import { growForest } from './forest-crew.ts'
import { forestBuffers, type ForestTask } from './forest-tree.ts'

/** Parameters of the random forest with their defaults, by the names the field knows. */
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
      '1: report the average precision of each row by the trees that did not draw it; costs a scoring of the rows a tree',
    ),
  watch_share: watchShare,
  threads,
})
export type ForestParams = z.infer<typeof forestParams>

/**
 * Random forest (Breiman 2001): each tree on a bootstrap of the rows, at each node the best Gini split among a few features
 * drawn anew, further ones drawn while none of them parts the rows (as scikit-learn does). A leaf holds the
 * share of frauds in it; the score is the mean over the trees, summed in float32.
 *
 * With `oob` and no watched rows `report` is told the out-of-bag average precision, after the last tree that of the forest
 * (of its own trees, when it continues another).
 *
 * Deterministic: tree t depends on the rows, the parameters, the seed and t alone, whichever thread grows it.
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
  const { arena, cuts, columns, rows } = bins
  using _room = arena.scope()
  const kind = options.kernel ?? 'compiled'
  await using own =
    options.crew === undefined ? await openCrew(arena, threadsFor(params.threads, rows), kind) : undefined
  const crew = options.crew ?? (own as Crew)
  const labels = arena.bytes(rows)
  labels.set(y)
  const packed = packRows(bins, crew)
  const shared = {
    module: await kernelModule(kind),
    memory: arena.memory,
    cuts,
    columns,
    packed,
    y: labels,
    times: poissonTimes(arena),
    params,
    seed,
  }
  const tasks = Array.from({ length: crew.threads }, (): ForestTask => ({ ...shared, ...forestBuffers(bins, packed) }))
  const judged =
    options.watch !== undefined
      ? watchRows(crew, options.watch, options.start?.watched)
      : params.oob === 1
        ? outOfBag(crew, bins, tasks[0], seed)
        : undefined
  const before = options.start?.trees.roots.length ?? 0
  const trees: Trees[] = []
  for await (const tree of growForest(crew, tasks, before + 1, before + params.trees)) {
    trees.push(tree)
    await finishRound(report, trees.length, params.trees, judged?.add(tree, before + trees.length))
  }
  return joinTrees(options.start === undefined ? trees : [options.start.trees, ...trees])
}

/** Rows whose scores are followed as the forest grows. */
interface Judged {
  /** Adds tree number `tree`; returns sums that rank the rows, and their labels. */
  add(trees: Trees, tree: number): { sums: Float32Array; y: Uint8Array }
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

/** Each row by the mean of the trees whose bootstrap left it out; rows that all have drawn are not judged. */
function outOfBag(crew: Crew, bins: Bins, { y, times }: Pick<ForestTask, 'y' | 'times'>, seed: number): Judged {
  const { arena, rows } = bins
  const [pairs, left, votes] = [arena.ints(2 * rows), arena.ints(rows), arena.floats(rows)]
  const draw = { ...drawRoom(arena, arena.ints(Math.ceil(rows / 2))), y, times, pairs }
  const trees = new Float64Array(rows)
  return {
    add(newest, tree) {
      // The bootstrap is drawn again: it follows from the seed and the number of the tree, whose first draws it was.
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
