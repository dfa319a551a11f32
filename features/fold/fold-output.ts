import type { IdHashes } from './id-hash.ts'

/** What a fold writes: features, row-major, and flags by row. */
export interface FoldOutput {
  values: Float64Array
  /** 1 where the transaction came later than the allowed lateness. */
  late: Uint8Array
  /** The bits of the views that lack events here which a full ring has pushed out. */
  truncated: Uint32Array
}

/** Where in the output a view writes: its first column of `stride`, and its bit. */
export interface FoldPlace {
  column: number
  stride: number
  bit: number
  /** Where the batch's rows stand in the log (`packPlace`). Undefined: not there, as of history. */
  places?: Float64Array | undefined
  /** The ids of the batch's rows. Absent: the view looks for itself, if it keeps any. */
  hashes?: IdHashes
}

/**
 * Features of the transactions of one batch, row-major `rows × names.length`, in log order. Arrays may be longer than
 * that, and the next call reuses them.
 */
export interface FeatureMatrix extends FoldOutput {
  rows: number
}

/** A matrix with room for so many rows of `width` features. */
export function featureMatrix(rows = 0, width = 0): FeatureMatrix {
  return {
    rows,
    values: new Float64Array(rows * width),
    late: new Uint8Array(rows),
    truncated: new Uint32Array(rows),
  }
}

/** Takes all rows but the given ones, which rise, out of a matrix of `width` features, in place. */
export function keepRows(matrix: FeatureMatrix, width: number, rows: readonly number[]): void {
  const { values, late, truncated } = matrix
  for (const [to, from] of rows.entries()) {
    values.copyWithin(to * width, from * width, (from + 1) * width)
    late[to] = late[from]
    truncated[to] = truncated[from]
  }
  matrix.rows = rows.length
}
