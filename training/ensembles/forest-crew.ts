import type { Worker } from 'node:worker_threads'
import type { Crew } from '../kernel/crew.ts'
import type { Trees } from '../trees/tree.ts'
import { forestGrower, type ForestMember, type ForestTask, type GrownTree } from './forest-tree.ts'

/**
 * Yields trees `first` to `last` of a forest, in order. There is one task for each thread. The calling thread grows
 * trees too, between what it yields; the crew's loops end with this call.
 *
 * The event loop has to turn between trees, or those of the workers do not arrive. Ending the generator early ends
 * each worker after the tree that it is growing.
 *
 * @throws Error when a worker fails; `cause` says why.
 */
export async function* growForest(crew: Crew, tasks: ForestTask[], first: number, last: number): AsyncGenerator<Trees> {
  const next = new Int32Array(new SharedArrayBuffer(4)).fill(first)
  const inbox: Inbox = { grown: new Map(), failures: [], wake: () => {} }
  const jobs = tasks.slice(1).map((task): ForestMember => ({ task, next, last }))
  const workers = crew
    .turnTo(new URL('./forest-worker.ts', import.meta.url), jobs)
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
        // Every tree is taken, so a worker is growing this one.
        else await nextMessage(inbox)
      }
      inbox.grown.delete(tree)
    }
  } finally {
    // Workers end by themselves when no tree is left to take. Terminating them would save the rest of a tree, but now
    // and then brings the whole process down (Node 24.21: a check in V8 fails).
    Atomics.store(next, 0, last + 1)
    await Promise.all(workers)
  }
}

/** What workers have sent and `growForest` has not handled yet. */
interface Inbox {
  grown: Map<number, Trees>
  failures: unknown[]
  wake(): void
}

/** Puts what the worker sends into the inbox. Resolves when the worker has ended. */
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
