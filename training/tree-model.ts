import { encode, type CategoryRanks } from './encoder.ts'
import { treeScores, type Trees } from './tree.ts'

/** A fitted ensemble: all that ONNX export needs. */
export interface TreeModel {
  /** Columns of the matrix it reads, in order. */
  names: string[]
  encoder: CategoryRanks[]
  trees: Trees
  /** From the sum of leaves to the score: `logistic` 1 / (1 + exp(−sum)), `mean` sum / trees. */
  link: 'logistic' | 'mean'
}

/** Sum of the trees' leaves, or their mean, for the rows of `x` (row-major, `names.length` wide). */
export function treeMargins(model: TreeModel, x: Float32Array): Float32Array {
  const sums = treeScores(model.trees, encode(model.encoder, x, model.names.length), model.names.length)
  const trees = model.trees.roots.length
  return model.link === 'mean' ? sums.map((sum) => sum / trees) : sums
}
