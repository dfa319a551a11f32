/** A place in the shared memory, in bytes: the `byteOffset` of an array of the arena. */
export type Address = number

/**
 * A loop of the kernel. It runs over `start … end`, which are always the last two arguments, so that threads can
 * share it in parts.
 */
export type Loop<Args extends number[], Result = void> = (...args: [...Args, start: number, end: number]) => Result
