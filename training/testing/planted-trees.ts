import type { Random } from '../../datasets/random/random.ts'
import { thresholdTrees } from '../trees/threshold-trees.ts'
import type { Trees } from '../trees/tree.ts'

/** Shape of planted trees. */
export interface PlantedTrees {
  trees: number
  /** Inner nodes of each tree. */
  nodes: number
  features: number
  /**
   * True: each node splits one of the two latest leaves, so that a tree is about as deep as it has nodes. Default: a
   * node splits any leaf.
   */
  lopsided?: boolean
}

/** Edge cases, which both thresholds and rows take. */
const EDGES = [0, -0, Infinity, -Infinity, 3.4e38, -3.4e38, 1e-45, -1e-45]

/**
 * Seeded trees for tests. Half the thresholds are values that rows have too. Missing values go left at half the nodes.
 */
export function plantedTrees({ trees, nodes, features, lopsided = false }: PlantedTrees, random: Random): Trees {
  const builder = thresholdTrees()
  for (let tree = 0; tree < trees; tree++) {
    const leaves = [builder.addRoot()]
    for (let node = 0; node < nodes; node++) {
      const at = lopsided ? Math.max(0, leaves.length - 1 - random.integer(2)) : random.integer(leaves.length)
      const [leaf] = leaves.splice(at, 1)
      const left = builder.split(leaf, random.integer(features), plantedValue(random))
      leaves.push(left, left + 1)
    }
    for (const leaf of leaves) builder.setLeaf(leaf, random.normal(0, 1))
  }
  const made = builder.finish()
  return { ...made, missingLeft: made.missingLeft.map((_, node) => (made.feature[node] < 0 ? 0 : random.integer(2))) }
}

/** Seeded rows for planted trees, row-major. A tenth of the numbers is missing. */
export function plantedRows(rows: number, features: number, random: Random): Float32Array {
  return Float32Array.from({ length: rows * features }, () =>
    random.uniform() < 0.1 ? Number.NaN : plantedValue(random),
  )
}

function plantedValue(random: Random): number {
  const kind = random.integer(8)
  if (kind === 0) return EDGES[random.integer(EDGES.length)]
  return kind < 4 ? random.integer(40) / 4 - 5 : random.normal(0, 1)
}
