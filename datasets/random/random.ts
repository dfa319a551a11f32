/** A stream of pseudo-random numbers: the same seed and counters give the same numbers on every machine. */
export interface Random {
  /** Uniform in [0, 1), 32 random bits. */
  uniform(): number
  /** Uniform whole number in [0, below); `below` at most 2^32. */
  integer(below: number): number
  /** Normal by the polar method of Marsaglia. */
  normal(mean: number, deviation: number): number
  /**
   * Poisson by Knuth's multiplication. For small means: the cost grows with the mean, and above 700 the product
   * underflows.
   */
  poisson(mean: number): number
  /** Starts over as the stream of other counters. It saves an object where every row needs its own stream. */
  restart(...counters: number[]): void
  /**
   * The generator's four 32-bit words, from which `resume` continues. A normal kept for the next call is not among
   * them.
   */
  state(): number[]
  /** Continues from such a state: the first four words of it, since memory of the kernel is longer than asked for. */
  resume(state: ArrayLike<number>): void
}

/**
 * A stream for a seed and counters, such as (seed, customer, day). Streams of different counters are independent: the
 * draws of one customer's day do not depend on which others were drawn, and any of them can be drawn again.
 *
 * The generator is sfc32 (Chris Doty-Humphrey, PractRand): four 32-bit words, which JavaScript adds and shifts without
 * BigInt. The words come from the counters through the finaliser of MurmurHash3.
 */
export function randomStream(seed: number, ...counters: number[]): Random {
  const words = new Int32Array(4)
  const uniform = (): number => next(words) / 0x1_0000_0000
  const normals = polarNormals(uniform)
  const restart = (...path: number[]): void => {
    seedWords(words, seed, path)
    normals.forget()
  }
  restart(...counters)
  return {
    uniform,
    integer: (below) => Math.floor(uniform() * below),
    normal: normals.draw,
    poisson: (mean) => knuthPoisson(uniform, mean),
    restart,
    state: () => [...words],
    resume: (state) => {
      for (let word = 0; word < words.length; word++) words[word] = state[word]
      normals.forget()
    },
  }
}

/** One step of sfc32 on its words a, b, c and the counter: 32 random bits, from 0 to 2^32 − 1. */
function next(words: Int32Array): number {
  const [a, b, c] = [words[0], words[1], words[2]]
  const out = (((a + b) | 0) + words[3]) | 0
  words[0] = b ^ (b >>> 9)
  words[1] = (c + (c << 3)) | 0
  words[2] = (((c << 21) | (c >>> 11)) + out) | 0
  words[3] += 1
  return out >>> 0
}

/** Sets the words to the beginning of the stream of `seed` and the counters in `path`. */
function seedWords(words: Int32Array, seed: number, path: number[]): void {
  let [low, high] = [mix(seed | 0), mix(Math.floor(seed / 0x1_0000_0000) ^ 0x9e37_79b9)]
  for (const counter of path) {
    low = mix(low ^ counter)
    high = mix((high + 0x85eb_ca6b) ^ low ^ Math.floor(counter / 0x1_0000_0000))
  }
  words[0] = low
  words[1] = high
  words[2] = mix(low ^ high ^ path.length)
  words[3] = 1
  // The words of near counters resemble each other in the first rounds; sfc32's author advises 12 rounds for such
  // seeds.
  for (let round = 0; round < 12; round++) next(words)
}

/** Normals by the polar method, which makes two at a time: the second is kept for the next draw. */
interface Normals {
  draw(mean: number, deviation: number): number
  /** Drops the kept one, so that a stream that starts over does not depend on what was drawn before. */
  forget(): void
}

function polarNormals(uniform: () => number): Normals {
  let spare = NaN
  return {
    draw: (mean, deviation) => {
      if (!Number.isNaN(spare)) {
        const value = mean + deviation * spare
        spare = NaN
        return value
      }
      for (;;) {
        const [x, y] = [2 * uniform() - 1, 2 * uniform() - 1]
        const square = x * x + y * y
        if (square >= 1 || square === 0) continue
        const factor = Math.sqrt((-2 * Math.log(square)) / square)
        spare = y * factor
        return mean + deviation * x * factor
      }
    },
    forget: () => {
      spare = NaN
    },
  }
}

function knuthPoisson(uniform: () => number, mean: number): number {
  const limit = Math.exp(-mean)
  let count = 0
  for (let product = uniform(); product > limit; product *= uniform()) count++
  return count
}

/** The finaliser of MurmurHash3: every bit of `word` moves about half of the result's bits. */
function mix(word: number): number {
  let mixed = word | 0
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85eb_ca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2_ae35)
  return mixed ^ (mixed >>> 16)
}
