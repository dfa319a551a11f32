import { randomStream } from '../../datasets/random/random.ts'
import { BLOCK, NODE_WORDS, type Kernel } from './kernel.ts'
import { twinScoreKernel } from './score-twin.ts'
import { searchSplits } from './search.ts'

const { fround } = Math
const [LOG2E, LN2_HIGH, LN2_LOW] = [Math.LOG2E, 0.693359375, -2.1219444e-4].map(fround)
const [FIRST, ...REST] = [
  1.98756915e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1,
].map(fround)
const LARGE = 12_582_912

/** The kernel in plain TypeScript, which tests compare the compiled one with. `Kernel` describes each function. */
export function twinKernel(memory: WebAssembly.Memory): Kernel {
  let views = viewMemory(memory)
  const current = (): Views => {
    if (views.bytes.length !== memory.buffer.byteLength) views = viewMemory(memory)
    return views
  }
  return {
    addRows: (...args) => addRows(current(), ...args),
    addColumn: (...args) => addColumn(current(), ...args),
    add: (into, other, start, end) => addPairs(current(), into, other, 1, start, end),
    subtract: (from, other, start, end) => addPairs(current(), from, other, -1, start, end),
    gradients: (...args) => gradients(current(), ...args),
    quantise: (...args) => quantise(current(), ...args),
    divide: (...args) => divide(current(), ...args),
    addLeaf: (...args) => addLeaf(current(), ...args),
    addLeaves: (...args) => addLeaves(current(), ...args),
    addTree: (...args) => addTree(current(), ...args),
    assign: (...args) => assign(current(), ...args),
    search: (...args) => searchSplits(current(), ...args),
    pack: (...args) => pack(current(), ...args),
    drawWords: (...args) => drawWords(current(), ...args),
    drawBootstrap: (...args) => drawBootstrap(current(), ...args),
    drawRows: (...args) => drawRows(current(), ...args),
    ...twinScoreKernel(current),
  }
}

/** The shared memory, as arrays of each type. */
interface Views {
  bytes: Uint8Array
  ints: Int32Array
  floats: Float32Array
  doubles: Float64Array
}

function viewMemory({ buffer }: WebAssembly.Memory): Views {
  return {
    bytes: new Uint8Array(buffer),
    ints: new Int32Array(buffer),
    floats: new Float32Array(buffer),
    doubles: new Float64Array(buffer),
  }
}

function addRows(
  { bytes, ints }: Views,
  ...[histogram, bins, stride, pairs, rows, start, end]: Parameters<Kernel['addRows']>
): void {
  for (let i = start; i < end; i++) {
    const row = rowAt(ints, rows, i)
    const pair = (pairs >>> 2) + 2 * row
    for (let feature = 0; feature < stride; feature++) {
      const at = (histogram >>> 2) + 2 * (256 * feature + bytes[bins + row * stride + feature])
      ints[at] += ints[pair]
      ints[at + 1] += ints[pair + 1]
    }
  }
}

function addColumn(
  { bytes, ints }: Views,
  ...[histogram, column, pairs, rows, start, end]: Parameters<Kernel['addColumn']>
): void {
  for (let i = start; i < end; i++) {
    const row = ints[(rows >>> 2) + i]
    const at = (histogram >>> 2) + 2 * bytes[column + row]
    ints[at] += ints[(pairs >>> 2) + 2 * row]
    ints[at + 1] += ints[(pairs >>> 2) + 2 * row + 1]
  }
}

function addPairs({ ints }: Views, into: number, other: number, sign: number, start: number, end: number): void {
  for (let at = start >>> 2; at < end >>> 2; at++) ints[(into >>> 2) + at] += sign * ints[(other >>> 2) + at]
}

/** e^x by the argument reduction and polynomial of Cephes' expf, every step rounded to float32. */
function exp(x: number): number {
  const whole = fround(fround(fround(x * LOG2E) + LARGE) - LARGE)
  const rest = fround(fround(x - fround(whole * LN2_HIGH)) - fround(whole * LN2_LOW))
  const sum = REST.reduce((sum, term) => fround(fround(sum * rest) + term), FIRST)
  return fround(fround(fround(fround(sum * fround(rest * rest)) + rest) + 1) * 2 ** whole)
}

function gradients(
  { bytes, floats }: Views,
  ...[pairs, margins, labels, fraudWeight, sums, start, end]: Parameters<Kernel['gradients']>
): void {
  const weightOf = [1, fround(1 + fround(fround(fraudWeight) - 1))]
  for (let first = start; first < end; first += BLOCK) {
    const lanes = new Float32Array(8)
    for (let row = first; row < Math.min(first + BLOCK, end); row++) {
      const margin = Math.max(Math.min(floats[(margins >>> 2) + row], 87), -87)
      const score = fround(1 / fround(1 + exp(-margin)))
      const label = bytes[labels + row]
      const gradient = fround(fround(score - label) * weightOf[label])
      const hessian = fround(fround(score * fround(1 - score)) * weightOf[label])
      floats[(pairs >>> 2) + 2 * row] = hessian
      floats[(pairs >>> 2) + 2 * row + 1] = gradient
      // Four sums of each, as the compiled kernel adds four rows at a time.
      lanes[row & 3] += hessian
      lanes[4 + (row & 3)] += Math.abs(gradient)
    }
    const sum = (sums >>> 2) + (first / BLOCK) * 2
    floats[sum] = fround(fround(fround(lanes[0] + lanes[1]) + lanes[2]) + lanes[3])
    floats[sum + 1] = fround(fround(fround(lanes[4] + lanes[5]) + lanes[6]) + lanes[7])
  }
}

function quantise(
  { ints, floats }: Views,
  ...[pairs, perHessian, perGradient, start, end]: Parameters<Kernel['quantise']>
): void {
  const scale = [fround(perHessian), fround(perGradient)]
  for (let at = 2 * start; at < 2 * end; at++)
    ints[(pairs >>> 2) + at] = roundHalfEven(fround(floats[(pairs >>> 2) + at] * scale[at & 1]))
}

function roundHalfEven(value: number): number {
  const up = Math.round(value)
  return up - value === 0.5 && up % 2 !== 0 ? up - 1 : up
}

function divide(
  { bytes, ints }: Views,
  ...[rows, into, column, cut, turn, start, end]: Parameters<Kernel['divide']>
): number {
  let [left, right] = [start, end - 1]
  for (let i = start; i < end; i++) {
    const row = rowAt(ints, rows, i)
    ints[(into >>> 2) + (isRight(bytes, column + row, cut, turn) ? right-- : left++)] = row
  }
  return left - start
}

/** The row number at `i` of a list; `i` itself where there is none. */
function rowAt(ints: Int32Array, rows: number, i: number): number {
  return rows === 0 ? i : ints[(rows >>> 2) + i]
}

function isRight(bytes: Uint8Array, at: number, cut: number, turn: number): boolean {
  return ((bytes[at] + turn) & 255) > cut
}

function addLeaf({ ints, floats }: Views, ...[sums, rows, value, start, end]: Parameters<Kernel['addLeaf']>): void {
  for (let i = start; i < end; i++) floats[(sums >>> 2) + rowAt(ints, rows, i)] += fround(value)
}

function addLeaves(
  { bytes, ints, floats }: Views,
  ...[sums, rows, column, cut, turn, left, right, start, end]: Parameters<Kernel['addLeaves']>
): void {
  for (let i = start; i < end; i++) {
    const row = rowAt(ints, rows, i)
    floats[(sums >>> 2) + row] += fround(isRight(bytes, column + row, cut, turn) ? right : left)
  }
}

function addTree(
  { bytes, ints, floats }: Views,
  ...[sums, rows, nodes, start, end]: Parameters<Kernel['addTree']>
): void {
  for (let i = start; i < end; i++) {
    const row = rowAt(ints, rows, i)
    let node = nodes >>> 2
    while (ints[node] !== 0) {
      const goesRight = isRight(bytes, (ints[node] >>> 0) + row, ints[node + 1], ints[node + 2]) ? 1 : 0
      node = (nodes >>> 2) + NODE_WORDS * (ints[node + 3] + goesRight)
    }
    floats[(sums >>> 2) + row] += floats[node + 4]
  }
}

function assign(
  { bytes, ints, floats }: Views,
  ...[bins, values, cuts, count, begin, start, end]: Parameters<Kernel['assign']>
): void {
  for (let row = start; row < end; row++) {
    const value = floats[(values >>> 2) + row]
    let bin = bytes[begin + (ints[(values >>> 2) + row] >>> 16)]
    while (bin < count && value > floats[(cuts >>> 2) + bin]) bin++
    bytes[bins + row] = Number.isNaN(value) ? 255 : bin
  }
}

function pack(
  { bytes, ints }: Views,
  ...[packed, stride, columns, features, start, end]: Parameters<Kernel['pack']>
): void {
  for (let row = start; row < end; row++) {
    for (let feature = 0; feature < features; feature++)
      bytes[packed + row * stride + feature] = bytes[(ints[(columns >>> 2) + feature] >>> 0) + row]
  }
}

function drawWords({ ints }: Views, ...[state, into, start, end]: Parameters<Kernel['drawWords']>): void {
  const random = randomStream(0)
  random.resume(ints.subarray(state >>> 2, (state >>> 2) + 4))
  for (let i = start; i < end; i++) ints[(into >>> 2) + i] = random.integer(2 ** 32)
  ints.set(random.state(), state >>> 2)
}

/** The 16 bits of a row. Of two rows that share a word, the first has the lower half. */
function bitsOf(ints: Int32Array, bits: number, row: number): number {
  return (ints[(bits >>> 2) + (row >>> 1)] >>> (16 * (row & 1))) & 0xffff
}

function drawBootstrap(
  { bytes, ints }: Views,
  ...[bits, times, labels, pairs, rows, sums, start, end]: Parameters<Kernel['drawBootstrap']>
): number {
  let [count, all, frauds] = [0, 0, 0]
  for (let row = start; row < end; row++) {
    const weight = bytes[times + bitsOf(ints, bits, row)]
    const pair = [weight, weight * bytes[labels + row]]
    ints.set(pair, (pairs >>> 2) + 2 * row)
    all += pair[0]
    frauds += pair[1]
    // A row is always written, and overwritten by the next one unless it is drawn, as in the compiled kernel.
    ints[(rows >>> 2) + count] = row
    if (weight > 0) count++
  }
  ints.set([all, frauds], sums >>> 2)
  return count
}

function drawRows({ ints }: Views, ...[bits, below, rows, start, end]: Parameters<Kernel['drawRows']>): number {
  const place = rows >>> 2
  let [drawn, left] = [start, end - 1]
  for (let row = start; row < end; row++) ints[place + (bitsOf(ints, bits, row) < below ? drawn++ : left--)] = row
  return drawn - start
}
