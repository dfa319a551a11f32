import type { Trees } from './tree.ts'

/** How a node is split: rows with `bin <= cut` go left, missing ones where `missingLeft` says. */
export interface NodeSplit {
  feature: number
  cut: number
  missingLeft: boolean
  gain: number
}

/** A tree while it grows. Node 0, the root, starts as a leaf. Further nodes are numbered in the order of `split`. */
export interface TreeBuilder {
  /** Makes `node` an inner node. Returns its left child; the right one has the next number. */
  split(node: number, split: NodeSplit): number
  setLeaf(node: number, value: number): void
  finish(): Trees
}

/** A builder whose thresholds are `cuts` of the training set, by feature. */
export function treeBuilder(cuts: Float32Array[]): TreeBuilder {
  const splits: (NodeSplit | undefined)[] = [undefined]
  const left: number[] = [0]
  const value: number[] = [0]
  return {
    split(node, split) {
      const child = splits.length
      splits.push(undefined, undefined)
      left.push(0, 0)
      value.push(0, 0)
      splits[node] = split
      left[node] = child
      return child
    },
    setLeaf(node, leaf) {
      value[node] = leaf
    },
    finish: () => ({
      roots: Int32Array.of(0),
      feature: Int32Array.from(splits, (split) => split?.feature ?? -1),
      threshold: Float32Array.from(splits, (split) => (split === undefined ? 0 : thresholdOf(split, cuts))),
      cut: Uint8Array.from(splits, (split) => split?.cut ?? 0),
      missingLeft: Uint8Array.from(splits, (split) => (split?.missingLeft === true ? 1 : 0)),
      left: Int32Array.from(left),
      value: Float32Array.from(value),
      gain: Float64Array.from(splits, (split) => split?.gain ?? 0),
    }),
  }
}

/** Infinite for the cut above all numbers, which separates them from missing values. */
function thresholdOf({ feature, cut }: NodeSplit, cuts: Float32Array[]): number {
  return cuts[feature][cut] ?? Infinity
}
