/**
 * The board is where the threads of a crew meet. It holds one loop at a time, in parts, and whoever is awake takes
 * one part after another. Nobody waits for a thread that sleeps, or that the machine does not run, unless it has
 * taken a part: the other threads do the rest.
 *
 * - **Ticket.** An int32 that says which loop is offered and how many of its parts are left to take. Offering a loop
 *   sets it; taking a part decrements it by compare-and-exchange, so that no part is done twice.
 * - **Ordering.** A loop's calls and parts are written before its ticket, and a part's result before it is counted as
 *   done. A loop ends when all its parts are done, so no thread still reads the board when the next one is written.
 * - **Sleep.** A thread looks at a flag for a while, then sleeps on it. It counts itself as a sleeper first, so that
 *   the others notify only when somebody sleeps.
 * - **Errors.** A part that throws is done, too. Its message is kept and `collect` throws it.
 */
import { errorMessage } from '../../configs/user-error.ts'
import type { Kernel } from './kernel.ts'

/**
 * How often a thread looks at a flag before it sleeps on it, some 30 microseconds. Loops follow each other sooner than
 * that, and waking a thread takes longer.
 */
const LOOKS = 30_000
/**
 * Longest wait for a part that another thread has taken. A part takes less than a second, but its thread may have
 * died.
 */
const PATIENCE_MS = 300_000
/** The lower bits of a ticket count the parts that nobody has taken yet; the other bits count the loops. */
const PART_BITS = 8
export const MOST_PARTS = 2 ** PART_BITS - 1

/** Operations that a crew shares, by number. */
const OPERATIONS = [
  'addRows',
  'addColumn',
  'add',
  'subtract',
  'gradients',
  'quantise',
  'divide',
  'addLeaf',
  'addLeaves',
  'addTree',
  'assign',
  'search',
  'pack',
] as const satisfies (keyof Kernel)[]
export type Operation = (typeof OPERATIONS)[number]

/** Flags, an int32 each. Each has a cache line of its own. */
const FLAG = { ticket: 0, done: 16, sleepers: 32, awaited: 48, failed: 64, ending: 80, size: 96 } as const
/** Slots of a thread's call, a float64 each: operation, number of arguments, arguments. */
const CALL = { operation: 0, count: 1, arguments: 2, size: 16 } as const
/** Slots of a part, a float64 each. */
const PART = { start: 0, end: 1, result: 2, thread: 3, size: 4 } as const

/** Arrays of shared memory, the same for all threads. */
export interface Board {
  flags: Int32Array
  /** A call for each thread, since threads may differ in their first arguments. */
  calls: Float64Array
  parts: Float64Array
  /** Why a part failed, in UTF-8, closed by a zero. */
  failure: Uint8Array
}

/** One part of a loop, what the loop returned for it, and the thread that did it. */
export interface Part {
  start: number
  end: number
  result: number
  thread: number
}

export function createBoard(threads: number): Board {
  const doubles = (length: number): Float64Array => new Float64Array(new SharedArrayBuffer(8 * length))
  return {
    flags: new Int32Array(new SharedArrayBuffer(4 * FLAG.size)),
    calls: doubles(threads * CALL.size),
    parts: doubles(MOST_PARTS * PART.size),
    failure: new Uint8Array(new SharedArrayBuffer(512)),
  }
}

/**
 * Offers a loop to all threads in `count` parts: part i runs over `cut(i) … cut(i + 1)`. `args` holds, by thread, all
 * arguments but start and end.
 */
export function offer(
  { flags, calls, parts }: Board,
  operation: Operation,
  args: number[][],
  count: number,
  cut: (part: number) => number,
): void {
  args.forEach((own, thread) => calls.set([OPERATIONS.indexOf(operation), own.length, ...own], thread * CALL.size))
  for (let part = 0; part < count; part++) parts.set([cut(part), cut(part + 1)], part * PART.size)
  flags[FLAG.done] = 0
  flags[FLAG.failed] = 0
  const loops = flags[FLAG.ticket] >>> PART_BITS
  Atomics.store(flags, FLAG.ticket, ((loops + 1) << PART_BITS) | count)
  if (Atomics.load(flags, FLAG.sleepers) > 0) Atomics.notify(flags, FLAG.ticket)
}

/** Takes parts of the loop and does them, until none is left to take. */
export function takeParts(board: Board, thread: number, kernel: Kernel): void {
  const { flags, calls, parts } = board
  for (let part = takePart(flags); part >= 0; part = takePart(flags)) {
    const at = part * PART.size
    const call = thread * CALL.size
    const args = calls.subarray(call + CALL.arguments, call + CALL.arguments + calls[call + CALL.count])
    try {
      const loop = kernel[OPERATIONS[calls[call + CALL.operation]]] as (...args: number[]) => number
      parts[at + PART.result] = loop(...args, parts[at + PART.start], parts[at + PART.end])
    } catch (error) {
      board.failure.fill(0).set(new TextEncoder().encode(errorMessage(error)).subarray(0, board.failure.length - 1))
      Atomics.store(flags, FLAG.failed, 1)
    }
    parts[at + PART.thread] = thread
    Atomics.add(flags, FLAG.done, 1)
    if (Atomics.load(flags, FLAG.awaited) === 1) Atomics.notify(flags, FLAG.done)
  }
}

/**
 * Takes the last part that nobody has taken; −1 when there is none. Until that part is done the loop cannot end, nor
 * the next one begin.
 */
function takePart(flags: Int32Array): number {
  for (;;) {
    const ticket = Atomics.load(flags, FLAG.ticket)
    const left = ticket & MOST_PARTS
    if (left === 0) return -1
    if (Atomics.compareExchange(flags, FLAG.ticket, ticket, ticket - 1) === ticket) return left - 1
  }
}

/**
 * Waits until all parts of the loop are done and returns them.
 *
 * @throws Error when a part has failed, or is not done within `patience` ms.
 */
export function collect({ flags, parts, failure }: Board, count: number, patience = PATIENCE_MS): Part[] {
  if (!awaitFlag(flags, FLAG.done, FLAG.awaited, (done) => done === count, patience)) {
    throw new Error(`A thread of the tree kernel has not done its part within ${patience / 1000} s.`)
  }
  if (flags[FLAG.failed] === 1) {
    const message = new TextDecoder().decode(failure.slice(0, failure.indexOf(0)))
    throw new Error(`A thread of the tree kernel failed: ${message}`)
  }
  return Array.from({ length: count }, (_, part) => {
    const [start, end, result, thread] = parts.subarray(part * PART.size, (part + 1) * PART.size)
    return { start, end, result, thread }
  })
}

/** Waits for a loop with parts left to take. Returns false when the crew ends instead. */
export function awaitLoop({ flags }: Board): boolean {
  const isEnding = (): boolean => Atomics.load(flags, FLAG.ending) === 1
  awaitFlag(flags, FLAG.ticket, FLAG.sleepers, (ticket) => (ticket & MOST_PARTS) !== 0 || isEnding())
  return !isEnding()
}

/** Tells all threads that there will be no more loops. */
export function endCrew({ flags }: Board): void {
  Atomics.store(flags, FLAG.ending, 1)
  // A thread that was about to sleep on the ticket finds it changed and stays awake.
  Atomics.add(flags, FLAG.ticket, 1 << PART_BITS)
  Atomics.notify(flags, FLAG.ticket)
}

/**
 * Waits until `holds` is true of the value of `flag`, and returns true; false when it is not after `patience` ms. The
 * thread looks for a while, then sleeps, counted in the flag `sleepers`.
 */
function awaitFlag(
  flags: Int32Array,
  flag: number,
  sleepers: number,
  holds: (value: number) => boolean,
  patience = Infinity,
): boolean {
  for (let look = 0; look < LOOKS; look++) if (holds(Atomics.load(flags, flag))) return true
  Atomics.add(flags, sleepers, 1)
  let value = Atomics.load(flags, flag)
  while (!holds(value) && Atomics.wait(flags, flag, value, patience) !== 'timed-out') value = Atomics.load(flags, flag)
  Atomics.sub(flags, sleepers, 1)
  return holds(Atomics.load(flags, flag))
}
