import { z } from 'zod'
import { UserError } from '../../configs/user-error.ts'
import type { TrainingSet } from '../../features/backfill/training-set.ts'
import type { FittedModel } from './fitted-model.ts'
import type { Report } from './report.ts'

/** Every parameter is a number. */
export type Params = Record<string, number>

/** Name, default and meaning of a parameter, and which numbers it takes, in words. */
export interface Parameter {
  name: string
  default: number
  range: string
  description: string
}

/** Parameters as a user gives them: numbers, or text from the command line. */
export type GivenParams = Record<string, string | number>

/** A named way to fit a model. */
export interface Estimator<M extends FittedModel = FittedModel> {
  name: string
  /** One line for `--help`. */
  description: string
  parameters: Parameter[]
  /** Labels do not enter the fit, so it takes rows whose label is not known. */
  unsupervised: boolean
  /**
   * All parameters: those given, and defaults for the rest.
   *
   * @param features names of the features of the fit, where they are known. A parameter by feature must name one of
   *   them.
   * @throws UserError for an unknown name (with the list of known ones), for text that is not a number, and for a value
   *   out of range (with the range).
   */
  params(given: GivenParams, features?: readonly string[]): Params
  /**
   * Fits on the rows of `set` except the watched ones (the latest `watch_share`). After each round it calls `report`
   * with the average precision of the watched rows, and gives the event loop a turn.
   *
   * With `base`, a model of the same estimator and features, the fit goes on from it if the estimator can. New trees
   * then come after those of `base`, and the category ranks of `base` stay. On the same rows, half the rounds and then
   * the other half give what all rounds at once give.
   *
   * @throws UserError when `set` or its watched part lacks a class (an `unsupervised` estimator takes one class, and
   *   rows whose label is not known), or when `base` is of another estimator or other features.
   * @throws Pruned when `report` answers false.
   */
  fit(set: TrainingSet, params: Params, seed: number, report: Report, base?: M): Promise<M>
}

/** What an estimator is made of: a flat schema of numbers, each with a default and a description, and the fit. */
export interface EstimatorParts<S extends z.ZodObject, M extends FittedModel> {
  name: string
  description: string
  schema: S
  /** Default: false. */
  unsupervised?: boolean
  /** Parameters that exist once for each feature, named `NAME.<feature>`. The schema must let such keys through. */
  byFeature?: Omit<Parameter, 'range'>[]
  fit(set: TrainingSet, params: z.output<S>, seed: number, report: Report, base?: M): Promise<M>
}

/** Makes an estimator of its parts. It parses parameters before each fit. */
export function defineEstimator<S extends z.ZodObject, M extends FittedModel>(
  parts: EstimatorParts<S, M>,
): Estimator<M> {
  const { name, description, schema, unsupervised = false, byFeature = [], fit } = parts
  const parameters = parametersOf(schema, byFeature)
  const parse = (given: GivenParams, features?: readonly string[]): z.output<S> => {
    const params = parseParams(name, schema, parameters, given)
    if (features !== undefined) for (const { name: parameter } of byFeature) requireFeatures(parameter, given, features)
    return params
  }
  return {
    name,
    description,
    parameters,
    unsupervised,
    params: (given, features) => parse(given, features) as Params,
    fit: (set, params, seed, report, base) => fit(set, parse(params, set.names), seed, report, base),
  }
}

function parametersOf(schema: z.ZodObject, byFeature: Omit<Parameter, 'range'>[]): Parameter[] {
  const defaults = schema.parse({}) as Params
  const named = Object.entries(schema.shape).map(([name, type]) => ({
    name,
    default: defaults[name],
    range: rangeOf(type as z.ZodType),
    description: (type as z.ZodType).description ?? '',
  }))
  return [...named, ...byFeature.map((parameter) => ({ ...parameter, range: rangeOf(schema.def.catchall) }))]
}

function parseParams<S extends z.ZodObject>(
  name: string,
  schema: S,
  parameters: Parameter[],
  given: GivenParams,
): z.output<S> {
  const known = parameters.map((parameter) => `${parameter.name}=${parameter.default}`).join(' ')
  const numbers = Object.entries(given).map(([key, value]) => {
    if (!parameters.some((parameter) => isNamed(parameter.name, key))) {
      throw new UserError(`Estimator "${name}" has no parameter "${key}". It has: ${known}`)
    }
    return [key, toNumber(key, value, known)] as const
  })
  const result = schema.safeParse(Object.fromEntries(numbers))
  if (result.success) return result.data
  const wrong = [...new Set(result.error.issues.map(({ path }) => String(path[0])))]
  const problems = wrong.map(
    (key) => `${key}=${given[key]} is no ${parameters.find((parameter) => isNamed(parameter.name, key))?.range}`,
  )
  throw new UserError(`Parameters of "${name}" are out of range: ${problems.join('; ')}. Defaults: ${known}`)
}

/** @throws UserError when `value` is not a finite number. */
function toNumber(key: string, value: string | number, known: string): number {
  // Number('') would be 0.
  const number = typeof value === 'number' ? value : value.trim() === '' ? Number.NaN : Number(value)
  if (Number.isFinite(number)) return number
  throw new UserError(`Parameter ${key} is "${value}", which is not a number. Defaults: ${known}`)
}

/** Stands for the name of a feature in the name of a parameter by feature, as in `monotone.<feature>`. */
const FEATURE = '<feature>'

/** @throws UserError when a key of `given` is an instance of `parameter` whose feature is unknown. */
function requireFeatures(parameter: string, given: GivenParams, features: readonly string[]): void {
  const prefix = parameter.replace(FEATURE, '')
  for (const [key, value] of Object.entries(given)) {
    if (!key.startsWith(prefix) || features.includes(key.slice(prefix.length))) continue
    throw new UserError(`Parameter ${key}=${value} names no feature. The features are: ${features.join(', ')}`)
  }
}

/** Which numbers a schema takes, in words: `whole number from 0 to 32`. */
function rangeOf(type: z.core.$ZodType | undefined): string {
  // z.int() alone has the safe integers as its bounds, which say nothing.
  const { type: kind, minimum, exclusiveMinimum: below, maximum } = z.toJSONSchema(type ?? z.number())
  const least = minimum !== undefined && minimum > Number.MIN_SAFE_INTEGER ? ` from ${minimum}` : ''
  const from = below === undefined ? least : ` above ${below}`
  const to = maximum === undefined || maximum >= Number.MAX_SAFE_INTEGER ? '' : ` to ${maximum}`
  return `${kind === 'integer' ? 'whole number' : 'number'}${from}${to}`
}

/** Whether `key` names `parameter`, or is the instance of a parameter by feature for one feature. */
function isNamed(parameter: string, key: string): boolean {
  return parameter === key || (parameter.endsWith(FEATURE) && key.startsWith(parameter.replace(FEATURE, '')))
}
