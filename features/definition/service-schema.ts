import { z } from 'zod'
import { ringLimit } from '../../configs/ring-limit.ts'
import { UserError } from '../../configs/user-error.ts'
import { windowFault, windowOf, type AggregateFeature, type Aggregation, type Window } from '../view/aggregation.ts'
import {
  MAX_EVENTS,
  type AggregateView,
  type DerivedView,
  type FeatureService,
  type RequestFeature,
  type RequestView,
} from '../view/view.ts'
import { expressionsHold } from './expression-faults.ts'

const name = z.string().min(1, 'give a name')
/** Names of services and views stand in the keys of stores, in names of topics, and on the command line. */
const plainName = z
  .string()
  .regex(/^[A-Za-z0-9][\w.-]{0,99}$/, 'give a name of at most 100 letters, digits, ".", "_" and "-"')
const span = z.number().int('give whole milliseconds')

const delay = span.min(0, 'give a delay of 0 or more')

const window: z.ZodType<Window> = z.union(
  [
    z.strictObject({
      length: span.positive('give a length above 0'),
      delay: delay.optional(),
      hop: span.positive('give a hop above 0').optional(),
    }),
    z.strictObject({ ever: z.literal(true), delay: delay.optional() }),
    z.strictObject({ last: z.number().int('give a whole number of events').positive('give 1 event or more') }),
  ],
  { error: 'give a window: a length of time such as 10m, 1h or 7d, last(5), or ever' },
)

/** What it means is checked against the columns of a dataset. */
const expression = z.string().min(1, 'give an expression, such as amount > 100')

const smoothing = z.strictObject({
  prior: z.number().min(0, 'a prior is a share, from 0 to 1').max(1, 'a prior is a share, from 0 to 1'),
  weight: z.number().positive('give a weight above 0'),
})

const where = expression.optional()
const over = { window, where }
const of = z.string().min(1, 'give the name of a column')

/** Of each function: what else than its name it takes. */
const AGGREGATIONS = {
  count: over,
  mean_amount: over,
  sum_amount: over,
  sum: { of, ...over },
  mean: { of, ...over },
  std: { of, ...over },
  min: { of, ...over },
  max: { of, ...over },
  last: { of, ...over },
  first: { of, ...over },
  distinct: { of, ...over },
  is_new: { of, ...over },
  share_same: { of, ...over },
  fraud_count: over,
  fraud_share: { ...over, smoothing: smoothing.optional() },
  refund_count: over,
  refund_sum: over,
  seconds_since_previous: { where },
  seconds_since_first: { where },
} satisfies Record<Aggregation['function'], z.ZodRawShape>

const REQUESTS = {
  amount: {},
  weekend: {},
  night: {},
  numeric: { column: name },
  categorical: { column: name },
  expression: { expression },
} satisfies Record<RequestFeature['from'], z.ZodRawShape>

const aggregateView = z
  .strictObject({
    kind: z.literal('aggregate'),
    name: plainName,
    entity: name,
    includesCurrent: z.boolean(),
    maxEvents: ringLimit.optional(),
    features: z.array(oneOf<AggregateFeature>('function', AGGREGATIONS)).min(1, 'it has no features'),
  })
  .superRefine(windowsFit) satisfies z.ZodType<AggregateView>

const requestView = z.strictObject({
  kind: z.literal('request'),
  name: plainName,
  features: z.array(oneOf<RequestFeature>('from', REQUESTS)).min(1, 'it has no features'),
}) satisfies z.ZodType<RequestView>

const derivedView = z.strictObject({
  kind: z.literal('derived'),
  name: plainName,
  features: z.array(z.strictObject({ name, expression })).min(1, 'it has no features'),
}) satisfies z.ZodType<DerivedView>

const service = z
  .strictObject({
    name: plainName,
    description: z.string(),
    views: z
      .array(
        z.discriminatedUnion('kind', [aggregateView, requestView, derivedView], 'give aggregate, request or derived'),
      )
      .min(1, 'it has no views'),
  })
  .superRefine(namesOnce)
  .superRefine(expressionsHold)

/**
 * The definition of a service, from wherever it comes: a project's file, a model's card, a job. Any key that is not
 * known is a fault, since whoever dropped it would compute other values.
 *
 * @param source whose definition it is, in words: it begins the message.
 * @throws UserError with a line for each fault: view, feature, key, value, and what is wrong with it.
 */
export function readService(definition: unknown, source: string): FeatureService {
  const result = service.safeParse(definition)
  if (result.success) return result.data
  const faults = new Set(result.error.issues.map((issue) => `  ${faultText(issue, definition)}`))
  throw new UserError(`${source} is no definition of features:\n${[...faults].join('\n')}`)
}

/** A feature whose `key` says which of the forms it has. */
function oneOf<Feature>(key: 'function' | 'from', forms: Record<string, z.ZodRawShape>): z.ZodType<Feature> {
  const options = Object.entries(forms).map(([form, shape]) =>
    z.strictObject({ name, [key]: z.literal(form), ...shape }),
  )
  const known = Object.keys(forms).join(', ')
  return z.discriminatedUnion(key, options as never, {
    error: ({ input }) => {
      const given = (input as Record<string, unknown> | null)?.[key]
      return `${given === undefined ? '' : `there is no ${key} ${shown(given)}: `}give one of ${known}`
    },
  })
}

/** A window by count must fit into what a view keeps of a key. Not every function can have every window. */
function windowsFit(view: AggregateView, context: z.RefinementCtx): void {
  const kept = view.maxEvents ?? MAX_EVENTS
  view.features.forEach((feature, f) => {
    const window = windowOf(feature)
    const fits = window === undefined || !('last' in window) || window.last < kept
    const tooMany = fits ? undefined : `give fewer events than the ${kept} of a key that a view keeps`
    const message = tooMany ?? windowFault(feature)
    if (message === undefined) return
    const key = fits ? [] : ['last']
    context.addIssue({ code: 'custom', path: ['features', f, 'window', ...key], message })
  })
}

/** Features of one name would be one column; views of one name would share a state. */
function namesOnce({ views }: FeatureService, context: z.RefinementCtx): void {
  const [viewNames, featureNames] = [new Set<string>(), new Map<string, string>()]
  views.forEach((view, v) => {
    if (viewNames.has(view.name)) {
      context.addIssue({ code: 'custom', path: ['views', v, 'name'], message: 'another view has this name' })
    }
    viewNames.add(view.name)
    view.features.forEach((feature, f) => {
      const first = featureNames.get(feature.name)
      if (first !== undefined) {
        const message = `another feature has this name, in view "${first}"`
        context.addIssue({ code: 'custom', path: ['views', v, 'features', f, 'name'], message })
      }
      featureNames.set(feature.name, first ?? view.name)
    })
  })
}

/** `view "card", feature "n_1h", window.length is -5: give a length above 0`. */
function faultText(issue: z.core.$ZodIssue, definition: unknown): string {
  const inner = innermost(issue)
  const [parts, rest, value] = place(inner.path, definition)
  if (inner.code === 'unrecognized_keys') {
    return `${parts}: it takes no ${inner.keys.map((key) => `"${key}"`).join(', ')}`
  }
  const where = [parts, ...(rest === '' ? [] : [`${rest}${typeof value === 'object' ? '' : ` is ${shown(value)}`}`])]
  return `${where.join(', ')}: ${inner.message.replace(/^Invalid input: |, received \w+$/g, '')}`
}

/** Of a value that fits none of several forms, the fault within the form that it resembles. */
function innermost(issue: z.core.$ZodIssue): z.core.$ZodIssue {
  if (issue.code !== 'invalid_union') return issue
  const near = issue.errors.find((faults) =>
    faults.every(({ code }) => code === 'too_small' || code === 'invalid_type'),
  )
  const [fault] = near ?? []
  return fault?.code === 'too_small' ? { ...fault, path: [...issue.path, ...fault.path] } : issue
}

/** A path within a definition as words, the keys that remain, and the value there. */
function place(path: readonly PropertyKey[], definition: unknown): [words: string, keys: string, value: unknown] {
  const words: string[] = []
  const keys: string[] = []
  let value = definition
  path.forEach((step, p) => {
    value = (value as Record<PropertyKey, unknown> | undefined | null)?.[step]
    const within = path[p - 1]
    if (typeof step === 'number' && (within === 'views' || within === 'features')) {
      keys.pop()
      const title = (value as { name?: unknown } | null | undefined)?.name
      words.push(`${within.slice(0, -1)} ${title === undefined ? `number ${step + 1}` : shown(title)}`)
    } else keys.push(String(step))
  })
  return [words.length === 0 ? 'the service' : words.join(', '), keys.join('.'), value]
}

function shown(value: unknown): string {
  return value === undefined ? 'missing' : JSON.stringify(value)
}
