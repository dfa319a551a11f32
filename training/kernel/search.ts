import { FOUND_BYTES, NODE_FLOATS, SEARCH } from './kernel.ts'
import { type Bounds, fallOf, type Penalties, stepOf } from './newton.ts'

/** The bin of missing values. */
const MISSING = 255
/** The cut that separates all numbers from missing values. */
const LAST_CUT = 254
/** Numbers of 32 bits in the histogram of one feature. */
const COLUMN = 512

/** The kernel's memory as a search reads and writes it. */
export interface SearchViews {
  bytes: Uint8Array
  ints: Int32Array
  doubles: Float64Array
}

/** All that a scan of one feature at one node needs. */
interface Question extends Penalties, Bounds {
  ints: Int32Array
  /** Index of the first bin in `ints`. */
  base: number
  /** Sums of the whole node. */
  hessian: number
  gradient: number
  hessianUnit: number
  gradientUnit: number
  minChildWeight: number
  /** What the node's own best step takes off twice the loss. */
  whole: number
  direction: number
}

/** The best split so far; `cut` is −1 while there is none. */
interface Answer {
  gain: number
  cut: number
  missingLeft: boolean
  /** Sums of the left child. */
  hessian: number
  gradient: number
}

/** The twin of the compiled `search`. */
export function searchSplits({ bytes, ints, doubles }: SearchViews, task: number, start: number, end: number): void {
  const word = (slot: number): number => ints[(task >>> 2) + slot] >>> 0
  const [small, large, monotone] = [word(SEARCH.small), word(SEARCH.large), word(SEARCH.monotone)]
  const columnAt = (histogram: number, feature: number): number => (histogram >>> 2) + COLUMN * feature
  for (let i = start; i < end; i++) {
    const feature = ints[(word(SEARCH.features) >>> 2) + i]
    const base = columnAt(small, feature)
    for (let part = 0; part < word(SEARCH.extra); part++) {
      const other = ints[(word(SEARCH.parts) >>> 2) + part] >>> 0
      addColumns(ints, base, columnAt(other, feature), 1)
    }
    if (large !== 0) addColumns(ints, columnAt(large, feature), base, -1)
    for (const [node, histogram] of [small, large].entries()) {
      if (histogram === 0) continue
      const direction = monotone === 0 ? 0 : (bytes[monotone + feature] << 24) >> 24
      const question = questionOf(doubles, task >>> 3, node, { ints, base: columnAt(histogram, feature), direction })
      const found = answer(question, doubles[(task >>> 3) + SEARCH.leastGain])
      write({ ints, doubles }, word(SEARCH.found) + (2 * i + node) * FOUND_BYTES, found)
    }
  }
}

function addColumns(ints: Int32Array, into: number, other: number, sign: number): void {
  for (let at = 0; at < COLUMN; at++) ints[into + at] += sign * ints[other + at]
}

/** Where the bins of a feature are, and the direction it may have. */
type Place = Pick<Question, 'ints' | 'base' | 'direction'>

function questionOf(doubles: Float64Array, task: number, node: number, place: Place): Question {
  const [hessianUnit, gradientUnit, l1, l2, minChildWeight] = doubles.subarray(task + SEARCH.units)
  const [hessian, gradient, lower, upper, whole] = doubles.subarray(task + SEARCH.nodes + node * NODE_FLOATS)
  return { ...place, hessianUnit, gradientUnit, l1, l2, minChildWeight, hessian, gradient, lower, upper, whole }
}

function answer(question: Question, leastGain: number): Answer {
  const best: Answer = { gain: leastGain, cut: -1, missingLeft: false, hessian: 0, gradient: 0 }
  scan(question, false, best)
  const missing = question.base + 2 * MISSING
  if (question.ints[missing] !== 0 || question.ints[missing + 1] !== 0) scan(question, true, best)
  return best
}

/**
 * Puts the best cut into `best` when it gains more. Of cuts that split the rows alike, which differ by bins without
 * rows, it is the middle one.
 */
function scan(question: Question, missingLeft: boolean, best: Answer): void {
  const { ints, base, hessianUnit, gradientUnit, minChildWeight, whole } = question
  const free = isFree(question)
  let hessian = missingLeft ? ints[base + 2 * MISSING] : 0
  let gradient = missingLeft ? ints[base + 2 * MISSING + 1] : 0
  let [last, fresh] = [0, false]
  for (let bin = 0; bin < MISSING; bin++) {
    const [own, ownGradient] = [ints[base + 2 * bin], ints[base + 2 * bin + 1]]
    if (own === 0 && ownGradient === 0) continue
    if (fresh) best.cut = (last + bin - 1) >> 1
    fresh = false
    hessian += own
    gradient += ownGradient
    last = bin
    const leftHessian = hessian * hessianUnit
    const rightHessian = (question.hessian - hessian) * hessianUnit
    if (rightHessian < minChildWeight || rightHessian <= 0) break
    if (leftHessian < minChildWeight || leftHessian <= 0) continue
    const left = gradient * gradientUnit
    const right = (question.gradient - gradient) * gradientUnit
    const fall = free
      ? freeFall(left, leftHessian, right, rightHessian, question)
      : heldBack(left, leftHessian, right, rightHessian, question)
    if (fall - whole <= best.gain) continue
    Object.assign(best, { gain: fall - whole, cut: bin, missingLeft, hessian, gradient })
    fresh = true
  }
  // Above the last bin in use only missing values are left to separate.
  if (fresh) best.cut = LAST_CUT
}

/** Whether nothing holds the children's steps back. */
function isFree({ l1, direction, lower, upper }: Question): boolean {
  return l1 === 0 && direction === 0 && lower === -Infinity && upper === Infinity
}

/** What the best steps of both children take off twice the loss, when nothing holds steps back. */
function freeFall(left: number, leftHessian: number, right: number, rightHessian: number, { l2 }: Penalties): number {
  return (left * left) / (leftHessian + l2) + (right * right) / (rightHessian + l2)
}

/** The same when steps are shrunk, bounded or have a direction; −∞ when they go against it. */
function heldBack(left: number, leftHessian: number, right: number, rightHessian: number, question: Question): number {
  const leftStep = stepOf(left, leftHessian, question, question)
  const rightStep = stepOf(right, rightHessian, question, question)
  if (question.direction * (rightStep - leftStep) < 0) return -Infinity
  return fallOf(left, leftHessian, leftStep, question) + fallOf(right, rightHessian, rightStep, question)
}

function write({ ints, doubles }: Omit<SearchViews, 'bytes'>, at: number, found: Answer): void {
  const { gain, cut, missingLeft, hessian, gradient } = found
  doubles[at >>> 3] = gain
  if (cut >= 0) ints.set([cut, missingLeft ? 1 : 0, hessian, gradient], (at >>> 2) + 2)
}
