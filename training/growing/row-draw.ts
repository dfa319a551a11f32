import type { Random } from '../../datasets/random/random.ts'
import type { Arena } from '../kernel/arena.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { GiniNode } from './gini.ts'

/** How many values 16 random bits have. */
const CHANCES = 65_536
/** Words of a stream's state. Behind them is room for the sum of a bootstrap's pairs. */
const WORDS = 4

/**
 * Arrays of the arena by which random numbers pass to the kernel. Between draws, `bits` may be used for other things.
 */
export interface DrawRoom {
  state: Int32Array
  /** 16 bits a row. */
  bits: Int32Array
}

export function drawRoom(arena: Arena, bits: Int32Array): DrawRoom {
  return { state: arena.ints(WORDS + 2), bits }
}

/**
 * How often a row is drawn, by 16 random bits: a Poisson number with mean 1. An array of the arena, which all threads
 * may share.
 */
export function poissonTimes(arena: Arena): Uint8Array {
  const times = arena.bytes(CHANCES)
  let [draws, term, most] = [0, Math.exp(-1), Math.exp(-1)]
  for (let bits = 0; bits < CHANCES; bits++) {
    for (; bits / CHANCES >= most; most += term) term /= ++draws
    times[bits] = draws
  }
  return times
}

/** How many rows were drawn, each counted once. Weights count the draws: all of them, and those of frauds. */
export interface Bootstrap extends GiniNode {
  count: number
}

/** What a bootstrap is drawn from, and into: arrays of the arena. */
export interface BootstrapArrays extends DrawRoom {
  y: Uint8Array
  /** Made by `poissonTimes`. */
  times: Uint8Array
  /** A pair for each row: how often it is drawn, and the same again where it is a fraud, else 0. */
  pairs: Int32Array
}

/**
 * Draws a bootstrap: writes the weights to `pairs`, and the rows drawn, rising, to the front of `rows`. Each row is
 * drawn a Poisson number of times with mean 1, independently of the others (Oza and Russell 2001, as in Spark). For
 * all but the smallest n that comes to the same as n draws with replacement, without a jump through memory for each.
 */
export function drawBootstrap(kernel: Kernel, random: Random, arrays: BootstrapArrays, rows: Int32Array): Bootstrap {
  const { y, times, pairs, state, bits } = arrays
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
 * Draws rows: each with chance `share`, to the nearest 1/65,536, independently of the others. Fills `rows` with the
 * row numbers from 0: those drawn in front, rising, the others behind them, falling. Returns how many are drawn, at
 * least one.
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
