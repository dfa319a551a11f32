import { setImmediate } from 'node:timers/promises'
import { z } from 'zod'
import type { Bins } from '../growing/binning.ts'
import type { Crew } from '../kernel/crew.ts'
import type { KernelKind } from '../kernel/module.ts'
import { averagePrecision } from '../metrics/metrics.ts'
import type { Trees } from '../trees/tree.ts'

/** Called after each round (from 1) of `rounds`, with the watched average precision (NaN without watched rows). False prunes: the fit ends with `Pruned`. */
export type Report = (round: number, value: number, rounds: number) => boolean

/** A parameter of every estimator that grows in rounds. */
export const watchShare = z
  .number()
  .min(0)
  .max(0.9)
  .default(0)
  .describe('latest share of the training rows that is watched instead of fitted on')

/** A parameter of every estimator that the tree kernel fits. */
export const threads = z
  .number()
  .int()
  .min(0)
  .max(64)
  .default(0)
  .describe('threads that fit; the model does not depend on it; 0 as many as the machine has')

/** Rows that are not fitted on but scored after every round, binned with the cuts of the training rows, in their arena. */
export interface Watch {
  bins: Bins
  y: Uint8Array
}

/** What a fit may be given beyond its rows. */
export interface FitOptions {
  /** Rows scored after every round, in the arena of the rows fitted on. */
  watch?: Watch
  /** Trees to continue from; the fit's own come after them, and draw as if it had grown these too. */
  start?: WarmStart
  /** Names of the features, for parameters that name one. */
  names?: string[]
  /** Threads that share loops in the arena of the rows; opened for the fit when undefined. */
  crew?: Crew
  /** Of the threads that the fit opens. Default: compiled. */
  kernel?: KernelKind
}

/** A fitted ensemble, and what its trees sum to on the rows fitted on and on those watched. */
export interface WarmStart {
  trees: Trees
  sums: Float32Array
  watched?: Float32Array
}

/** Thrown by a fit whose report answered false. */
export class Pruned extends Error {
  readonly round: number
  readonly value: number

  constructor(round: number, value: number) {
    super(`Pruned after round ${round}`)
    this.name = 'Pruned'
    this.round = round
    this.value = value
  }
}

/**
 * Tells the caller about a finished round and lets the event loop turn, so that progress is drawn and signals are heard
 * while a fit runs on the main thread. Resolves to the watched average precision.
 */
export async function finishRound(
  report: Report,
  round: number,
  rounds: number,
  watched: { sums: Float32Array; y: Uint8Array } | undefined,
): Promise<number> {
  const value = watched === undefined ? Number.NaN : averagePrecision(watched.sums, watched.y)
  if (!report(round, value, rounds)) throw new Pruned(round, value)
  await setImmediate()
  return value
}
