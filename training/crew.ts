import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import type { Arena } from './arena.ts'
import type { Kernel } from './kernel.ts'
import { type KernelKind, kernelModule, openKernel } from './kernel-module.ts'

/** A thread is not worth its start for fewer rows than this. */
const LEAST_ROWS = 8192
/** Fewer rows than this a part are not worth a hand-over to another thread, which costs about a microsecond. */
const LEAST_PART = 1024
/** Looks at a flag before sleeping on it, some 30 microseconds: jobs follow each other sooner than that, and waking a thread takes longer. */
const LOOKS = 30_000
const MOST_THREADS = 16

/** Slots of a job, a float64 each: operation, number of arguments, arguments, result. */
export const JOB = { operation: 0, count: 1, arguments: 2, result: 12, size: 16 } as const
/** Flags of a thread, an int32 each, on a cache line of their own: jobs given, jobs done (negative: it failed), 1 once it listens. */
export const FLAG = { given: 0, done: 1, joined: 2, size: 16 } as const
/** Operations by number; a thread that is given one more ends. */
export const OPERATIONS = ['addRows', 'addColumn', 'add', 'subtract', 'gradients', 'quantise', 'divide', 'addLeaf', 'addLeaves', 'addTree', 'assign', 'search'] as const satisfies (keyof Kernel)[]
export type Operation = (typeof OPERATIONS)[number]
export const END = OPERATIONS.length

/** What a thread of a crew is started with. */
export interface CrewMember {
  module: WebAssembly.Module | undefined
  memory: WebAssembly.Memory
  job: Float64Array
  flags: Int32Array
  /** Why the last job failed, UTF-8, closed by a zero. */
  failure: Uint8Array
}

/** Threads that share the loops of one kernel: the calling one and, with more than one, workers that sleep between jobs. */
export interface Crew extends AsyncDisposable {
  readonly kernel: Kernel
  /** Those that have not joined yet as well. */
  readonly threads: number
  /** Resolves when all threads have started, which takes a tenth of a second; loops run without those that have not. */
  readonly joined: Promise<void>
  /**
   * Runs a loop over `start … end` in parts of about equal size, which begin at multiples of `grain`, one a thread; in one part
   * when it has fewer than two parts' `least`. `args` are all but the last two arguments, given the number of the part. Returns the parts' results, in
   * order, when all are done.
   */
  run(operation: Operation, args: (part: number) => number[], start: number, end: number, grain?: number, least?: number): Part[]
}

/** One thread's share of a loop, and what the loop returned. */
export interface Part {
  start: number
  end: number
  result: number
}

/** As many threads as asked for; as the machine has when 0; one when there are too few rows to share. */
export function threadsFor(asked: number, rows: number): number {
  const most = asked === 0 ? Math.min(availableParallelism(), MOST_THREADS) : asked
  return Math.max(1, Math.min(most, Math.floor(rows / LEAST_ROWS)))
}

/** A crew of the calling thread alone. */
export function soloCrew(kernel: Kernel): Crew {
  return crewOf(kernel, [])
}

/** Starts `threads − 1` workers over the memory of `arena`. */
export async function openCrew(arena: Arena, threads: number, kind: KernelKind): Promise<Crew> {
  const module = await kernelModule(kind)
  const workers = Array.from({ length: threads - 1 }, () => startWorker(module, arena.memory))
  return crewOf(openKernel(module, arena.memory), workers)
}

function crewOf(kernel: Kernel, workers: CrewWorker[]): Crew {
  return {
    kernel,
    threads: workers.length + 1,
    joined: Promise.all(workers.map((worker) => worker.joined)).then(() => {}),
    run(operation, args, start, end, grain = 1, least = LEAST_PART) {
      const members = workers.filter((worker) => worker.hasJoined())
      const parts = cutParts(start, end, grain, Math.min(members.length + 1, Math.floor((end - start) / least)))
      const call = kernel[operation] as (...args: number[]) => number
      // All arguments are there before any thread starts: they may allocate.
      const [own, ...others] = parts.map((part, index) => [...args(index), part.start, part.end])
      others.forEach((given, index) => members[index].give(OPERATIONS.indexOf(operation), given))
      parts[0].result = call(...own)
      parts.slice(1).forEach((part, index) => {
        part.result = members[index].wait()
      })
      return parts
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(workers.map((worker) => worker.end()))
    },
  }
}

function cutParts(start: number, end: number, grain: number, most: number): Part[] {
  const count = Math.max(1, most)
  const cut = (part: number): number => (part === count ? end : start + Math.floor(((end - start) * part) / count / grain) * grain)
  return Array.from({ length: count }, (_, part) => ({ start: cut(part), end: cut(part + 1), result: 0 }))
}

interface CrewWorker {
  joined: Promise<unknown>
  hasJoined(): boolean
  give(operation: number, args: number[]): void
  /** Sleeps until the job is done and returns its result. */
  wait(): number
  end(): Promise<void>
}

function startWorker(module: WebAssembly.Module | undefined, memory: WebAssembly.Memory): CrewWorker {
  const job = new Float64Array(new SharedArrayBuffer(8 * JOB.size))
  const flags = new Int32Array(new SharedArrayBuffer(4 * FLAG.size))
  const failure = new Uint8Array(new SharedArrayBuffer(512))
  const worker = new Worker(new URL('kernel-worker.ts', import.meta.url), { workerData: { module, memory, job, flags, failure } satisfies CrewMember })
  let ending = false
  // A crew that nobody ends does not keep the process.
  const joined = once(worker, 'message').then(() => ending || worker.unref())
  const give = (operation: number, args: number[]): void => {
    job.set([operation, args.length, ...args])
    Atomics.add(flags, FLAG.given, 1)
    Atomics.notify(flags, FLAG.given)
  }
  return {
    joined,
    hasJoined: () => Atomics.load(flags, FLAG.joined) === 1,
    give,
    wait() {
      const done = awaitChange(flags, FLAG.done, flags[FLAG.given] - 1)
      if (done < 0) throw new Error(`A thread of the tree kernel failed: ${new TextDecoder().decode(failure.slice(0, failure.indexOf(0)))}`)
      return job[JOB.result]
    },
    async end() {
      if (worker.threadId < 0) return
      ending = true
      worker.ref()
      const exit = once(worker, 'exit')
      give(END, [])
      await exit
    },
  }
}

/** Returns the flag once it is no longer `old`. */
export function awaitChange(flags: Int32Array, flag: number, old: number): number {
  for (let look = 0; look < LOOKS; look++) {
    const now = Atomics.load(flags, flag)
    if (now !== old) return now
  }
  for (;;) {
    Atomics.wait(flags, flag, old)
    const now = Atomics.load(flags, flag)
    if (now !== old) return now
  }
}
