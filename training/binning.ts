/** Cuts of all rows and of the rarer class, a feature. Together with the missing cut they leave every bin within a byte. */
const CUTS_OF_ALL = 154
const CUTS_OF_FRAUD = 100
/** Quantiles of more values than this are taken from every k-th row: their error is far below the width of a bin. */
const QUANTILE_ROWS = 1 << 18

/**
 * A feature matrix as bytes. `columns[f][row]` is the bin of feature f: the number of cuts below the value, so that
 * `bin <= b` says exactly `x <= cuts[f][b]` in float32, and a split found on bins is the split served.
 *
 * Missing (NaN) is the bin after the last cut: it never satisfies `x <= t` and goes right at every split, in training, in
 * `treeScores` and in ONNX (the false branch). A feature with missing values in training has the last cut Infinity, so that
 * a split may part the missing from all numbers. A constant feature has no cut and never splits.
 */
export interface Bins {
  rows: number
  /** Per feature: rising float32 thresholds, at most 255. */
  cuts: Float32Array[]
  columns: Uint8Array[]
}

/** Bins `rows` of the row-major matrix `x` (`rows × features`) with cuts found on the same rows. `y` is 0 or 1. */
export function binTraining(x: Float32Array, features: number, y: Uint8Array): Bins {
  const rows = y.length
  const cuts: Float32Array[] = []
  const columns: Uint8Array[] = []
  for (let feature = 0; feature < features; feature++) {
    const values = columnOf(x, features, feature, rows)
    cuts.push(findCuts(values, y))
    columns.push(assignBins(values, cuts[feature]))
  }
  return { rows, cuts, columns }
}

/** Bins other rows with the cuts of a training set. */
export function binWith(cuts: Float32Array[], x: Float32Array, rows: number): Bins {
  return { rows, cuts, columns: cuts.map((own, feature) => assignBins(columnOf(x, cuts.length, feature, rows), own)) }
}

function columnOf(x: Float32Array, features: number, feature: number, rows: number): Float32Array {
  const values = new Float32Array(rows)
  for (let row = 0, at = feature; row < rows; row++, at += features) values[row] = x[at]
  return values
}

/**
 * Class-balanced cuts: every boundary between distinct values when they fit, else quantiles of all rows together with
 * quantiles of the frauds alone. Frauds are so few that ordinary quantiles put most of them into one or two bins in the
 * tail, where a tree has to tell them apart.
 */
export function findCuts(values: Float32Array, y: Uint8Array): Float32Array {
  const present = values.filter((value) => !Number.isNaN(value))
  const missing = present.length < values.length ? [Infinity] : []
  const stride = Math.max(1, Math.ceil(present.length / QUANTILE_ROWS))
  const sorted = (stride === 1 ? present : present.filter((_, i) => i % stride === 0)).sort()
  const frauds = values.filter((value, row) => y[row] === 1 && !Number.isNaN(value)).sort()
  const boundaries = distinct(sorted)
  const cuts =
    stride === 1 && boundaries.length <= CUTS_OF_ALL + CUTS_OF_FRAUD
      ? boundaries
      : mergeCuts(quantiles(sorted, CUTS_OF_ALL), quantiles(frauds, CUTS_OF_FRAUD))
  return Float32Array.from([...cuts, ...missing])
}

/** Thresholds between adjacent distinct values; gives up (one too many) when they are more than cuts allowed. */
function distinct(sorted: Float32Array): number[] {
  const cuts: number[] = []
  for (let i = 1; i < sorted.length && cuts.length <= CUTS_OF_ALL + CUTS_OF_FRAUD; i++) {
    if (sorted[i] !== sorted[i - 1]) cuts.push(between(sorted[i - 1], sorted[i]))
  }
  return cuts
}

/** At most `count` thresholds that part the sorted values into groups of about equal size; values that tie stay together. */
function quantiles(sorted: Float32Array, count: number): number[] {
  const cuts: number[] = []
  for (let cut = 1; cut <= count; cut++) {
    const at = Math.floor((cut * sorted.length) / (count + 1))
    if (at > 0 && sorted[at - 1] !== sorted[at]) cuts.push(between(sorted[at - 1], sorted[at]))
    else if (at > 0) cuts.push(...afterTie(sorted, at))
  }
  return [...new Set(cuts)]
}

/** The threshold after the run of equal values that holds index `at`; none when the run is the last. */
function afterTie(sorted: Float32Array, at: number): number[] {
  let [low, high] = [at, sorted.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (sorted[middle] > sorted[at]) high = middle
    else low = middle + 1
  }
  return low < sorted.length ? [between(sorted[at], sorted[low])] : []
}

function mergeCuts(all: number[], frauds: number[]): number[] {
  return [...new Set([...all, ...frauds])].sort((a, b) => a - b)
}

/** A float32 t with `low <= t < high`: the midpoint where it can be represented, else `low`. Never −0, whose bits sort before 0. */
function between(low: number, high: number): number {
  const middle = Math.fround(low / 2 + high / 2)
  return (middle >= low && middle < high ? middle : low) + 0
}

/**
 * The bin of each value. A table over the upper half of the float's bits says where to start, and a short scan ends the
 * search: about three times as fast as bisection, whose branches on real data are coin tosses.
 */
export function assignBins(values: Float32Array, cuts: Float32Array): Uint8Array {
  const bins = new Uint8Array(values.length)
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  const start = startTable(cuts)
  const last = cuts.length
  for (let row = 0; row < values.length; row++) {
    const value = values[row]
    if (value !== value) {
      bins[row] = last
      continue
    }
    let bin = start[bits[row] >>> 16]
    while (bin < last && value > cuts[bin]) bin++
    bins[row] = bin
  }
  return bins
}

/** By the upper 16 bits of a float32: how many cuts have an upper half that sorts lower, and so lie below the value. */
function startTable(cuts: Float32Array): Uint8Array {
  const cutBits = new Uint32Array(cuts.slice().buffer)
  const start = new Uint8Array(1 << 16)
  let below = 0
  for (let order = 0; order < 1 << 16; order++) {
    // Floats sort like their bits when the sign is set right: negative ones run backwards, below the positive ones.
    const upper = order < 1 << 15 ? 0xffff - order : order - (1 << 15)
    while (below < cuts.length && orderOf(cutBits[below] >>> 16) < order) below++
    start[upper] = below
  }
  return start
}

function orderOf(upper: number): number {
  return upper >= 1 << 15 ? 0xffff - upper : upper + (1 << 15)
}
