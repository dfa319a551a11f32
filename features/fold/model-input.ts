/**
 * The one cast from what the fold computes (float64) to what a model reads (float32). Training and scoring both go
 * through it. Copies `count` values of `from` to `to` at `at`.
 */
export function toModelInput(from: Float64Array, count: number, to: Float32Array, at = 0): void {
  to.set(from.subarray(0, count), at)
}
