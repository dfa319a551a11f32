/** Buckets for each doubling of the latency. A quantile is off by at most about 3 %, 1/32 of itself. */
const PER_DOUBLING = 32
const SMALLEST_MS = 2 ** -10
const BUCKETS = 32 * PER_DOUBLING

/** A histogram of fixed size for latencies from 1 µs to over an hour. */
export interface LatencyHistogram {
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
