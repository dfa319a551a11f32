import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'

/**
 * A contest of trainers: every fit is a job that a process of its own reads from a file and answers on stdout, so that no
 * library warms or crowds another and the peak of memory is its own. `contest-own.ts` runs ours, `contest-peer.py` the others.
 */
export interface Job {
  task: Task
  contestant: string
  /** Folder with parts `NAME.x` (row-major float32) and `NAME.y` (a byte a row). */
  folder: string
  features: number
  /** Part to fit on, and part to score. */
  fit: string
  score: string
  params: ContestParams
  /** The process may use so many processors and no more. */
  threads: number
  /** Where the scores go, float32. */
  scores: string
}

export type Task = 'boosting' | 'forest' | 'isolation'

/** Parameters in no library's own words; each runner translates. Those that a task does not know are not read. */
export interface ContestParams {
  trees: number
  depth: number
  learningRate: number
  l2: number
  /** Least hessian sum of a leaf (boosting). */
  minChildWeight: number
  /** Least rows of a leaf (forest). */
  minSamplesLeaf: number
  subsample: number
  /** Share of the features drawn: for a tree (boosting), at a split (forest). */
  colsample: number
  /** Rows a tree (isolation). */
  sampleSize: number
  seed: number
}

/** Who takes part in what. */
export const CONTESTANTS: Record<Task, string[]> = {
  boosting: ['fd', 'xgboost', 'lightgbm', 'scikit-learn'],
  forest: ['fd', 'scikit-learn'],
  isolation: ['fd', 'scikit-learn'],
}

/** What a job took. Fitting includes binning and whatever the library does to take the matrix; reading the file is outside. */
export const outcomeSchema = z.object({
  fitSeconds: z.number(),
  fitCpuSeconds: z.number(),
  scoreSeconds: z.number(),
  scoreCpuSeconds: z.number(),
  /** Peak resident memory of the process, and of that what was added after the data had been read. */
  peakMb: z.number(),
  addedMb: z.number(),
})
export type Outcome = z.infer<typeof outcomeSchema>

/** A part as a job finds it. */
export function readPart(folder: string, part: string): { x: Float32Array; y: Uint8Array } {
  const x = readFileSync(join(folder, `${part}.x`))
  return { x: new Float32Array(x.buffer, x.byteOffset, x.byteLength / 4), y: readLabels(folder, part) }
}

export function readLabels(folder: string, part: string): Uint8Array {
  return new Uint8Array(readFileSync(join(folder, `${part}.y`)))
}
