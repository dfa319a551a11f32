import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { environmentWith } from '../../configs/config.ts'
import { COMPILE_CACHE } from '../../configs/process/compile-cache.ts'
import { SMALL_YOUNG_GENERATION } from '../../configs/process/young-generation.ts'
import { averagePrecision } from '../../training/metrics/metrics.ts'
import { onPath } from '../services/install.ts'
import { pythonOf } from '../services/python-environment.ts'
import { type Job, outcomeSchema, readLabels, type Outcome } from './contest.ts'

/**
 * The libraries of PyPI that the contest runs against, then all their dependencies: the latest of November 2026 that
 * Python 3.11 runs. The list leaves out the GPU libraries that xgboost asks for.
 */
export const PEERS = [
  'xgboost==3.2.0',
  'lightgbm==4.7.0',
  'scikit-learn==1.9.1',
  'numpy==2.4.6',
  'scipy==1.17.1',
  'joblib==1.6.0',
  'threadpoolctl==3.8.0',
  'narwhals==2.28.0',
  'cloudpickle==3.1.2',
]

/** Where the peers are installed, shared by all homes. */
export function peersFolder(cache: string): string {
  return join(cache, `peers-${PEERS.slice(0, 3).join('-').replaceAll('==', '-')}`)
}

/** What a job took, with its scores and their average precision. */
export type Result = Outcome & { averagePrecision: number; scores: Float32Array }

/** Runs a job in a process of its own, on the first `job.threads` processors of the machine. */
export function runJob(job: Omit<Job, 'scores'>, python: string): Result {
  const file = { job: join(job.folder, 'job.json'), scores: join(job.folder, 'scores.f32') }
  writeFileSync(file.job, JSON.stringify({ ...job, scores: file.scores } satisfies Job))
  const program = job.contestant === 'fd' ? ownProgram() : [pythonOf(python), join(import.meta.dirname, 'peer.py')]
  const [command, ...args] = [...pinned(job.threads), ...program, file.job]
  // Our process finds its code compiled, as every fd command does.
  const env = environmentWith({
    OMP_NUM_THREADS: String(job.threads),
    OPENBLAS_NUM_THREADS: String(job.threads),
    NODE_COMPILE_CACHE: COMPILE_CACHE,
  })
  const { status, stdout, stderr, error } = spawnSync(command, args, { env, encoding: 'utf8', maxBuffer: 1 << 24 })
  if (error !== undefined || status !== 0) {
    throw new Error(`${job.contestant} ended with ${status}: ${error?.message ?? stderr}`, { cause: error })
  }
  const outcome = outcomeSchema.parse(JSON.parse(stdout.slice(stdout.lastIndexOf('{'))))
  const bytes = readFileSync(file.scores)
  const scores = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)
  return { ...outcome, scores, averagePrecision: averagePrecision(scores, readLabels(job.folder, job.score)) }
}

/** Our runner, with the heap settings of `fd train`. */
function ownProgram(): string[] {
  const flags = ['--disable-warning=ExperimentalWarning', SMALL_YOUNG_GENERATION]
  return [process.execPath, ...flags, join(import.meta.dirname, 'own.ts')]
}

/** Where there is no `taskset` (not Linux), only a library's own options limit its threads. */
function pinned(threads: number): string[] {
  const taskset = onPath('taskset')
  return taskset === undefined ? [] : [taskset, '-c', `0-${threads - 1}`]
}
