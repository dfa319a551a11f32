import type { Random } from '../../datasets/random/random.ts'
import { thresholdTrees } from '../trees/threshold-trees.ts'
import type { Trees } from '../trees/tree.ts'

/** Shape of made-up trees. */
export interface PlantedTrees {
  trees: number
  /** Inner nodes of each. */
  nodes: number
  features: number
  /** Each node splits one of the two leaves made last, so that the trees are about as deep as they have nodes; else any leaf. */
  lopsided?: boolean
}

/** Values that thresholds and rows share. */
const EDGES = [0, -0, Infinity, -Infinity, 3.4e38, -3.4e38, 1e-45, -1e-45]

/** Seeded trees for tests: half the thresholds are values that rows have too, and missing values go left at half the nodes. */
export function plantedTrees({ trees, nodes, features, lopsided = false }: PlantedTrees, random: Random): Trees {
  const builder = thresholdTrees()
  for (let tree = 0; tree < trees; tree++) {
    const leaves = [builder.addRoot()]
    for (let node = 0; node < nodes; node++) {
      const [leaf] = leaves.splice(
        lopsided ? Math.max(0, leaves.length - 1 - random.integer(2)) : random.integer(leaves.length),
        1,
      )
      const left = builder.split(leaf, random.integer(features), plantedValue(random))
      leaves.push(left, left + 1)
    }
    for (const leaf of leaves) builder.setLeaf(leaf, random.normal(0, 1))
  }
  const made = builder.finish()
  return { ...made, missingLeft: made.missingLeft.map((_, node) => (made.feature[node] < 0 ? 0 : random.integer(2))) }
}

/** Rows for such trees, row-major, a tenth of the numbers missing. */
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
