import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../../configs/config.ts'
import { makeFolder } from '../../configs/folder.ts'
import { REAL_DATA } from '../../configs/testing/real-data.ts'
import { openDataset } from '../../datasets/catalog.ts'
import type { Dataset } from '../../datasets/table/dataset.ts'
import { subset, type TrainingSet } from '../../features/backfill/training-set.ts'
import { featureService } from '../../features/catalog.ts'
import { splitRows } from '../../training/metrics/holdout.ts'
import { plantedSet } from '../../training/testing/planted-set.ts'
import { openOutput } from '../console/output.ts'
import { buildTrainingSet } from '../jobs/training-set.ts'

/**
 * A set written for the contest, in parts. Every set has `train` and the later rows `test`. A set for measuring time
 * also has `all`, both together. A set for the search of models also has `early` and `valid`, the two pieces of
 * `train`.
 */
export interface ContestSet {
  name: string
  folder: string
  features: number
  /** Rows and frauds of each part. */
  parts: Record<string, { rows: number; frauds: number }>
}

/** Made-up rows in the shape of kaggle-cc: time and memory do not depend on whose cards they are. */
const FULL = { rows: 284_807, features: 30, frauds: 492 }
const QUICK = { rows: 20_000, features: 30, frauds: 200 }
const TRAIN_SHARE = 0.7
/** The latest share of the training rows, on which parameters are chosen. */
const VALIDATION_SHARE = 0.2

/** Sets to measure time and memory on: the planted one, and the Handbook's features if its transactions are here. */
export function* speedSets(folder: string, quick: boolean, handbook: TrainingSet | undefined): Generator<ContestSet> {
  const name = `planted ${quick ? 'quick' : 'kaggle-cc'} shape`
  yield ordered(join(folder, 'planted'), name, plantedSet(quick ? QUICK : FULL, 1))
  if (handbook !== undefined) yield ordered(join(folder, 'handbook'), 'Handbook, all transactions', handbook)
}

/** Sets to judge models on: real cards split by time, and the Handbook with its own protocol. */
export function* accuracySets(
  folder: string,
  kaggle: TrainingSet | undefined,
  handbook: { set: TrainingSet; dataset: Dataset } | undefined,
): Generator<ContestSet> {
  if (kaggle !== undefined) {
    const split = splitRows(kaggle, { kind: 'ordered', trainShare: TRAIN_SHARE })
    yield searched(join(folder, 'kaggle-cc-real'), 'kaggle-cc-real, 70/30 by time', kaggle, split.train, split.test)
  }
  if (handbook !== undefined) {
    const { set, dataset } = handbook
    const split = splitRows(set, dataset.split)
    yield searched(join(folder, 'handbook-protocol'), "Handbook's week, gap, week", set, split.train, split.test)
  }
}

/** Features of a dataset from `file` among the real data, or undefined where the file is missing. */
export async function sharedSet(
  config: Config,
  name: string,
  file: string,
): Promise<{ set: TrainingSet; dataset: Dataset } | undefined> {
  const data = join(REAL_DATA, file)
  if (!existsSync(data)) return undefined
  const dataset = await openDataset(name, config, { data })
  const service = featureService(dataset.service, dataset.schema)
  const request = { dataset, service, split: dataset.split }
  return { dataset, set: await buildTrainingSet(request, openOutput(true).progress) }
}

function ordered(folder: string, name: string, set: TrainingSet): ContestSet {
  const first = Math.floor(set.rows * TRAIN_SHARE)
  const rows = Int32Array.from({ length: set.rows }, (_, row) => row)
  return write(folder, name, set, { train: rows.subarray(0, first), test: rows.subarray(first), all: rows })
}

function searched(folder: string, name: string, set: TrainingSet, train: Int32Array, test: Int32Array): ContestSet {
  const first = Math.floor(train.length * (1 - VALIDATION_SHARE))
  return write(folder, name, set, { train, test, early: train.subarray(0, first), valid: train.subarray(first) })
}

function write(folder: string, name: string, set: TrainingSet, parts: Record<string, Int32Array>): ContestSet {
  makeFolder(folder)
  const written = Object.entries(parts).map(([part, rows]) => {
    const { x, y } = subset(set, rows)
    writeFileSync(join(folder, `${part}.x`), x)
    writeFileSync(join(folder, `${part}.y`), y)
    return [part, { rows: y.length, frauds: y.reduce((sum, label) => sum + label, 0) }] as const
  })
  return { name, folder, features: set.names.length, parts: Object.fromEntries(written) }
}
