import type { Trees } from './tree.ts'

/** Trees while they are put together, by any means. Nodes are numbered in the order of `addRoot` and `split`. */
export interface ThresholdTrees {
  /** Starts the next tree. Its root starts as a leaf. */
  addRoot(): number
  /**
   * Makes `node` an inner node. Returns its left child, for rows with `x <= threshold`; the right one has the next
   * number.
   */
  split(node: number, feature: number, threshold: number): number
  setLeaf(node: number, value: number): void
  finish(): Trees
}

/** A builder for trees whose thresholds are not cuts of a binned set. `cut` and `gain` of the result are 0. */
export function thresholdTrees(): ThresholdTrees {
  const roots: number[] = []
  const feature: number[] = []
  const threshold: number[] = []
  const left: number[] = []
  const value: number[] = []
  const addLeaf = (): number => {
    threshold.push(0)
    left.push(0)
    value.push(0)
    return feature.push(-1) - 1
  }
  return {
    addRoot() {
      const root = addLeaf()
      roots.push(root)
      return root
    },
    split(node, by, at) {
      feature[node] = by
      threshold[node] = at
      left[node] = addLeaf()
      addLeaf()
      return left[node]
    },
    setLeaf: (node, of) => void (value[node] = of),
    finish: () => ({
      roots: Int32Array.from(roots),
      feature: Int32Array.from(feature),
      threshold: Float32Array.from(threshold),
      cut: new Uint8Array(feature.length),
      missingLeft: new Uint8Array(feature.length),
      left: Int32Array.from(left),
      value: Float32Array.from(value),
      gain: new Float64Array(feature.length),
    }),
  }
}
