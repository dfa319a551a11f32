import type { CategoryRanks } from '../fit/encoder.ts'
import type { Trees } from './tree.ts'

/** A fitted ensemble: all that ONNX export needs. */
export interface TreeModel {
  /** Columns of the matrix it reads, in order. */
  names: string[]
  encoder: CategoryRanks[]
  trees: Trees
  /** From the sum of leaves to the score: `logistic` 1 / (1 + exp(−sum)), `mean` sum / trees. */
  link: 'logistic' | 'mean'
}
