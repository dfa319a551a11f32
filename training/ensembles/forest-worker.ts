import { parentPort } from 'node:worker_threads'
import { forestGrower, type ForestMember, type GrownTree } from './forest-tree.ts'

/**
 * What a worker of a crew does for a forest (see `Crew.turnTo`): it grows the next tree that no thread has taken yet
 * and posts it as a `GrownTree`, until the last one is taken.
 */
export function work({ task, next, last }: ForestMember): void {
  const grow = forestGrower(task)
  for (let tree = Atomics.add(next, 0, 1); tree <= last; tree = Atomics.add(next, 0, 1)) {
    parentPort?.postMessage({ tree, trees: grow(tree) } satisfies GrownTree)
  }
}
