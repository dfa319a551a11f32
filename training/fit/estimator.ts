import { z } from 'zod'
import { UserError } from '../../configs/user-error.ts'
import type { TrainingSet } from '../../features/backfill/training-set.ts'
import type { FittedModel } from './fitted-model.ts'
import type { Report } from './report.ts'

/** Every parameter is a number. */
export type Params = Record<string, number>

/** Name, default and meaning of a parameter, and in words what it may be. */
export interface Parameter {
  name: string
  default: number
  range: string
  description: string
}

/** A way to fit a model, by name. */
export interface Estimator<M extends FittedModel = FittedModel> {
  name: string
  /** One line for `--help`. */
  description: string
  parameters: Parameter[]
  /**
   * All parameters, from those given (numbers, or text from the command line) and the defaults.
   *
   * @param features names of those that will be fitted on, where they are known: a parameter by feature must name one of them.
   * @throws UserError for an unknown name (the known ones listed), a text that is no number or a value out of range (which is told).
   */
  params(given: Record<string, string | number>, features?: readonly string[]): Params
  /**
   * Fits on all rows of `set`, but for the watched ones (the latest `watch_share`), on whose average precision `report` is
   * told after each round. A turn of the event loop passes between rounds.
   *
   * With `base`, a model of the same estimator and features, the fit goes on from it, where the estimator can: trees come after
   * those of `base`, whose category ranks hold; on the same rows half the rounds and then the other half give what all at once give.
   *
   * @throws UserError when `set` or its watched part lacks a class (labels that only judge may be of one), or `base` does not
   * fit; `Pruned` when `report` answers false.
   */
  fit(set: TrainingSet, params: Params, seed: number, report: Report, base?: M): Promise<M>
}

/** What an estimator is made of: a flat schema of numbers, each with a default and a description, and the fit. */
export interface EstimatorParts<S extends z.ZodObject, M extends FittedModel> {
  name: string
  description: string
  schema: S
  /** Parameters that there is one of for each feature, named `NAME.<feature>`; the schema lets them through. */
  byFeature?: Omit<Parameter, 'range'>[]
  fit(set: TrainingSet, params: z.output<S>, seed: number, report: Report, base?: M): Promise<M>
}

export function defineEstimator<S extends z.ZodObject, M extends FittedModel>({
  name,
  description,
  schema,
  byFeature = [],
  fit,
}: EstimatorParts<S, M>): Estimator<M> {
  const defaults = schema.parse({}) as Params
  const named = Object.entries(schema.shape).map(([parameter, type]) => ({
    name: parameter,
    default: defaults[parameter],
    range: rangeOf(type as z.ZodType),
    description: (type as z.ZodType).description ?? '',
  }))
  const parameters = [
    ...named,
    ...byFeature.map((parameter) => ({ ...parameter, range: rangeOf(schema.def.catchall) })),
  ]
  const parse = (given: Record<string, string | number>, features?: readonly string[]): z.output<S> => {
    const params = parseParams(name, schema, parameters, given)
    if (features !== undefined) for (const { name: parameter } of byFeature) requireFeatures(parameter, given, features)
    return params
  }
  return {
    name,
    description,
    parameters,
    params: (given, features) => parse(given, features) as Params,
    fit: (set, params, seed, report, base) => fit(set, parse(params, set.names), seed, report, base),
  }
}

function parseParams<S extends z.ZodObject>(
  name: string,
  schema: S,
  parameters: Parameter[],
  given: Record<string, string | number>,
): z.output<S> {
  const known = parameters.map((parameter) => `${parameter.name}=${parameter.default}`).join(' ')
  const numbers = Object.entries(given).map(([key, value]) => {
    if (!parameters.some((parameter) => isNamed(parameter.name, key)))
      throw new UserError(`Estimator "${name}" has no parameter "${key}". It has: ${known}`)
    const number = typeof value === 'number' ? value : value.trim() === '' ? Number.NaN : Number(value)
    if (!Number.isFinite(number))
      throw new UserError(`Parameter ${key} is "${value}", which is not a number. Defaults: ${known}`)
    return [key, number] as const
  })
  const result = schema.safeParse(Object.fromEntries(numbers))
  if (result.success) return result.data
  const wrong = [...new Set(result.error.issues.map(({ path }) => String(path[0])))]
  const problems = wrong.map(
    (key) => `${key}=${given[key]} is no ${parameters.find((parameter) => isNamed(parameter.name, key))?.range}`,
  )
  throw new UserError(`Parameters of "${name}" are out of range: ${problems.join('; ')}. Defaults: ${known}`)
}

/** What stands for each feature in the name of a parameter that there is one of for each. */
const FEATURE = '<feature>'

function requireFeatures(parameter: string, given: Record<string, string | number>, features: readonly string[]): void {
  const prefix = parameter.replace(FEATURE, '')
  for (const [key, value] of Object.entries(given)) {
    if (key.startsWith(prefix) && !features.includes(key.slice(prefix.length)))
      throw new UserError(`Parameter ${key}=${value} names no feature. The features are: ${features.join(', ')}`)
  }
}

/** Which numbers a schema takes, in words: `whole number from 0 to 32`. */
function rangeOf(type: z.core.$ZodType | undefined): string {
  // z.int() alone has the safe integers as its bounds, which say nothing.
  const { type: kind, minimum, exclusiveMinimum, maximum } = z.toJSONSchema(type ?? z.number())
  const from =
    exclusiveMinimum !== undefined
      ? ` above ${exclusiveMinimum}`
      : minimum !== undefined && minimum > Number.MIN_SAFE_INTEGER
        ? ` from ${minimum}`
        : ''
  const to = maximum === undefined || maximum >= Number.MAX_SAFE_INTEGER ? '' : ` to ${maximum}`
  return `${kind === 'integer' ? 'whole number' : 'number'}${from}${to}`
}

/** A parameter such as `monotone.<feature>` stands for one of every feature. */
function isNamed(parameter: string, key: string): boolean {
  return parameter === key || (parameter.endsWith(FEATURE) && key.startsWith(parameter.replace(FEATURE, '')))
}
