import type { z } from 'zod'
import { binTraining, binWith, type Bins } from './binning.ts'
import { boostingParams, fitBoosting } from './boosting.ts'
import { encode, fitEncoder, type CategoryRanks } from './encoder.ts'
import { defineEstimator, partWatched, type Estimator } from './estimator.ts'
import type { FittedModel } from './fitted-model.ts'
import { fitForest, forestParams } from './forest.ts'
import { logisticLink } from './link.ts'
import { treeGraph } from './onnx.ts'
import type { Report, Watch } from './progress.ts'
import { treeMargins, type TreeModel } from './tree-model.ts'
import type { Trees } from './tree.ts'

/** A fitted ensemble with its trees in sight. */
export interface FittedTrees extends FittedModel {
  encoder: CategoryRanks[]
  trees: Trees
}

type TreeParams = { watch_share: number; early_stopping_rounds?: number }
type FitTrees<P> = (bins: Bins, y: Uint8Array, params: P, seed: number, report: Report, watch?: Watch) => Promise<Trees>

export const boosting = treeEstimator('boosting', 'gradient boosting of trees on the logistic loss', boostingParams, 'logistic', fitBoosting)
export const forest = treeEstimator('forest', 'random forest of Gini trees', forestParams, 'mean', fitForest)

function treeEstimator<S extends z.ZodObject>(
  name: string,
  description: string,
  schema: S,
  link: TreeModel['link'],
  fitTrees: FitTrees<z.output<S>>,
): Estimator<FittedTrees> {
  return defineEstimator({
    name,
    description,
    schema,
    async fit(set, params, seed, report) {
      const { fitted, watched } = partWatched(set, params as TreeParams)
      const encoder = fitEncoder(fitted)
      const width = set.names.length
      const bins = binTraining(encode(encoder, fitted.x, width), width, fitted.y)
      const watch = watched && { bins: binWith(bins.cuts, encode(encoder, watched.x, width), watched.rows), y: watched.y }
      const trees = await fitTrees(bins, fitted.y, params, seed, report, watch)
      return fittedTrees({ names: set.names, encoder, trees, link })
    },
  })
}

/** A model that reads as its trees say. */
export function fittedTrees(model: TreeModel): FittedTrees {
  const { names, encoder, trees, link } = model
  return {
    names,
    encoder,
    trees,
    margins: (x) => treeMargins(model, x),
    graph: (output) => treeGraph(model, output),
    ...(link === 'logistic' ? { link: logisticLink } : {}),
  }
}
