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
}
