/**
 * A crew is the threads that share the loops of one kernel: the calling thread and, when there is more than one,
 * workers that sleep between loops. All of them work in the memory of one arena.
 *
 * - **Loops.** The calling thread offers a loop in parts on a board (`crew-board.ts`). Whoever is awake takes parts,
 *   the calling thread too, and `run` returns when all parts are done. One loop runs at a time.
 * - **Determinism.** Which thread takes which part is chance. A caller gets equal bits when the parts write different
 *   places, or when they add whole numbers, whose sum does not depend on the order.
 * - **Ownership.** Whoever opens a crew disposes of it, which ends its workers. A crew that is never disposed of does
 *   not keep the process alive.
 * - **Errors.** What a part throws in any thread is thrown by `run`.
 */
import { availableParallelism } from 'node:os'
import type { Worker } from 'node:worker_threads'
import type { Arena } from './arena.ts'
import {
  type Board,
  collect,
  createBoard,
  endCrew,
  MOST_PARTS,
  offer,
  type Operation,
  type Part,
  takeParts,
} from './crew-board.ts'
import { type CrewThread, startThread } from './crew-thread.ts'
import type { Kernel } from './kernel.ts'
import { type KernelKind, kernelModule, openKernel } from './module.ts'

/** With fewer rows than this, another thread is not worth its start. */
const LEAST_ROWS = 8192
/** With fewer rows than this, a part is not worth handing over, which costs about a microsecond. */
const LEAST_PART = 1024
/** Parts for each thread: a thread that had to wait for the machine leaves the rest to the others. */
const PARTS_A_THREAD = 2
const MOST_THREADS = 16

/** How a loop is cut into parts. */
export interface Parting {
  /** Parts begin at multiples of this, counted from the start of the loop. Default: 1. */
  grain?: number
  /** Least length of a part that is worth handing over. Default: 1024. */
  least?: number
  /** Parts for each thread. Default: 2. */
  perThread?: number
}

/** Threads that share the loops of one kernel. */
export interface Crew extends AsyncDisposable {
  readonly kernel: Kernel
  /** How many take part in a loop. */
  readonly threads: number
  /** Resolves when all threads have started, after about 0.1 s. Until then, loops run without the missing ones. */
  readonly joined: Promise<void>
  /**
   * Runs a loop over `start … end` in parts of about equal size. A short loop runs in one part, in the calling
   * thread. `args` gives all arguments but the last two, by number of the thread; 0 is the calling one. Returns the
   * parts, in order, when all are done.
   *
   * @throws Error when a part fails in any thread, or is not done in time.
   */
  run(operation: Operation, args: (thread: number) => number[], start: number, end: number, parting?: Parting): Part[]
  /**
   * Ends the shared loops and gives each worker a job of its own, in the order of the workers: the worker calls
   * `work(job)`, which the module `entry` exports, and ends when that returns. Returns the workers. From then on, loops
   * run in the calling thread alone, and a second call does nothing.
   */
  turnTo(entry: URL, jobs: readonly unknown[]): Worker[]
}

/**
 * How many threads to open for `rows` rows: as many as `asked` for or, where that is 0, as the machine has, up to 16.
 * Few rows get fewer.
 */
export function threadsFor(asked: number, rows: number): number {
  const most = asked === 0 ? Math.min(availableParallelism(), MOST_THREADS) : asked
  return Math.max(1, Math.min(most, Math.floor(rows / LEAST_ROWS)))
}

/** A crew of the calling thread alone. */
export function soloCrew(kernel: Kernel): Crew {
  return {
    kernel,
    threads: 1,
    joined: Promise.resolve(),
    run: (operation, args, start, end) => [runAlone(kernel, operation, args(0), start, end)],
    turnTo: () => [],
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

function runAlone(kernel: Kernel, operation: Operation, args: number[], start: number, end: number): Part {
  const loop = kernel[operation] as (...args: number[]) => number
  return { start, end, result: loop(...args, start, end), thread: 0 }
}

/** Opens a crew of `threads` threads over the memory of `arena`: it starts `threads − 1` workers. */
export async function openCrew(arena: Arena, threads: number, kind: KernelKind): Promise<Crew> {
  const module = await kernelModule(kind)
  const kernel = openKernel(module, arena.memory)
  if (threads === 1) return soloCrew(kernel)
  const board = createBoard(threads)
  const workers = Array.from({ length: threads - 1 }, (_, i) =>
    startThread({ module, memory: arena.memory, board, thread: i + 1 }),
  )
  return sharedCrew(kernel, board, workers)
}

function sharedCrew(kernel: Kernel, board: Board, workers: CrewThread[]): Crew {
  const threads = workers.length + 1
  let turned = false
  return {
    kernel,
    get threads() {
      return turned ? 1 : threads
    },
    joined: Promise.all(workers.map(({ joined }) => joined)).then(() => {}),
    run(operation, args, start, end, { grain = 1, least = LEAST_PART, perThread = PARTS_A_THREAD } = {}) {
      const count = Math.min(threads * perThread, Math.floor((end - start) / least), MOST_PARTS)
      if (count < 2 || turned) return [runAlone(kernel, operation, args(0), start, end)]
      const calls = Array.from({ length: threads }, (_, thread) => args(thread))
      offer(board, operation, calls, count, cutAt(start, end, count, grain))
      takeParts(board, 0, kernel)
      return collect(board, count)
    },
    turnTo(entry, jobs) {
      if (turned) return []
      turned = true
      const turnedWorkers = workers.map(({ turn }, i) => turn(entry, jobs[i]))
      endCrew(board)
      return turnedWorkers
    },
    async [Symbol.asyncDispose]() {
      endCrew(board)
      await Promise.all(workers.map(({ ended }) => ended()))
    },
  }
}

/** Where part `part` of `count` begins; `end` for the one after the last. */
function cutAt(start: number, end: number, count: number, grain: number): (part: number) => number {
  return (part) => (part === count ? end : start + Math.floor(((end - start) * part) / count / grain) * grain)
}
