import type { CategoryRanks } from '../fit/encoder.ts'
import type { Trees } from './tree.ts'

/** A fitted ensemble, with all that ONNX export needs. */
export interface TreeModel {
  /** Columns of the matrix it reads, in order. */
  names: string[]
  encoder: CategoryRanks[]
  trees: Trees
  /** How the sum of leaves becomes the score: `logistic` 1 / (1 + exp(−sum)), `mean` sum / trees. */
  link: 'logistic' | 'mean'
}
