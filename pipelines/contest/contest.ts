import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'

/**
 * A contest of trainers: our trees beside libraries from PyPI.
 *
 * Every fit is a job for a process of its own, which reads the job from a file and prints the outcome. So no library
 * warms up or crowds out another, and the peak of memory is its own. `own.ts` runs our jobs, `peer.py` those of the
 * others.
 */
export interface Job {
  task: Task
  contestant: string
  /** Folder with parts `NAME.x` (row-major float32) and `NAME.y` (a byte a row). */
  folder: string
  features: number
  /** The part to fit on. */
  fit: string
  /** The part to score. */
  score: string
  params: ContestParams
  /** The number of processors that the process may use. */
  threads: number
  /** The file for the scores, float32. */
  scores: string
}

export type Task = 'boosting' | 'forest' | 'isolation'

/** Parameters in neutral names, which each runner translates. A task does not read those that it does not know. */
export interface ContestParams {
  trees: number
  depth: number
  learningRate: number
  l2: number
  /** The smallest sum of hessians in a leaf (boosting). */
  minChildWeight: number
  /** The smallest number of rows in a leaf (forest). */
  minSamplesLeaf: number
  subsample: number
  /** Share of the features that is drawn for a tree (boosting) or at a split (forest). */
  colsample: number
  /** Rows that each tree is given (isolation). */
  sampleSize: number
  seed: number
}

/** The contestants of each task; `fd` is ours. */
export const CONTESTANTS: Record<Task, string[]> = {
  boosting: ['fd', 'xgboost', 'lightgbm', 'scikit-learn'],
  forest: ['fd', 'scikit-learn'],
  isolation: ['fd', 'scikit-learn'],
}

/**
 * What a job took. Fitting includes binning and whatever the library does to take in the matrix. Reading the file is
 * not counted.
 */
export const outcomeSchema = z.object({
  fitSeconds: z.number(),
  fitCpuSeconds: z.number(),
  scoreSeconds: z.number(),
  scoreCpuSeconds: z.number(),
  /** Peak of the resident memory of the process. */
  peakMb: z.number(),
  /** The part of the peak that was added after the data had been read. */
  addedMb: z.number(),
})
export type Outcome = z.infer<typeof outcomeSchema>

/** Reads a part of a set. */
export function readPart(folder: string, part: string): { x: Float32Array; y: Uint8Array } {
  const x = readFileSync(join(folder, `${part}.x`))
  return { x: new Float32Array(x.buffer, x.byteOffset, x.byteLength / 4), y: readLabels(folder, part) }
}

export function readLabels(folder: string, part: string): Uint8Array {
  return new Uint8Array(readFileSync(join(folder, `${part}.y`)))
}
