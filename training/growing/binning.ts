import { type Arena, createArena } from '../kernel/arena.ts'
import { type Crew, soloCrew } from '../kernel/crew.ts'
import { sortFloats } from '../kernel/float-sort.ts'
import { twinKernel } from '../kernel/twin.ts'

/** The bin of a missing value (NaN), above all bins of numbers. */
export const MISSING = 255
/**
 * Most cuts of a feature, from all rows and from the frauds. In a byte they leave room for the bin of missing values.
 */
const CUTS_OF_ALL = 154
const CUTS_OF_FRAUD = 100
/** Of more values than this, quantiles are taken from every k-th one. Their error is far below the width of a bin. */
const QUANTILE_ROWS = 1 << 17
/** Columns that are read from the matrix in one pass. */
const READ_TOGETHER = 8
/** Rows that are read of one column before the next, so that they stay in the cache. */
const ROWS_TOGETHER = 1024

/**
 * A feature matrix as bytes. `columns[f][row]` is the bin of feature f: the number of cuts below the value. So
 * `bin <= b` is exactly `x <= cuts[f][b]` in float32, and a split found on bins is the split that is served. NaN has
 * bin 255 and goes where the split says. A constant feature has no cut; a split on it can only separate its missing
 * values from the others.
 */
export interface Bins {
  rows: number
  /** Per feature: rising float32 thresholds, at most 254. */
  cuts: Float32Array[]
  /** Arrays of `arena`. */
  columns: Uint8Array[]
  arena: Arena
}

/**
 * Bins the row-major matrix `x` (`rows × features`) with cuts found on the same rows. `y` is 0 or 1. `crew` works in
 * `arena`; without one, the calling thread does all.
 */
export function binTraining(
  x: Float32Array,
  features: number,
  y: Uint8Array,
  arena = createArena(),
  crew = plainCrew(arena),
): Bins {
  const bins: Bins = { rows: y.length, cuts: [], columns: columnsOf(arena, y.length, features), arena }
  const frauds = rowsOfFraud(y)
  const room = cutRoom(y.length, frauds.length)
  eachColumn(bins, x, (values, feature, missing) => {
    bins.cuts.push(findCuts(values, frauds, missing, room))
    assignBins(bins, feature, values, crew)
  })
  return bins
}

/** Bins other rows with the cuts of a training set, in its arena. */
export function binWith({ cuts, arena }: Bins, x: Float32Array, rows: number, crew = plainCrew(arena)): Bins {
  const bins: Bins = { rows, cuts, columns: columnsOf(arena, rows, cuts.length), arena }
  eachColumn(bins, x, (values, feature) => assignBins(bins, feature, values, crew))
  return bins
}

function rowsOfFraud(y: Uint8Array): Int32Array {
  const rows: number[] = []
  for (let row = 0; row < y.length; row++) if (y[row] === 1) rows.push(row)
  return Int32Array.from(rows)
}

function plainCrew({ memory }: Arena): Crew {
  return soloCrew(twinKernel(memory))
}

function columnsOf(arena: Arena, rows: number, features: number): Uint8Array[] {
  return Array.from({ length: features }, () => arena.bytes(rows))
}

/** Uses the values of one column, which lie in the arena until it returns. `missing` is how many of them are NaN. */
type UseColumn = (values: Float32Array, feature: number, missing: number) => void

/**
 * Calls `use` with the columns of the row-major matrix `x`, one after the other. Some are read together, since a
 * cache line of the matrix holds values of many.
 */
function eachColumn({ arena, columns, rows }: Bins, x: Float32Array, use: UseColumn): void {
  using _room = arena.scope()
  const features = columns.length
  const together = Array.from({ length: Math.min(features, READ_TOGETHER) }, () => arena.floats(rows))
  for (let first = 0; first < features; first += READ_TOGETHER) {
    const some = together.slice(0, features - first)
    const missing = new Int32Array(some.length)
    for (let from = 0; from < rows; from += ROWS_TOGETHER) {
      const to = Math.min(from + ROWS_TOGETHER, rows)
      some.forEach((values, i) => {
        let absent = 0
        for (let row = from, at = from * features + first + i; row < to; row++, at += features) {
          const value = x[at]
          values[row] = value
          absent += value === value ? 0 : 1
        }
        missing[i] += absent
      })
    }
    some.forEach((values, i) => use(values, first + i, missing[i]))
  }
}

/**
 * Class-balanced cuts, rising: every boundary between distinct values when they fit, else quantiles of all rows
 * together with quantiles of the frauds alone. Frauds are so few that ordinary quantiles put most of them into one or
 * two bins in the tail, where a tree has to tell them apart.
 *
 * `frauds` holds row numbers; `missing` is how many of the values are NaN.
 */
export function findCuts(
  values: Float32Array,
  frauds: Int32Array,
  missing: number,
  room = cutRoom(values.length, frauds.length),
): Float32Array {
  const { every, sample } = sampleOf(values, missing, room)
  const sorted = sortFloats(sample, room.scratch)
  const boundaries = every === 1 ? distinct(sorted) : undefined
  if (boundaries !== undefined) return Float32Array.from(boundaries)
  const ofAll = quantiles(sorted, CUTS_OF_ALL)
  const ofFrauds = sortFloats(presentOf(values, frauds, room.sample), room.scratch)
  return Float32Array.from(mergeCuts(ofAll, quantiles(ofFrauds, CUTS_OF_FRAUD)))
}

/**
 * Where values are sorted. It is shared by all columns: arrays for each would leave more garbage than the bins take.
 */
interface CutRoom {
  sample: Float32Array
  scratch: Uint32Array
}

function cutRoom(rows: number, frauds: number): CutRoom {
  // Of all rows only a sample is sorted, of the frauds every one.
  const most = Math.min(rows, Math.max(QUANTILE_ROWS, frauds))
  return { sample: new Float32Array(most), scratch: new Uint32Array(most) }
}

/** The values of some rows, without missing ones, in the front of `into`. */
function presentOf(values: Float32Array, rows: Int32Array, into: Float32Array): Float32Array {
  let present = 0
  for (const row of rows) if (values[row] === values[row]) into[present++] = values[row]
  return into.subarray(0, present)
}

/** Every k-th of the values, without missing ones, so that they are not too many; `every` is k. */
function sampleOf(values: Float32Array, missing: number, room: CutRoom): { every: number; sample: Float32Array } {
  const present = values.length - missing
  const every = Math.max(1, Math.ceil(present / QUANTILE_ROWS))
  const sample = room.sample.subarray(0, Math.ceil(present / every))
  if (missing === 0) {
    for (let i = 0; i < sample.length; i++) sample[i] = values[i * every]
    return { every, sample }
  }
  for (let row = 0, seen = 0, sampled = 0; row < values.length; row++) {
    const value = values[row]
    if (value === value && seen++ === sampled * every) sample[sampled++] = value
  }
  return { every, sample }
}

/** Thresholds between adjacent distinct values; undefined when there are more than fit. */
function distinct(sorted: Float32Array): number[] | undefined {
  const cuts: number[] = []
  for (let i = 1; i < sorted.length; i++) {
    if (sorted[i] === sorted[i - 1]) continue
    if (cuts.length === CUTS_OF_ALL + CUTS_OF_FRAUD) return undefined
    cuts.push(between(sorted[i - 1], sorted[i]))
  }
  return cuts
}

/**
 * At most `count` thresholds that divide the sorted values into groups of about equal size. Equal values stay
 * together.
 */
function quantiles(sorted: Float32Array, count: number): number[] {
  const cuts: number[] = []
  for (let cut = 1; cut <= count; cut++) {
    const at = Math.floor((cut * sorted.length) / (count + 1))
    if (at > 0 && sorted[at - 1] !== sorted[at]) cuts.push(between(sorted[at - 1], sorted[at]))
    else if (at > 0) cuts.push(...afterTie(sorted, at))
  }
  return [...new Set(cuts)]
}

/** The threshold after the run of equal values at index `at`; none when the run is the last. */
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

/**
 * A float32 t with `low <= t < high`: the midpoint where float32 has one, else `low`. It is never −0, whose bits sort
 * before those of 0.
 */
function between(low: number, high: number): number {
  const middle = Math.fround(low / 2 + high / 2)
  return (middle >= low && middle < high ? middle : low) + 0
}

/**
 * Writes the bins of one column. A table says where to start by the upper half of a float's bits, and a short scan
 * ends the search. That is about three times as fast as bisection, whose branches on real data are coin tosses.
 */
function assignBins({ arena, columns, cuts, rows }: Bins, feature: number, values: Float32Array, crew: Crew): void {
  using _room = arena.scope()
  const [own, begin] = [arena.floats(cuts[feature].length), arena.bytes(1 << 16)]
  own.set(cuts[feature])
  begin.set(startTable(cuts[feature]))
  const args = [columns[feature].byteOffset, values.byteOffset, own.byteOffset, own.length, begin.byteOffset]
  crew.run('assign', () => args, 0, rows, { grain: 64 })
}

/** By the upper 16 bits of a float32: how many cuts have upper bits that sort lower, and so lie below the float. */
function startTable(cuts: Float32Array): Uint8Array {
  const cutBits = new Uint32Array(cuts.slice().buffer)
  const start = new Uint8Array(1 << 16)
  let below = 0
  for (let order = 0; order < 1 << 16; order++) {
    // Positive floats sort like their bits. Negative ones lie below them and run backwards.
    const upper = order < 1 << 15 ? 0xffff - order : order - (1 << 15)
    while (below < cuts.length && orderOf(cutBits[below] >>> 16) < order) below++
    start[upper] = below
  }
  return start
}

/** The place of a float's upper 16 bits in the order of the floats. */
function orderOf(upper: number): number {
  return upper >= 1 << 15 ? 0xffff - upper : upper + (1 << 15)
}
