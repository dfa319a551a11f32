import type { Random } from '../../datasets/random/random.ts'
import type { Arena } from '../kernel/arena.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { GiniNode } from './gini.ts'

/** The values of 16 random bits. */
const CHANCES = 65_536
/** Words of a stream's state, and behind them the sum of a bootstrap's pairs. */
const WORDS = 4

/** Where random numbers pass to the kernel: arrays of the arena. `bits` may hold anything else between draws. */
export interface DrawRoom {
  state: Int32Array
  /** 16 bits a row. */
  bits: Int32Array
}

export function drawRoom(arena: Arena, bits: Int32Array): DrawRoom {
  return { state: arena.ints(WORDS + 2), bits }
}

/** By 16 random bits, how often a row is drawn: a Poisson number with mean 1. An array of the arena, for any number of threads. */
export function poissonTimes(arena: Arena): Uint8Array {
  const times = arena.bytes(CHANCES)
  let [draws, term, most] = [0, Math.exp(-1), Math.exp(-1)]
  for (let bits = 0; bits < CHANCES; bits++) {
    for (; bits / CHANCES >= most; most += term) term /= ++draws
    times[bits] = draws
  }
  return times
}

/** How many rows were drawn, each counted once, and how often: all, and the frauds. */
export interface Bootstrap extends GiniNode {
  count: number
}

/** What a bootstrap is drawn of, and into: arrays of the arena. */
export interface BootstrapArrays extends DrawRoom {
  y: Uint8Array
  /** Of `poissonTimes`. */
  times: Uint8Array
  /** How often each row is drawn, and the same again where it is a fraud. */
  pairs: Int32Array
}

/**
 * Draws a bootstrap: weights into `pairs`, the rows drawn, rising, into the front of `rows`. Each row is drawn a Poisson number
 * of times with mean 1, apart from the others (Oza and Russell 2001, as in Spark): what n draws with replacement come to for
 * all but the smallest n, without a jump through memory for each.
 */
export function drawBootstrap(
  kernel: Kernel,
  random: Random,
  { y, times, pairs, state, bits }: BootstrapArrays,
  rows: Int32Array,
): Bootstrap {
  drawBits(kernel, random, { state, bits }, y.length)
  const sums = state.subarray(WORDS)
  const count = kernel.drawBootstrap(
    bits.byteOffset,
    times.byteOffset,
    y.byteOffset,
    pairs.byteOffset,
    rows.byteOffset,
    sums.byteOffset,
    0,
    y.length,
  )
  return { count, weight: sums[0], frauds: sums[1] }
}

/**
 * Parts the row numbers 0 … into those drawn, in front and rising, and the others, behind them and falling: each is drawn with
 * chance `share`, to 1/65,536, apart from the others. Returns how many are drawn, one at least.
 */
export function drawRows(kernel: Kernel, random: Random, room: DrawRoom, share: number, rows: Int32Array): number {
  const below = Math.max(1, Math.round(share * CHANCES))
  for (;;) {
    drawBits(kernel, random, room, rows.length)
    const drawn = kernel.drawRows(room.bits.byteOffset, below, rows.byteOffset, 0, rows.length)
    if (drawn > 0) return drawn
  }
}

function drawBits(kernel: Kernel, random: Random, { state, bits }: DrawRoom, rows: number): void {
  state.set(random.state())
  kernel.drawWords(state.byteOffset, bits.byteOffset, 0, Math.ceil(rows / 2))
  random.resume(state)
}
