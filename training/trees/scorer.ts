import { type Arena, createArena } from '../kernel/arena.ts'
import { kernelModule, openKernel } from '../kernel/module.ts'
import { CONVOY } from '../kernel/score.ts'
import { type AddLeaves, layBitTrees } from './bit-trees.ts'
import type { Trees } from './tree.ts'
import { layWalkTrees } from './walk-trees.ts'

/**
 * Inner nodes of a tree beyond which a walk is quicker: its time grows with the depth, that of bit trees with the
 * number of nodes.
 */
const MOST_NODES = 1024
/**
 * Most inner nodes of bit trees that share masks: a ladder's table of starts has 16 bits for the number of a
 * threshold.
 */
const MOST_TOGETHER = 0xffff

/** Sum of the trees' leaves for each row of a row-major matrix: `treeScores` to the last bit, several times as fast. */
export type TreeScorer = (x: Float32Array) => Float32Array

/**
 * A scorer of rows of `features` numbers. It lays out the trees at its first call and keeps them for as long as it
 * lives; of the rows it holds 128 at a time. A scorer is synchronous, so its calls never overlap.
 */
export async function treeScorer(trees: Trees, features: number): Promise<TreeScorer> {
  const module = await kernelModule('compiled')
  let opened: TreeScorer | undefined
  return (x) => {
    opened ??= openScorer(module, trees, features)
    return opened(x)
  }
}

function openScorer(module: WebAssembly.Module | undefined, trees: Trees, features: number): TreeScorer {
  const arena = createArena()
  const kernel = openKernel(module, arena.memory)
  const parts = layTrees(arena, trees, features)
  const [rows, sums] = [arena.floats(CONVOY * features), arena.floats(CONVOY)]
  return (x) => {
    const scores = new Float32Array(x.length / features)
    for (let row = 0; row < scores.length; row += CONVOY) {
      const count = Math.min(CONVOY, scores.length - row)
      // The last rows may be fewer. Earlier rows that still stand behind them are scored too, and ignored.
      rows.set(x.subarray(row * features, (row + count) * features))
      kernel.orderKeys(rows.byteOffset, rows.byteOffset, 0, rows.length)
      sums.fill(0)
      for (const addLeaves of parts) addLeaves(kernel, rows.byteOffset, sums.byteOffset)
      scores.set(sums.subarray(0, count), row)
    }
    return scores
  }
}

/** Lays out the trees in parts that are added one after another, in order: one walk, or bit trees that share masks. */
function layTrees(arena: Arena, trees: Trees, features: number): AddLeaves[] {
  const keys = thresholdKeys(trees)
  const sizes = Array.from(trees.roots, (root) => innerNodes(trees, root))
  if (sizes.some((size) => size > MOST_NODES)) return [layWalkTrees(arena, trees, keys, features)]
  const parts: AddLeaves[] = []
  for (let first = 0, end = 0; first < sizes.length; first = end) {
    for (let nodes = 0; end < sizes.length && nodes + sizes[end] <= MOST_TOGETHER; end++) nodes += sizes[end]
    parts.push(layBitTrees(arena, { ...trees, roots: trees.roots.subarray(first, end) }, keys, features))
  }
  return parts
}

function innerNodes({ feature, left }: Trees, root: number): number {
  let inner = 0
  for (const waiting = [root]; waiting.length > 0;) {
    const node = waiting.pop() ?? 0
    if (feature[node] < 0) continue
    inner++
    waiting.push(left[node], left[node] + 1)
  }
  return inner
}

/** The keys of the thresholds, as `orderKeys` gives them. −0 would have a key of its own and becomes 0 first. */
function thresholdKeys({ threshold }: Trees): Int32Array {
  const bits = new Int32Array(threshold.map((value) => value + 0).buffer)
  return bits.map((own) => own ^ ((own >> 31) >>> 1))
}
