import type { Bins } from '../growing/binning.ts'
import type { Crew } from '../kernel/crew.ts'
import { NODE_WORDS } from '../kernel/kernel.ts'
import type { Trees } from './tree.ts'

/** Adds the leaf of each of `rows` (undefined: all) of `bins` in `tree` (one tree) to `sums`, in float32. `rows` and `sums` are arrays of the arena of `bins`. */
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
    if (feature[node] >= 0)
      table.set([columns[feature[node]].byteOffset, cut[node] + missingLeft[node], missingLeft[node], left[node]], at)
  }
  return table
}
