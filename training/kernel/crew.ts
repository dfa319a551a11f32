import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
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
import type { Kernel } from './kernel.ts'
import { type KernelKind, kernelModule, openKernel } from './module.ts'

/** A thread is not worth its start for fewer rows than this. */
const LEAST_ROWS = 8192
/** Fewer rows than this a part are not worth a hand-over to another thread, which costs about a microsecond. */
const LEAST_PART = 1024
/** Parts a thread: who has waited for the machine leaves the rest to the others. */
const PARTS_A_THREAD = 2
const MOST_THREADS = 16

/** What a thread of a crew is started with. */
export interface CrewMember {
  module: WebAssembly.Module | undefined
  memory: WebAssembly.Memory
  board: Board
  /** Its number, from 1. */
  thread: number
}

/** How a loop may be parted. */
export interface Parting {
  /** Parts begin at multiples of this from the start. Default: 1. */
  grain?: number
  /** What is worth a hand-over. Default: a thousand rows. */
  least?: number
  /** Parts a thread. Default: 2. */
  perThread?: number
}

/** Threads that share the loops of one kernel: the calling one and, with more than one, workers that sleep between loops. */
export interface Crew extends AsyncDisposable {
  readonly kernel: Kernel
  /** How many take part in a loop. */
  readonly threads: number
  /** Resolves when all threads have started, which takes a tenth of a second; until then loops run without those that have not. */
  readonly joined: Promise<void>
  /**
   * Runs a loop over `start … end` in parts of about equal size; in one part, here, when it is short. `args` are all arguments but the
   * last two, given the number of the thread, 0 being this one. Returns the parts, in order, when all are done.
   */
  run(operation: Operation, args: (thread: number) => number[], start: number, end: number, parting?: Parting): Part[]
  /**
   * Gives every thread but the calling one a job of its own, in their order (`kernel-worker.ts` says what it does with it), and
   * returns them. They end after it; loops run in the calling thread alone from then on.
   */
  turnTo(jobs: readonly unknown[]): Worker[]
}

/** As many threads as asked for; as the machine has when 0; one when there are too few rows to share. */
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

/** Starts `threads − 1` workers over the memory of `arena`. */
export async function openCrew(arena: Arena, threads: number, kind: KernelKind): Promise<Crew> {
  const module = await kernelModule(kind)
  const kernel = openKernel(module, arena.memory)
  if (threads === 1) return soloCrew(kernel)
  const board = createBoard(threads)
  const workers = Array.from({ length: threads - 1 }, (_, i) =>
    startWorker({ module, memory: arena.memory, board, thread: i + 1 }),
  )
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
      const cut = (part: number): number =>
        part === count ? end : start + Math.floor(((end - start) * part) / count / grain) * grain
      offer(
        board,
        operation,
        Array.from({ length: threads }, (_, thread) => args(thread)),
        count,
        cut,
      )
      takeParts(board, 0, kernel)
      return collect(board, count)
    },
    turnTo(jobs) {
      if (turned) return []
      turned = true
      const threads = workers.map(({ turn }, i) => turn(jobs[i]))
      endCrew(board)
      return threads
    },
    async [Symbol.asyncDispose]() {
      endCrew(board)
      await Promise.all(workers.map(({ ended }) => ended()))
    },
  }
}

/** A thread that was started. */
interface Started {
  joined: Promise<unknown>
  /** Sends it a job, for when its loops end. */
  turn(job: unknown): Worker
  /** Resolves when it is gone, having been told. */
  ended(): Promise<void>
}

function startWorker(member: CrewMember): Started {
  const worker = new Worker(new URL('./crew-worker.ts', import.meta.url), { workerData: member })
  let ending = false
  // A crew that nobody ends does not keep the process.
  const joined = once(worker, 'message').then(() => ending || worker.unref())
  const keep = (): void => {
    ending = true
    worker.ref()
  }
  return {
    joined,
    turn(job) {
      keep()
      worker.postMessage(job)
      return worker
    },
    async ended() {
      if (worker.threadId < 0) return
      keep()
      await once(worker, 'exit')
    },
  }
}
