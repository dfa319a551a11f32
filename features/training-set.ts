import type { KeyColumn } from '../datasets/transaction.ts'

/**
 * What a model is fitted on and judged on: features as the model reads them, in log order.
 *
 * `x` is row-major, `rows × names.length`, float32: the same cast the scorer applies, so a threshold in a tree is the
 * threshold in ONNX. `y` is 0 or 1.
 */
export interface TrainingSet {
  names: string[]
  /** Columns of `x` that hold category codes (`features/category.ts`), by index; all others are numbers. */
  categorical: number[]
  rows: number
  x: Float32Array
  y: Uint8Array
  /** Event time, EpochMs, not falling. */
  time: Float64Array
  ids: KeyColumn
  /** Join key of the entity whose alerts are counted (the card), for precision@k; undefined when the dataset has none. */
  cards?: KeyColumn
}
