import type { Judge } from '../prediction.ts'

/** The group of all scorers of a simulation. */
export const GROUP = 'g'

export const JUDGE: Judge = { name: 'stand-in', version: 1, threshold: 0.5, group: GROUP }

/**
 * Stands for a model: a pure function of a row's features and of its version. The scheduling is under test here, and
 * no model.
 */
export function standIn(input: Float32Array, rows: number, version = 1): Float32Array {
  const width = input.length / Math.max(1, rows)
  return Float32Array.from({ length: rows }, (_, row) => {
    let sum = 0
    for (const [f, value] of input.subarray(row * width, (row + 1) * width).entries()) sum += (f + 1) * value
    // Coarse, so that some scores are the threshold itself.
    return Math.round(((Math.abs(sum) * 0.37 * version) % 1) * 16) / 16
  })
}
