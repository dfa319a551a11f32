import { z } from 'zod'
import type { Bins } from '../growing/binning.ts'
import type { Crew } from '../kernel/crew.ts'
import type { KernelKind } from '../kernel/module.ts'
import type { Trees } from '../trees/tree.ts'

/** The parameter `threads` of every estimator that the tree kernel fits. */
export const threads = z
  .number()
  .int()
  .min(0)
  .max(64)
  .default(0)
  .describe('threads that fit; the model does not depend on it; 0 as many as the machine has')

/**
 * Rows that are scored after every round instead of fitted on. They are binned with the cuts of the training rows and
 * live in the arena of those rows.
 */
export interface Watch {
  bins: Bins
  y: Uint8Array
}

/** A fitted ensemble, and the sums of its trees over the rows fitted on and over the watched rows. */
export interface WarmStart {
  trees: Trees
  sums: Float32Array
  watched?: Float32Array
}

/** What a fit may be given beyond its rows. */
export interface FitOptions {
  /** Rows scored after every round, in the arena of the rows fitted on. */
  watch?: Watch
  /** Trees to continue from. New trees come after them and use the draws that would have followed theirs. */
  start?: WarmStart
  /** Names of the features, for parameters that name a feature. */
  names?: string[]
  /** Threads that share loops in the arena of the rows. When undefined, the fit opens its own. */
  crew?: Crew
  /** Kernel of the threads that the fit opens. Default: compiled. */
  kernel?: KernelKind
}
