import type { Crew } from '../kernel/crew.ts'
import { NODE_WORDS } from '../kernel/kernel.ts'
import type { Trees } from '../trees/tree.ts'
import type { Bins } from './binning.ts'

/**
 * Adds to `sums`, in float32, the leaf that each of `rows` (undefined: all rows) of `bins` reaches in `tree`, a single
 * tree. `rows` and `sums` are arrays of the arena of `bins`.
 */
export function addTree(crew: Crew, bins: Bins, tree: Trees, rows: Int32Array | undefined, sums: Float32Array): void {
  using _table = bins.arena.scope()
  const table = tableOf(tree, bins)
  crew.run('addTree', () => [sums.byteOffset, rows?.byteOffset ?? 0, table.byteOffset], 0, rows?.length ?? bins.rows)
}

/** The tree as the kernel reads it. */
function tableOf({ feature, cut, missingLeft, left, value }: Trees, { arena, columns }: Bins): Int32Array {
  const table = arena.ints(NODE_WORDS * feature.length)
  const values = new Float32Array(table.buffer, table.byteOffset, table.length)
  for (let node = 0, at = 0; node < feature.length; node++, at += NODE_WORDS) {
    values[at + 4] = value[node]
    if (feature[node] < 0) continue
    const turn = missingLeft[node]
    table.set([columns[feature[node]].byteOffset, cut[node] + turn, turn, left[node]], at)
  }
  return table
}
