import { z } from 'zod'
import { UserError } from '../../configs/user-error.ts'
import { randomStream, type Random } from '../../datasets/random/random.ts'
import type { TrainingSet } from '../../features/backfill/training-set.ts'
import { encode } from '../fit/encoder.ts'
import { defineEstimator } from '../fit/estimator.ts'
import { exponentialLink } from '../fit/link.ts'
import { fitRarities } from '../fit/rarity.ts'
import { finishRound, type Report } from '../fit/report.ts'
import { thresholdTrees, type ThresholdTrees } from '../trees/threshold-trees.ts'
import type { Trees } from '../trees/tree.ts'
import { fittedTrees, type FittedTrees } from './estimator.ts'

/** Parameters of the isolation forest with their defaults, which are those of Liu, Ting and Zhou. */
export const isolationParams = z.strictObject({
  trees: z.number().int().min(1).max(10_000).default(100).describe('trees'),
  sample_size: z
    .number()
    .int()
    .min(2)
    .max(65_536)
    .default(256)
    .describe('rows drawn for each tree; a tree is as deep as a balanced one of them'),
})
export type IsolationParams = z.infer<typeof isolationParams>

/**
 * Isolation forest (Liu, Ting and Zhou 2008): trees of random splits on small samples. A row that is soon parted from
 * the rest is odd. Labels do not enter the fit; they only judge.
 */
export const isolation = defineEstimator({
  name: 'isolation',
  description: 'isolation forest: how odd a row is, learned without labels',
  unsupervised: true,
  schema: isolationParams,
  async fit(set, params, seed, report): Promise<FittedTrees> {
    requireTwoRows(set)
    const width = set.names.length
    const encoder = fitRarities(set)
    const trees = await fitIsolation(encode(encoder, set.x, width, set.categorical), width, params, seed, report)
    return { ...(await fittedTrees({ names: set.names, encoder, trees, link: 'mean' })), link: exponentialLink }
  },
})

function requireTwoRows({ rows }: TrainingSet): void {
  if (rows >= 2) return
  const there = rows === 1 ? 'is one' : 'are no rows'
  throw new UserError(
    `An isolation forest needs rows to part, and there ${there} to fit on. Use a longer training period.`,
  )
}

/**
 * Grows trees whose leaves hold `−(depth + c(rows)) / c(sample)`. The mean over the trees is the exponent of the
 * anomaly score `2^mean`. c(n) is the mean depth of an unsuccessful search among n keys; it stands for the subtree that
 * was not grown.
 *
 * Each split takes a random feature among those that differ within the node, and a uniform threshold between its least
 * and greatest value there. Missing values (NaN) go right, as in every tree here. Where all numbers of a feature are
 * alike, a split parts them from the missing ones.
 *
 * Deterministic: tree t depends only on the rows, the parameters, the seed and t.
 *
 * @param x row-major, `features` wide.
 *
 * @throws Pruned when `report` answers false.
 */
export async function fitIsolation(
  x: Float32Array,
  features: number,
  params: IsolationParams,
  seed: number,
  report: Report,
): Promise<Trees> {
  const rows = x.length / features
  const sample = Math.min(params.sample_size, rows)
  const growth: Growth = {
    x,
    features,
    maxDepth: Math.ceil(Math.log2(sample)),
    norm: searchDepth(sample),
    order: new Int32Array(features),
    builder: thresholdTrees(),
  }
  for (let tree = 1; tree <= params.trees; tree++) {
    const random = randomStream(seed, tree)
    growTree(growth, drawRows(random, rows, sample), random)
    await finishRound(report, tree, params.trees)
  }
  return growth.builder.finish()
}

/** Mean depth of an unsuccessful search in a binary tree of `rows` keys (Liu, Ting and Zhou, equation 1). */
export function searchDepth(rows: number): number {
  if (rows < 2) return 0
  if (rows === 2) return 1
  const EULER = 0.577_215_664_901_532_9
  return 2 * (Math.log(rows - 1) + EULER) - (2 * (rows - 1)) / rows
}

/**
 * `count` different row numbers below `limit`, in no particular order. Floyd's algorithm: one draw for each, however
 * many rows there are.
 */
function drawRows(random: Random, limit: number, count: number): Int32Array {
  const drawn = new Set<number>()
  for (let last = limit - count; last < limit; last++) {
    const row = random.integer(last + 1)
    drawn.add(drawn.has(row) ? last : row)
  }
  return Int32Array.from(drawn)
}

interface Growth {
  x: Float32Array
  features: number
  maxDepth: number
  /** c(sample), by which path lengths are divided. */
  norm: number
  /** All features, in the order last drawn for the current tree. */
  order: Int32Array
  builder: ThresholdTrees
}

function growTree(growth: Growth, rows: Int32Array, random: Random): void {
  const { builder, maxDepth, norm, order } = growth
  for (let i = 0; i < order.length; i++) order[i] = i
  const waiting = [{ id: builder.addRoot(), depth: 0, start: 0, end: rows.length }]
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    const { id, depth, start, end } = node
    const split = depth < maxDepth && end - start > 1 ? drawSplit(growth, rows.subarray(start, end), random) : undefined
    if (split === undefined) {
      builder.setLeaf(id, -(depth + searchDepth(end - start)) / norm)
      continue
    }
    const middle = start + partition(growth, rows.subarray(start, end), split)
    const left = builder.split(id, split.feature, split.threshold)
    waiting.push(
      { id: left + 1, depth: depth + 1, start: middle, end },
      { id: left, depth: depth + 1, start, end: middle },
    )
  }
}

interface RandomSplit {
  feature: number
  /** From the least value in the node up to, but not including, the greatest. So neither side is empty. */
  threshold: number
}

/** A random split of a node's rows; undefined when they are alike in all features. */
function drawSplit({ x, features, order }: Growth, rows: Int32Array, random: Random): RandomSplit | undefined {
  for (let i = 0; i < features; i++) {
    const other = i + random.integer(features - i)
    const feature = order[other]
    order[other] = order[i]
    order[i] = feature
    let [least, greatest, missing] = [Infinity, -Infinity, 0]
    for (const row of rows) {
      const value = x[row * features + feature]
      if (value < least) least = value
      if (value > greatest) greatest = value
      if (value !== value) missing++
    }
    if (missing === rows.length || (least === greatest && missing === 0)) continue
    return { feature, threshold: uniformBetween(least, greatest, random) }
  }
  return undefined
}

const LARGEST = 3.402_823_466_385_288_6e38

/**
 * A random float32 t with `least <= t < greatest`, or `least` when the two are equal. Infinite bounds are drawn from as
 * if they were the largest float.
 */
function uniformBetween(least: number, greatest: number, random: Random): number {
  const [low, high] = [Math.max(least, -LARGEST), Math.min(greatest, LARGEST)]
  const drawn = Math.fround(low + (high - low) * random.uniform())
  return drawn >= least && drawn < greatest ? drawn : least
}

/** Moves the rows that go left to the front, and returns their number. */
function partition({ x, features }: Growth, rows: Int32Array, { feature, threshold }: RandomSplit): number {
  let left = 0
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i]
    if (!(x[row * features + feature] <= threshold)) continue
    rows[i] = rows[left]
    rows[left++] = row
  }
  return left
}
