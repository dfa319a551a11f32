import { parentPort } from 'node:worker_threads'
import type { ForestMember, GrownTree } from './forest-crew.ts'
import { forestGrower } from './forest-tree.ts'

/** In a thread of a crew: grows trees of a forest, the next one that nobody grows yet, until there are enough. */
export function growTrees({ task, next, last }: ForestMember): void {
  const grow = forestGrower(task)
  for (let tree = Atomics.add(next, 0, 1); tree <= last; tree = Atomics.add(next, 0, 1)) {
    parentPort?.postMessage({ tree, trees: grow(tree) } satisfies GrownTree)
  }
}
