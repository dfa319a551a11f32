import type { Trees } from './tree.ts'

/** How a node is split: rows with `bin <= cut` go left, missing ones where `missingLeft` says. */
export interface NodeSplit {
  feature: number
  cut: number
  missingLeft: boolean
  gain: number
}

/** A tree while it grows. Node 0, the root, is a leaf for now; others are numbered in the order of `split`. */
export interface TreeBuilder {
  /** Makes `node` an inner node; returns its left child, the right one is the next number. */
  split(node: number, split: NodeSplit): number
  setLeaf(node: number, value: number): void
  finish(): Trees
}

/** A builder whose thresholds are the `cuts` of the training set. */
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
      // The cut above all numbers parts them from the missing.
      threshold: Float32Array.from(splits, (split) =>
        split === undefined ? 0 : (cuts[split.feature][split.cut] ?? Infinity),
      ),
      cut: Uint8Array.from(splits, (split) => split?.cut ?? 0),
      missingLeft: Uint8Array.from(splits, (split) => (split?.missingLeft === true ? 1 : 0)),
      left: Int32Array.from(left),
      value: Float32Array.from(value),
      gain: Float64Array.from(splits, (split) => split?.gain ?? 0),
    }),
  }
}
