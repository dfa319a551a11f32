/** Buckets for each doubling of the latency. A quantile is off by at most about 3 %, 1/32 of itself. */
const PER_DOUBLING = 32
const SMALLEST_MS = 2 ** -10
const DOUBLINGS = 42
const BUCKETS = DOUBLINGS * PER_DOUBLING
const LARGEST_MS = SMALLEST_MS * 2 ** DOUBLINGS
/** How far a producer's clock may be ahead of ours. */
const MOST_AHEAD_MS = 3_600_000

/**
 * The time from a record's timestamp to `done`, ms; 0 where the producer's clock is a little ahead. NaN where the
 * timestamp cannot be the moment of the append, being more than an hour ahead or 50 days old (0, event time, a unit
 * that is not milliseconds): no figure can be made of it.
 */
export function latencyOf(timestamp: number, done: number): number {
  const latency = done - timestamp
  return latency >= -MOST_AHEAD_MS && latency < LARGEST_MS ? Math.max(0, latency) : Number.NaN
}

/** A histogram of fixed size for latencies from 1 µs to 50 days. */
export interface LatencyHistogram {
  /** NaN, an unknown latency, is not counted. */
  add(milliseconds: number): void
  /** The latency in ms that a share `q` of the samples does not exceed; NaN without samples. */
  quantile(q: number): number
  count(): number
}

export function latencyHistogram(): LatencyHistogram {
  const buckets = new Uint32Array(BUCKETS)
  let samples = 0
  return {
    add: (milliseconds) => {
      if (Number.isNaN(milliseconds)) return
      const bucket = Math.floor(Math.log2(Math.max(milliseconds, SMALLEST_MS) / SMALLEST_MS) * PER_DOUBLING)
      buckets[Math.min(bucket, BUCKETS - 1)]++
      samples++
    },
    quantile: (q) => {
      let below = 0
      const wanted = Math.max(1, Math.ceil(q * samples))
      for (let b = 0; b < BUCKETS; b++) {
        below += buckets[b]
        if (below >= wanted) return SMALLEST_MS * 2 ** ((b + 1) / PER_DOUBLING)
      }
      return Number.NaN
    },
    count: () => samples,
  }
}
