/** A stream of pseudo-random numbers: the same seed and counters, the same numbers, on every machine. */
export interface Random {
  /** Uniform in [0, 1), 32 random bits. */
  uniform(): number
  /** Uniform whole number in [0, below); `below` at most 2^32. */
  integer(below: number): number
  /** Normal by the polar method of Marsaglia. */
  normal(mean: number, deviation: number): number
  /** Poisson by Knuth's multiplication: for small means (the cost grows with the mean, and above 700 the product underflows). */
  poisson(mean: number): number
  /** Starts over as the stream of other counters; saves an object where a stream a row is wanted. */
  restart(...counters: number[]): void
  /** The generator's four 32-bit words: whoever has them goes on from here. */
  state(): number[]
  /** Goes on from such a state. */
  resume(state: ArrayLike<number>): void
}

/**
 * A stream for a seed and counters, such as (seed, customer, day). Streams of different counters are independent, so the
 * draws of one customer's day do not depend on any other having been drawn, and any of them can be drawn again.
 *
 * The generator is sfc32 (Chris Doty-Humphrey, PractRand): four 32-bit words, which JavaScript adds and shifts without
 * BigInt. The words come from the counters through the finaliser of MurmurHash3.
 */
export function randomStream(seed: number, ...counters: number[]): Random {
  let [a, b, c, weyl] = [0, 0, 0, 1]
  let spare = NaN
  const next = (): number => {
    const out = (((a + b) | 0) + weyl) | 0
    weyl = (weyl + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (((c << 21) | (c >>> 11)) + out) | 0
    return out >>> 0
  }
  const restart = (...path: number[]): void => {
    let [low, high] = [mix(seed | 0), mix(Math.floor(seed / 0x1_0000_0000) ^ 0x9e37_79b9)]
    for (const counter of path) {
      low = mix(low ^ counter)
      high = mix((high + 0x85eb_ca6b) ^ low ^ Math.floor(counter / 0x1_0000_0000))
    }
    ;[a, b, c, weyl, spare] = [low, high, mix(low ^ high ^ path.length), 1, NaN]
    // The words of near counters resemble each other for the first rounds; 12 is the generator's own advice for such seeds.
    for (let round = 0; round < 12; round++) next()
  }
  const uniform = (): number => next() / 0x1_0000_0000
  const normal = (mean: number, deviation: number): number => {
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
  }
  const resume = (words: ArrayLike<number>): void => {
    ;[a, b, c, weyl, spare] = [words[0], words[1], words[2], words[3], NaN]
  }
  restart(...counters)
  return {
    uniform,
    integer: (below) => Math.floor(uniform() * below),
    normal,
    poisson: (mean) => knuthPoisson(uniform, mean),
    restart,
    state: () => [a, b, c, weyl],
    resume,
  }
}

function knuthPoisson(uniform: () => number, mean: number): number {
  const limit = Math.exp(-mean)
  let count = 0
  for (let product = uniform(); product > limit; product *= uniform()) count++
  return count
}

function mix(word: number): number {
  let mixed = word | 0
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85eb_ca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2_ae35)
  return mixed ^ (mixed >>> 16)
}
