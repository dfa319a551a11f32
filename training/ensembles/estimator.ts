import type { z } from 'zod'
import { UserError } from '../../configs/user-error.ts'
import { encode, fitEncoder, type CategoryRanks } from '../fit/encoder.ts'
import { defineEstimator, type Estimator, type EstimatorParts, type Params } from '../fit/estimator.ts'
import type { FittedModel } from '../fit/fitted-model.ts'
import { logisticLink, shiftedLink } from '../fit/link.ts'
import type { Report } from '../fit/report.ts'
import { fittedShift } from '../fit/shift.ts'
import { partWatched, type WatchParams } from '../fit/watched-rows.ts'
import { binTraining, binWith, type Bins } from '../growing/binning.ts'
import { createArena } from '../kernel/arena.ts'
import { openCrew, threadsFor } from '../kernel/crew.ts'
import { treeGraph } from '../trees/graph.ts'
import type { TreeModel } from '../trees/model.ts'
import { treeScorer } from '../trees/scorer.ts'
import { gainImportance, type Trees } from '../trees/tree.ts'
import { boostingByFeature, boostingParams, fitBoosting } from './boosting.ts'
import type { FitOptions } from './fit-options.ts'
import { fitForest, forestParams } from './forest.ts'

/** A fitted ensemble that shows its trees. */
export interface FittedTrees extends FittedModel {
  encoder: CategoryRanks[]
  trees: Trees
  /**
   * How the leaves of a row combine. `sum`: log-odds that add up. `mean`: shares of fraud, or exponents of an isolation
   * forest, of which the mean counts.
   */
  leaves: 'sum' | 'mean'
}

/** Parameters that all estimators of trees on binned rows have. */
type TreeParams = WatchParams & { threads: number; min_category_rows: number }

/** How an estimator fits trees on binned rows, and how the sum of their leaves becomes a score. */
interface TreeTrainer<P> {
  fitTrees(bins: Bins, y: Uint8Array, params: P, seed: number, report: Report, options?: FitOptions): Promise<Trees>
  link: TreeModel['link']
}

export const boosting = treeEstimator(
  {
    name: 'boosting',
    description: 'gradient boosting of trees on the logistic loss',
    schema: boostingParams,
    byFeature: boostingByFeature,
  },
  { fitTrees: fitBoosting, link: 'logistic' },
)
export const forest = treeEstimator(
  { name: 'forest', description: 'random forest of Gini trees', schema: forestParams },
  { fitTrees: fitForest, link: 'mean' },
)

function treeEstimator<S extends z.ZodObject>(
  parts: Omit<EstimatorParts<S, FittedTrees>, 'fit'>,
  { fitTrees, link }: TreeTrainer<z.output<S>>,
): Estimator<FittedTrees> {
  return defineEstimator({
    ...parts,
    async fit(set, params, seed, report, base) {
      const { fitted, watched } = partWatched(set, params as TreeParams)
      if (base !== undefined) requireFit(base, set.names, link)
      const { threads, min_category_rows: minRows } = params as TreeParams
      const encoder = base?.encoder ?? fitEncoder(fitted, { minRows, unknown: 'missing' })
      const width = set.names.length
      const encoded = (rows: Float32Array): Float32Array => encode(encoder, rows, width, set.categorical)
      const [x, later] = [encoded(fitted.x), watched && encoded(watched.x)]
      const arena = createArena()
      // Opened before the rows are binned, so that the threads start meanwhile.
      await using crew = await openCrew(arena, threadsFor(threads, fitted.rows), 'compiled')
      const bins = binTraining(x, width, fitted.y, arena, crew)
      const watch = watched && later && { bins: binWith(bins, later, watched.rows, crew), y: watched.y }
      const start = base && (await startFrom(base.trees, width, x, later))
      const trees = await fitTrees(bins, fitted.y, params, seed, report, {
        crew,
        names: set.names,
        ...(watch && { watch }),
        ...(start && { start }),
      })
      const model = await fittedTrees({ names: set.names, encoder, trees, link })
      const { scale_pos_weight: weight = 1 } = params as Partial<Params>
      return {
        ...model,
        ...(weight === 1 ? {} : { link: shiftedLink(fittedShift(model.margins(fitted.x, set.categorical), fitted.y)) }),
        gain: gainImportance(trees, width),
      }
    },
  })
}

/** @throws UserError when the fit cannot go on from `base`. */
function requireFit(base: FittedTrees, names: string[], link: TreeModel['link']): void {
  if (base.leaves !== leavesOf(link)) {
    throw new UserError(
      'The model to continue is of another estimator: its leaves mean something else. Fit without it.',
    )
  }
  if (base.names.join() === names.join()) return
  const [read, given] = [base.names, names].map((some) => some.join(', '))
  throw new UserError(
    `The model to continue reads other features: ${read}; the training set has ${given}. Fit without it.`,
  )
}

/** Trees to continue, with their sums over the rows to fit on and over the rows to watch. */
async function startFrom(
  trees: Trees,
  width: number,
  x: Float32Array,
  later: Float32Array | undefined,
): Promise<FitOptions['start']> {
  const score = await treeScorer(trees, width)
  return { trees, sums: score(x), ...(later && { watched: score(later) }) }
}

/** The fitted model of `model`'s trees, which scores and exports them. */
export async function fittedTrees(model: TreeModel): Promise<FittedTrees> {
  const { names, encoder, trees, link } = model
  const score = await treeScorer(trees, names.length)
  return {
    names,
    encoder,
    trees,
    leaves: leavesOf(link),
    categorical: encoder,
    margins(x, categorical = []) {
      const sums = score(encode(encoder, x, names.length, categorical))
      return link === 'mean' ? sums.map((sum) => sum / trees.roots.length) : sums
    },
    graph: (output) => treeGraph(model, output),
    ...(link === 'logistic' ? { link: logisticLink } : {}),
  }
}

function leavesOf(link: TreeModel['link']): FittedTrees['leaves'] {
  return link === 'mean' ? 'mean' : 'sum'
}
