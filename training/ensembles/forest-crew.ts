import type { Worker } from 'node:worker_threads'
import type { Crew } from '../kernel/crew.ts'
import type { Trees } from '../trees/tree.ts'
import { type ForestTask, forestGrower } from './forest-tree.ts'

/** What a thread of a crew is given to do: trees are numbered up to `last`, `next[0]` is the next that nobody grows yet. */
export interface ForestMember {
  task: ForestTask
  next: Int32Array
  last: number
}

/** What a thread sends for each tree. */
export interface GrownTree {
  tree: number
  trees: Trees
}

/**
 * Trees `first` to `last` of a forest, in order, one task a thread: the first of them grows in this thread, between what it
 * yields, the others in those of the crew, whose loops end with that. Each thread takes the next tree that nobody grows yet. The event loop has to turn between
 * trees for the workers' to arrive; ending early ends the workers after the tree they are at.
 */
export async function* growForest(crew: Crew, tasks: ForestTask[], first: number, last: number): AsyncGenerator<Trees> {
  const next = new Int32Array(new SharedArrayBuffer(4)).fill(first)
  const inbox: Inbox = { grown: new Map(), failures: [], wake: () => {} }
  const workers = crew
    .turnTo(tasks.slice(1).map((task): ForestMember => ({ task, next, last })))
    .map((worker) => listen(worker, inbox))
  const grow = forestGrower(tasks[0])
  try {
    for (let tree = first; tree <= last; tree++) {
      for (let trees = inbox.grown.get(tree); ; trees = inbox.grown.get(tree)) {
        if (trees !== undefined) {
          yield trees
          break
        }
        const own = Atomics.add(next, 0, 1)
        if (own <= last) inbox.grown.set(own, grow(own))
        // Nothing is left to be started: a worker has it.
        else await nextMessage(inbox)
      }
      inbox.grown.delete(tree)
    }
  } finally {
    // Workers end by themselves when nothing is left to grow. Terminating them would save the rest of a tree, and now and then
    // brings the whole process down (Node 24.21, a check in V8 that fails).
    Atomics.store(next, 0, last + 1)
    await Promise.all(workers)
  }
}

/** What has come from workers and was not yet looked at. */
interface Inbox {
  grown: Map<number, Trees>
  failures: unknown[]
  wake(): void
}

/** Resolves when the worker has ended. */
async function listen(worker: Worker, inbox: Inbox): Promise<void> {
  worker.on('message', (message: GrownTree | 'joined') => {
    if (message === 'joined') return
    inbox.grown.set(message.tree, message.trees)
    inbox.wake()
  })
  worker.on('error', (error) => {
    inbox.failures.push(error)
    inbox.wake()
  })
  await new Promise((resolve) => worker.once('exit', resolve))
}

async function nextMessage(inbox: Inbox): Promise<void> {
  if (inbox.failures.length === 0) await new Promise<void>((resolve) => (inbox.wake = resolve))
  if (inbox.failures.length > 0) throw new Error('A thread of the forest failed.', { cause: inbox.failures[0] })
}
