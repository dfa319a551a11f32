import { CONVOY, LADDER_WORDS, MASK_WORDS, MISSING_KEY, type ScoreKernel, WALK_NODE_WORDS } from './score.ts'

/** The shared memory, as arrays of each type. */
interface Views {
  bytes: Uint8Array
  ints: Int32Array
  floats: Float32Array
}

/** The part of the twin that scores, a row at a time. `ScoreKernel` describes each function. */
export function twinScoreKernel(current: () => Views): ScoreKernel {
  return {
    orderKeys: (...args) => orderKeys(current(), ...args),
    markRanks: (...args) => markRanks(current(), ...args),
    gatherMasks: (...args) => gatherMasks(current(), ...args),
    addByBits: (...args) => addByBits(current(), ...args),
    addByWalk: (...args) => addByWalk(current(), ...args),
  }
}

function orderKeys({ ints, floats }: Views, ...[keys, values, start, end]: Parameters<ScoreKernel['orderKeys']>): void {
  for (let at = start; at < end; at++) {
    const bits = ints[(values >>> 2) + at]
    const ordered = bits < 0 ? bits ^ 0x7fffffff : bits
    ints[(keys >>> 2) + at] = Number.isNaN(floats[(values >>> 2) + at]) ? MISSING_KEY : ordered
  }
}

function markRanks(
  { bytes, ints }: Views,
  ...[ladders, keys, stride, start, end]: Parameters<ScoreKernel['markRanks']>
): void {
  for (let ladder = start; ladder < end; ladder++) {
    const [column, , , , , thresholds, marks, size] = wordsAt(ints, ladders, ladder, LADDER_WORDS)
    bytes.fill(0, marks, marks + size)
    for (let row = 0; row < CONVOY; row++) {
      const key = ints[(keys + row * stride + column) >>> 2]
      let rank = 0
      while (key > ints[(thresholds >>> 2) + rank]) rank++
      bytes[marks + 16 * rank + (row & 15)] |= 1 << (row >> 4)
    }
  }
}

function gatherMasks({ bytes, ints }: Views, ...[lists, start, end]: Parameters<ScoreKernel['gatherMasks']>): void {
  for (let list = start; list < end; list++) {
    const [marks, masks, size, missingLeft] = wordsAt(ints, lists, list, MASK_WORDS)
    for (let byte = 0; byte < 16; byte++) {
      let above = missingLeft === 1 ? 0 : bytes[marks + size + 16 + byte]
      for (let threshold = size - 16; threshold >= 0; threshold -= 16) {
        above |= bytes[marks + threshold + 16 + byte]
        bytes[masks + threshold + byte] = above
      }
    }
  }
}

function addByBits(views: Views, ...[sums, scratch, trees, start, end]: Parameters<ScoreKernel['addByBits']>): void {
  const { bytes, ints, floats } = views
  for (let tree = start; tree < end; tree++) {
    const [, bits, leaves] = wordsAt(ints, ints[(trees >>> 2) + tree], 0, 3)
    for (let row = 0; row < CONVOY; row++) {
      const leaf = leafOf(views, ints[(trees >>> 2) + tree], scratch + 2 * CONVOY, row)
      bytes[scratch + row] = leaf
      if (bits > 8) bytes[scratch + CONVOY + row] = leaf >> 8
      floats[(sums >>> 2) + row] += floats[(leaves >>> 2) + leaf]
    }
  }
}

/** The number of the leaf that one row reaches. `reach` is where the vectors of rows begin. */
function leafOf({ bytes, ints }: Views, tree: number, reach: number, row: number): number {
  const [byte, bit] = [row & 15, 1 << (row >> 4)]
  const set = (vector: number, on: boolean): void => {
    bytes[vector + byte] = on ? bytes[vector + byte] | bit : bytes[vector + byte] & ~bit
  }
  const has = (vector: number): boolean => (bytes[vector + byte] & bit) !== 0
  const [nodes, bits] = wordsAt(ints, tree, 0, 2)
  set(reach, true)
  for (let node = 0; node < nodes; node++) {
    const [mask, own] = wordsAt(ints, tree + 12, node, 2)
    set(reach + 16 + 32 * node, has(own) && !has(mask))
    set(reach + 32 + 32 * node, has(own) && has(mask))
  }
  let leaf = 0
  for (let number = 0, at = (tree >>> 2) + 3 + 2 * nodes; number < bits; number++) {
    const vectors = ints.subarray(at + 1, at + 1 + ints[at])
    if (vectors.some(has)) leaf |= 1 << number
    at += 1 + ints[at]
  }
  return leaf
}

function addByWalk(
  { ints, floats }: Views,
  ...[sums, keys, stride, roots, trees, start, end]: Parameters<ScoreKernel['addByWalk']>
): void {
  for (let tree = 0; tree < trees; tree++) {
    for (let row = start; row < end; row++) {
      let node = ints[(roots >>> 2) + tree]
      for (let before = 0; node !== before;) {
        before = node
        const [column, threshold, left] = wordsAt(ints, node, 0, WALK_NODE_WORDS)
        const turn = column & 1
        const goesRight = ((ints[(keys + row * stride + column - turn) >>> 2] + turn) | 0) > threshold
        node = left + (goesRight ? 4 * WALK_NODE_WORDS : 0)
      }
      floats[(sums >>> 2) + row] += floats[(node >>> 2) + 3]
    }
  }
}

/** Record `index` among `records`, of `words` numbers each. */
function wordsAt(ints: Int32Array, records: number, index: number, words: number): Int32Array {
  return ints.subarray((records >>> 2) + index * words, (records >>> 2) + (index + 1) * words)
}
