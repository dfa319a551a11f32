/**
 * Copies the first `count` values of `from` to `to[at …]`. This is the only cast from what the fold computes
 * (float64) to what a model reads (float32), and both training and scoring use it.
 */
export function toModelInput(from: Float64Array, count: number, to: Float32Array, at = 0): void {
  to.set(from.subarray(0, count), at)
}
