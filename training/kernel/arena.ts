/**
 * An arena is the memory that a kernel, its twin and worker threads share. Arrays lie in it one after another, and the
 * `byteOffset` of an array is its address in the kernel, never 0.
 *
 * - **Ownership.** There is no freeing of single arrays. A `scope`, when disposed of, gives back all that was allocated
 *   since it was opened, so scopes nest. An array must not be used after its scope.
 * - **Contents.** Arrays are zero when allocated, also in memory that was used and given back before.
 * - **Threads.** Only the thread that made the arena allocates. Two arrays never share a cache line.
 */
import { UserError } from '../../configs/user-error.ts'

const PAGE = 65_536
/** As many as 32-bit addresses reach: 4 GiB. */
const MOST_PAGES = 65_536
/** A cache line, so that arrays that different threads write never share one. */
const ALIGNMENT = 64

/** Memory of which arrays are allocated. Lengths are numbers of elements. */
export interface Arena {
  readonly memory: WebAssembly.Memory
  /** @throws UserError, as the others do, when 4 GiB, or the machine's memory, are not enough. */
  bytes(length: number): Uint8Array
  ints(length: number): Int32Array
  floats(length: number): Float32Array
  /** When disposed of, gives back all that was allocated since. */
  scope(): Disposable
}

export function createArena(): Arena {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: MOST_PAGES, shared: true })
  let [next, highest] = [ALIGNMENT, ALIGNMENT]
  const allocate = (bytes: number): number => {
    const at = next
    next = Math.ceil((at + bytes) / ALIGNMENT) * ALIGNMENT
    reserve(memory, next)
    // Memory that was used and given back is not zero.
    if (at < highest) new Uint8Array(memory.buffer, at, Math.min(next, highest) - at).fill(0)
    highest = Math.max(highest, next)
    return at
  }
  return {
    memory,
    bytes: (length) => viewBytes(memory, allocate(length), length),
    ints: (length) => viewInts(memory, allocate(4 * length), length),
    floats: (length) => viewFloats(memory, allocate(4 * length), length),
    scope() {
      const mark = next
      return {
        [Symbol.dispose]: () => {
          next = mark
        },
      }
    },
  }
}

// These read `memory.buffer` after the allocation, which may have grown it.
function viewBytes(memory: WebAssembly.Memory, at: number, length: number): Uint8Array {
  return new Uint8Array(memory.buffer, at, length)
}

function viewInts(memory: WebAssembly.Memory, at: number, length: number): Int32Array {
  return new Int32Array(memory.buffer, at, length)
}

function viewFloats(memory: WebAssembly.Memory, at: number, length: number): Float32Array {
  return new Float32Array(memory.buffer, at, length)
}

function reserve(memory: WebAssembly.Memory, bytes: number): void {
  const missing = Math.ceil(bytes / PAGE) - memory.buffer.byteLength / PAGE
  if (missing <= 0) return
  try {
    memory.grow(missing)
  } catch (error) {
    throw new UserError(
      `The training set needs ${(bytes / 2 ** 30).toFixed(1)} GiB while it is fitted, ` +
        "more than the tree kernel's 4 GiB or than this machine has. Use fewer rows or features.",
      { cause: error },
    )
  }
}
