/** How far two scorings of the same rows lie apart, as the largest of all rows. NaN counts as infinitely far. */
export interface Difference {
  /** |one − other|. */
  absolute: number
  /**
   * |one − other| over the larger of the two. Most rows of a card stream score far below the absolute tolerance, so
   * that one alone would say nothing of them. A score below 1e-30 counts as 1e-30, since ONNX Runtime may take the
   * smallest float32 for 0.
   */
  relative: number
}

const SMALLEST = 1e-30

/** The largest differences over all rows. */
export function largestDifference(one: Float32Array, other: Float32Array): Difference {
  const largest = { absolute: 0, relative: 0 }
  for (let row = 0; row < one.length; row++) {
    const apart = Math.abs(one[row] - other[row])
    const difference = Number.isNaN(apart) ? Infinity : apart
    const scale = Math.max(Math.abs(one[row]), Math.abs(other[row]), SMALLEST)
    largest.absolute = Math.max(largest.absolute, difference)
    // Where a score is infinite or NaN, its scale is no number.
    largest.relative = Math.max(largest.relative, difference === Infinity ? Infinity : difference / scale)
  }
  return largest
}
