import { UserError } from '../../configs/user-error.ts'

const PAGE = 65_536
/** All that 32-bit addresses reach. */
const MOST_PAGES = 65_536
/** A cache line: arrays that different threads write never share one. */
const ALIGNMENT = 64

/**
 * Memory that the kernel, its twin and worker threads share. Arrays lie one after another; the `byteOffset` of each is its
 * address in the kernel, never 0. They are zero when allocated.
 */
export interface Arena {
  readonly memory: WebAssembly.Memory
  /** @throws UserError, as the others do, when 4 GiB are not enough. */
  bytes(length: number): Uint8Array
  ints(length: number): Int32Array
  floats(length: number): Float32Array
  /** Gives back, when disposed, all that was allocated since. */
  scope(): Disposable
}

export function createArena(): Arena {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: MOST_PAGES, shared: true })
  let [next, highest] = [ALIGNMENT, ALIGNMENT]
  const allocate = (bytes: number): number => {
    const at = next
    next = Math.ceil((at + bytes) / ALIGNMENT) * ALIGNMENT
    reserve(memory, next)
    // Memory that was used before and given back is not zero.
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

// The buffer is asked for after allocation, which may have grown it.
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
      `The training set needs ${(bytes / 2 ** 30).toFixed(1)} GiB while it is fitted, more than the tree kernel's 4 GiB or than this machine has. Use fewer rows or features.`,
      { cause: error },
    )
  }
}
