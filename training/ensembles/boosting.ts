import { z } from 'zod'
import { randomStream, type Random } from '../../datasets/random/random.ts'
import { minCategoryRows } from '../fit/encoder.ts'
import { finishRound, type Report } from '../fit/report.ts'
import { watchShare } from '../fit/watched-rows.ts'
import type { Bins } from '../growing/binning.ts'
import { createGradients } from '../growing/gradient.ts'
import { createGrower } from '../growing/grower.ts'
import { packRows } from '../growing/histogram.ts'
import { drawRoom, drawRows } from '../growing/row-draw.ts'
import type { RowLists } from '../growing/row-lists.ts'
import type { GrowthRules } from '../growing/splitting.ts'
import { addTree } from '../growing/tree-sums.ts'
import type { Crew } from '../kernel/crew.ts'
import { watchedPrecision } from '../metrics/watched.ts'
import { joinTrees, type Trees } from '../trees/tree.ts'
import { leaseCrew } from './crew-lease.ts'
import { type FitOptions, threads } from './fit-options.ts'

/** Parameters of gradient boosting with their defaults, under the names common in the field. */
export const boostingParams = z
  .object({
    rounds: z.number().int().min(1).max(10_000).default(200).describe('trees'),
    learning_rate: z.number().positive().max(1).default(0.05).describe('share of each Newton step that is taken'),
    max_depth: z.number().int().min(0).max(32).default(6).describe('edges from the root to the deepest leaf'),
    max_leaves: z
      .number()
      .int()
      .min(0)
      .max(4096)
      .default(0)
      .describe('most leaves of a tree, the node of largest gain being split next; 0 no limit'),
    l1: z.number().min(0).default(0).describe('taken from every gradient sum; pulls small leaves to 0'),
    l2: z.number().min(0).default(1).describe('added to every hessian sum; pulls leaves towards 0'),
    min_child_weight: z.number().min(0).default(3).describe('least hessian sum of a leaf'),
    scale_pos_weight: z
      .number()
      .positive()
      .max(1e6)
      .default(1)
      .describe('what a fraud counts against a genuine row in the loss; it is taken out of the score again'),
    subsample: z.number().positive().max(1).default(0.8).describe('share of the rows drawn for each tree'),
    colsample: z.number().positive().max(1).default(0.8).describe('share of the features drawn for each tree'),
    early_stopping_rounds: z
      .number()
      .int()
      .min(0)
      .default(0)
      .describe('stop when the watched average precision has not risen for so many rounds; 0 never; needs watch_share'),
    min_category_rows: minCategoryRows,
    watch_share: watchShare,
    threads,
    // Every other key is a constraint on one feature. The parser checks the feature's name (defineEstimator).
  })
  .catchall(z.number().int().min(-1).max(1))
export type BoostingParams = z.infer<typeof boostingParams>

const MONOTONE = 'monotone.'
/** Parameters that name a feature. */
export const boostingByFeature = [
  {
    name: `${MONOTONE}<feature>`,
    default: 0,
    description: '1: the score never falls as the feature rises, -1: never rises; of a category, as its rank rises',
  },
]

/**
 * Gradient boosting of trees on the logistic loss with second-order leaves (Friedman 2001; Chen and Guestrin 2016),
 * starting from margin 0. A margin is the float32 sum of a row's leaves; the score is 1 / (1 + exp(−margin)).
 *
 * Deterministic: the same rows, parameters and seed give the same trees, for any number of threads and with either
 * kernel. With early stopping, the trees up to the best watched round are kept.
 *
 * @throws Pruned when `report` answers false.
 */
export async function fitBoosting(
  bins: Bins,
  y: Uint8Array,
  params: BoostingParams,
  seed: number,
  report: Report,
  options: FitOptions = {},
): Promise<Trees> {
  const { arena } = bins
  const { start, watch } = options
  using _room = arena.scope()
  await using lease = await leaseCrew(options, arena, params.threads, bins.rows)
  const { crew } = lease
  const fitting = createFitting(bins, y, params, crew, options)
  const trees = start === undefined ? [] : [start.trees]
  const first = (start?.trees.roots.length ?? 0) + 1
  const watched = watch && { sums: arena.floats(watch.bins.rows), y: watch.y }
  if (start?.watched !== undefined) watched?.sums.set(start.watched)
  const best = { trees: Infinity, round: 0, value: -1 }
  for (let round = 1; round <= params.rounds; round++) {
    const tree = fitting.addRound(randomStream(seed, first + round - 1))
    trees.push(tree)
    if (watch && watched) addTree(crew, watch.bins, tree, undefined, watched.sums)
    const value = await finishRound(report, round, params.rounds, watchedPrecision(watched))
    if (params.early_stopping_rounds === 0) continue
    if (value > best.value) Object.assign(best, { trees: trees.length, round, value })
    else if (round - best.round >= params.early_stopping_rounds) break
  }
  return joinTrees(trees.slice(0, best.trees))
}

/** The rows being fitted on, with their current margins. */
interface Fitting {
  /** Grows one tree on rows and features drawn from `random`, and adds it to the margins of all rows. */
  addRound(random: Random): Trees
}

function createFitting(
  bins: Bins,
  y: Uint8Array,
  params: BoostingParams,
  crew: Crew,
  { names, start }: FitOptions,
): Fitting {
  const { arena, columns } = bins
  const gradients = createGradients(bins, y, params.scale_pos_weight, crew)
  const lists: RowLists = [arena.ints(bins.rows), arena.ints(bins.rows)]
  const room = drawRoom(arena, lists[1])
  const grower = createGrower(
    bins,
    packRows(bins, crew),
    gradients.pairs,
    lists,
    crew,
    rulesOf(params, names, columns.length),
    params.learning_rate,
  )
  if (start !== undefined) gradients.margins.set(start.sums)
  return {
    addRound(random) {
      const drawn = params.subsample < 1 ? drawRows(crew.kernel, random, room, params.subsample, lists[0]) : bins.rows
      const features = sampleSorted(random, columns.length, Math.ceil(params.colsample * columns.length))
      const units = gradients.update()
      const some = drawn < bins.rows
      const tree = grower.grow(units, some ? lists[0].subarray(0, drawn) : undefined, features, gradients.margins)
      if (some) addTree(crew, bins, tree, lists[0].subarray(drawn), gradients.margins)
      return tree
    },
  }
}

function rulesOf(params: BoostingParams, names: string[] | undefined, features: number): GrowthRules {
  const monotone = Int8Array.from({ length: features }, (_, feature) => params[MONOTONE + names?.[feature]] ?? 0)
  return {
    maxDepth: params.max_depth,
    maxLeaves: params.max_leaves,
    l1: params.l1,
    l2: params.l2,
    minChildWeight: params.min_child_weight,
    ...(monotone.some((direction) => direction !== 0) ? { monotone } : {}),
  }
}

/**
 * `count` different whole numbers in [0, limit), rising; all of them when there are fewer. Selection sampling (Knuth's
 * algorithm S), with at most one draw per candidate.
 */
export function sampleSorted(random: Random, limit: number, count: number): Int32Array {
  const chosen = new Int32Array(Math.min(count, limit))
  for (let candidate = 0, taken = 0; taken < chosen.length; candidate++) {
    if (random.uniform() * (limit - candidate) < chosen.length - taken) chosen[taken++] = candidate
  }
  return chosen
}
