import type { z } from 'zod'
import { UserError } from '../configs/user-error.ts'
import { subset, type TrainingSet } from '../features/training-set.ts'
import { binTraining, binWith, type Bins } from './binning.ts'
import { boostingByFeature, boostingParams, fitBoosting } from './boosting.ts'
import { encode, fitEncoder } from './encoder.ts'
import { fitForest, forestParams } from './forest.ts'
import type { FitOptions, Report } from './progress.ts'
import type { TreeModel } from './tree-model.ts'
import { treeScores, type Trees } from './tree.ts'

/** Every parameter is a number. */
export type Params = Record<string, number>

/** A way to fit a model, by name. */
export interface Estimator {
  name: string
  /** One line for `--help`. */
  description: string
  /** Name, default and meaning of each parameter. */
  parameters: { name: string; default: number; description: string }[]
  /**
   * All parameters, from those given (numbers, or text from the command line) and the defaults.
   *
   * @throws UserError for an unknown name (the known ones listed), a text that is no number or a value out of range.
   */
  params(given: Record<string, string | number>): Params
  /**
   * Fits on all rows of `set`, but for the watched ones (the latest `watch_share`), on whose average precision `report` is
   * told after each round. A turn of the event loop passes between rounds.
   *
   * With `base`, a model of the same estimator and features, the trees come after those of `base`, whose category ranks hold;
   * on the same rows half the rounds and then the other half give what all at once give.
   *
   * @throws UserError when `set` or its watched part lacks a class, or `base` does not fit; `Pruned` when `report` answers false.
   */
  fit(set: TrainingSet, params: Params, seed: number, report: Report, base?: TreeModel): Promise<TreeModel>
}

type TreeParams = { watch_share: number; early_stopping_rounds?: number }
type FitTrees<P> = (bins: Bins, y: Uint8Array, params: P, seed: number, report: Report, options?: FitOptions) => Promise<Trees>

const ESTIMATORS: Estimator[] = [
  treeEstimator('boosting', 'gradient boosting of trees on the logistic loss', boostingParams, 'logistic', fitBoosting, boostingByFeature),
  treeEstimator('forest', 'random forest of Gini trees', forestParams, 'mean', fitForest),
]

/** Names of all estimators. */
export function estimatorNames(): string[] {
  return ESTIMATORS.map(({ name }) => name)
}

/** @throws UserError when there is none of this name. */
export function findEstimator(name: string): Estimator {
  const found = ESTIMATORS.find((estimator) => estimator.name === name)
  if (found === undefined) throw new UserError(`No estimator "${name}". Use --model ${estimatorNames().join(' or --model ')}.`)
  return found
}

function treeEstimator<S extends z.ZodObject>(name: string, description: string, schema: S, link: TreeModel['link'], fitTrees: FitTrees<z.output<S>>, byFeature: Estimator['parameters'] = []): Estimator {
  const defaults = schema.parse({}) as Params
  const named = Object.entries(schema.shape).map(([parameter, type]) => ({
    name: parameter,
    default: defaults[parameter],
    description: (type as z.ZodType).description ?? '',
  }))
  const parameters = [...named, ...byFeature]
  const parse = (given: Record<string, string | number>): z.output<S> => parseParams(name, schema, parameters, given)
  return {
    name,
    description,
    parameters,
    params: (given) => parse(given) as Params,
    async fit(set, params, seed, report, base) {
      const typed = parse(params)
      const { fitted, watched } = partWatched(set, typed as TreeParams)
      requireLabels(fitted, 'to fit on')
      if (base !== undefined) requireFit(base, set.names, link)
      const encoder = base?.encoder ?? fitEncoder(fitted)
      const width = set.names.length
      const [x, later] = [encode(encoder, fitted.x, width), watched && encode(encoder, watched.x, width)]
      const bins = binTraining(x, width, fitted.y)
      const watch = watched && later && { bins: binWith(bins, later, watched.rows), y: watched.y }
      const start = base && { trees: base.trees, sums: treeScores(base.trees, x, width), ...(later && { watched: treeScores(base.trees, later, width) }) }
      const trees = await fitTrees(bins, fitted.y, typed, seed, report, { names: set.names, ...(watch && { watch }), ...(start && { start }) })
      return { names: set.names, encoder, trees, link }
    },
  }
}

function parseParams<S extends z.ZodObject>(name: string, schema: S, parameters: Estimator['parameters'], given: Record<string, string | number>): z.output<S> {
  const known = parameters.map((parameter) => `${parameter.name}=${parameter.default}`).join(' ')
  const numbers = Object.entries(given).map(([key, value]) => {
    if (!parameters.some((parameter) => isNamed(parameter.name, key))) throw new UserError(`Estimator "${name}" has no parameter "${key}". It has: ${known}`)
    const number = typeof value === 'number' ? value : value.trim() === '' ? Number.NaN : Number(value)
    if (!Number.isFinite(number)) throw new UserError(`Parameter ${key} is "${value}", which is not a number. Defaults: ${known}`)
    return [key, number] as const
  })
  const result = schema.safeParse(Object.fromEntries(numbers))
  if (result.success) return result.data
  const problems = result.error.issues.map((issue) => `${issue.path.join('.')}=${given[String(issue.path[0])]}: ${issue.message}`)
  throw new UserError(`Parameters of "${name}" are out of range: ${problems.join('; ')}. Defaults: ${known}`)
}

/** A parameter such as `monotone.<feature>` stands for one of every feature. */
function isNamed(parameter: string, key: string): boolean {
  return parameter === key || (parameter.endsWith('<feature>') && key.startsWith(parameter.replace('<feature>', '')))
}

function partWatched(set: TrainingSet, params: TreeParams): { fitted: TrainingSet; watched?: TrainingSet } {
  const { watch_share: share, early_stopping_rounds: patience = 0 } = params
  if (patience > 0 && share === 0) throw new UserError('early_stopping_rounds needs rows to watch. Add: --param watch_share=0.2')
  if (share === 0) return { fitted: set }
  const rows = Int32Array.from({ length: set.rows }, (_, row) => row)
  const first = Math.floor(set.rows * (1 - share))
  const watched = subset(set, rows.subarray(first))
  requireLabels(watched, `in the watched part (watch_share=${share})`)
  return { fitted: subset(set, rows.subarray(0, first)), watched }
}

function requireFit(base: TreeModel, names: string[], link: TreeModel['link']): void {
  if (base.link !== link) throw new UserError(`The model to continue is of another estimator: its link is ${base.link}, not ${link}. Fit without it.`)
  if (base.names.join() !== names.join()) throw new UserError(`The model to continue reads other features: ${base.names.join(', ')}; the training set has ${names.join(', ')}. Fit without it.`)
}

function requireLabels(set: TrainingSet, where: string): void {
  const frauds = set.y.reduce((sum, label) => sum + label, 0)
  const stray = set.y.find((label) => label > 1)
  if (stray !== undefined) throw new UserError(`A label is ${stray}; labels are 0 (genuine) and 1 (fraud).`)
  if (frauds > 0 && frauds < set.rows) return
  throw new UserError(`${set.rows === 0 ? 'No rows' : frauds === 0 ? 'No fraud' : 'Nothing but frauds'} ${where}. Use a longer training period.`)
}
