/** Which columns an entity's events have, besides the time. A view stores only what it reads. */
export interface RingColumns {
  amount: boolean
  /** Fraud flag and id hash, by which a fraud label finds its transaction. */
  label: boolean
  /** The whole id, by which a transaction that comes twice is found. */
  id: boolean
  /** Numeric columns of the dataset, by name. */
  numbers?: readonly string[]
  /** Categorical columns and entities, by name, whose values are kept as codes. */
  values?: readonly string[]
}

/** The dataset's own columns that a ring keeps, of the batch that is folded, and the row at hand. */
export interface RowColumns {
  row: number
  /** In the order of `RingColumns.numbers`. */
  numbers: readonly Float64Array[]
  /** 10^decimals of each, 0 for one that declares none. */
  scales: Float64Array
  /** Codes by the ring's dictionaries, in the order of `RingColumns.values`. */
  codes: readonly Uint32Array[]
}

/** The columns of a ring that keeps none of the dataset's own. */
export const NO_COLUMNS: RowColumns = { row: 0, numbers: [], scales: new Float64Array(0), codes: [] }
