import type { Crew } from '../kernel/crew.ts'
import { BLOCK } from '../kernel/kernel.ts'
import type { Bins } from './binning.ts'

/**
 * What the hessians of all rows sum to in whole numbers, and the absolute gradients too: half of what 32 bits hold.
 * The rest is for rounding.
 */
const TOTAL = 2 ** 30
/** Stands in for a total of 0, so that no unit is infinite. */
const LEAST_TOTAL = 1e-20

/** What 1 is worth in whole-number gradients and hessians. */
export interface Units {
  gradient: number
  hessian: number
}

/**
 * Gradient p − y and hessian p (1 − p) of the logistic loss, as pairs of whole numbers. Both are multiplied by a
 * weight where y is 1.
 */
export interface Gradients {
  /** Hessian and gradient of each row, valid after `update`. */
  pairs: Int32Array
  /** Margins of the rows, float32. The caller adds the leaves of each tree to them. */
  margins: Float32Array
  /** Computes the pairs of all rows at the current margins. */
  update(): Units
}

/** Margins start at 0. A fraud counts as `fraudWeight` genuine rows. */
export function createGradients({ arena, rows }: Bins, y: Uint8Array, fraudWeight: number, crew: Crew): Gradients {
  // The kernel takes four rows at a time. Rows are padded with genuine ones whose margin is −∞, so they have no
  // gradient.
  const padded = Math.ceil(rows / 4) * 4
  const [margins, pairs, labels] = [arena.floats(padded), arena.ints(2 * padded), arena.bytes(padded)]
  const sums = arena.floats(2 * Math.ceil(padded / BLOCK))
  labels.set(y)
  margins.fill(-Infinity, rows)
  return {
    pairs,
    margins: margins.subarray(0, rows),
    update() {
      const args = [pairs.byteOffset, margins.byteOffset, labels.byteOffset, fraudWeight, sums.byteOffset]
      crew.run('gradients', () => args, 0, padded, { grain: BLOCK })
      let [hessians, gradients] = [0, 0]
      for (let at = 0; at < sums.length; at += 2) {
        hessians += sums[at]
        gradients += sums[at + 1]
      }
      const perHessian = Math.fround(TOTAL / Math.max(hessians, LEAST_TOTAL))
      const perGradient = Math.fround(TOTAL / Math.max(gradients, LEAST_TOTAL))
      crew.run('quantise', () => [pairs.byteOffset, perHessian, perGradient], 0, padded, { grain: BLOCK })
      return { gradient: 1 / perGradient, hessian: 1 / perHessian }
    },
  }
}
