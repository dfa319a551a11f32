import { UserError } from '../../configs/user-error.ts'
import { AMOUNT, type AggregateFeature, type NumericFunction, type ValueFunction } from '../view/aggregation.ts'
import type {
  AggregateView,
  DerivedView,
  FeatureService,
  FeatureView,
  RequestFeature,
  RequestView,
} from '../view/view.ts'
import { refuseOthers, windowed, type WindowOptions, type WindowText } from './window.ts'

/**
 * What definitions are written with: `import { … } from 'fd/features'`. Each builder returns plain data, so a service
 * can be printed, stored in a model's card, and compared by its digest. Nothing in it is a function.
 */
export { ever, type Duration, type WindowOptions, type WindowText } from './window.ts'
export type { FeatureService, FeatureView, RequestFeature } from '../view/view.ts'

/** A feature of the transaction alone, without its name. */
export type RequestForm = WithoutName<RequestFeature>

/** A feature over the events of an entity, without its name. */
export type AggregateForm = WithoutName<AggregateFeature>

type WithoutName<T> = T extends { name: string } ? Omit<T, 'name'> : never

/** What one model reads: the features of its views, in this order, under names that no two share. */
export function service(name: string, description: string, views: FeatureView[]): FeatureService {
  return { name, description, views }
}

/** Whose events a view reads. */
export interface ViewOptions {
  /** Entity of the dataset: `card`. */
  entity: string
  /** Whether the transaction counts in its own windows. Default true. */
  includesCurrent?: boolean
}

/** Aggregations over the events of one entity, by the names of their features. */
export function view(name: string, options: ViewOptions, features: Record<string, AggregateForm>): AggregateView {
  refuseOthers(options, ['entity', 'includesCurrent'])
  const { entity, includesCurrent = true } = options
  return { kind: 'aggregate', name, entity, includesCurrent, features: named(features) }
}

/**
 * Features of the transaction alone, by name. A text is an expression over its columns: `'hour(time) < 6'`.
 *
 * @param name of the view, default `transaction`.
 */
export function request(features: Record<string, RequestForm | string>, name = 'transaction'): RequestView {
  const formOf = (form: RequestForm | string): RequestForm =>
    typeof form === 'string' ? { from: 'expression', expression: form } : form
  return {
    kind: 'request',
    name,
    features: Object.entries(features).map(([n, form]) => ({ name: n, ...formOf(form) })),
  }
}

/**
 * Features that follow from others of the same transaction, by name: expressions over features that stand before them
 * in the service, `'amount / max(mean_7d, 1)'`.
 *
 * @param name of the view, default `derived`.
 */
export function derived(features: Record<string, string>, name = 'derived'): DerivedView {
  return {
    kind: 'derived',
    name,
    features: Object.entries(features).map(([name, expression]) => ({ name, expression })),
  }
}

/** One record of features for each window, all in one: `each(['1h', '7d'], (w) => ({ [`n_${w}`]: count(w) }))`. */
export function each<Item, Feature>(
  items: readonly Item[],
  features: (item: Item) => Record<string, Feature>,
): Record<string, Feature> {
  const all: Record<string, Feature> = {}
  for (const [name, feature] of items.flatMap((item) => Object.entries(features(item)))) {
    if (Object.hasOwn(all, name))
      throw new UserError(`each() makes two features "${name}": put what differs into the name.`)
    all[name] = feature
  }
  return all
}

/** The amount in major units. */
export function amount(): RequestForm {
  return { from: 'amount' }
}

/** 1 on Saturday and Sunday (UTC), else 0. */
export function weekend(): RequestForm {
  return { from: 'weekend' }
}

/** 1 from 00:00:00 to 06:59:59 (UTC), else 0. */
export function night(): RequestForm {
  return { from: 'night' }
}

/** A numeric column of the dataset. NaN where the cell is empty. */
export function numeric(column: string): RequestForm {
  return { from: 'numeric', column }
}

/** A categorical column of the dataset: the model reads its name. */
export function categorical(column: string): RequestForm {
  return { from: 'categorical', column }
}

/** Number of payments in the window. */
export function count(window: WindowText, options?: WindowOptions): AggregateForm {
  return { function: 'count', ...windowed(window, options) }
}

/** Sum over the window of the amount, in major units, or of a numeric column with decimals; 0 where there is none. */
export function sum(of: string, window: WindowText, options?: WindowOptions): AggregateForm {
  return of === AMOUNT ? { function: 'sum_amount', ...windowed(window, options) } : numbers('sum', of, window, options)
}

/** Mean over the window, as `sum`. Where there is none, that of the amount is 0 and that of a column is missing. */
export function mean(of: string, window: WindowText, options?: WindowOptions): AggregateForm {
  return of === AMOUNT
    ? { function: 'mean_amount', ...windowed(window, options) }
    : numbers('mean', of, window, options)
}

/** Standard deviation of a sample (n − 1) over the window, as `sum`; missing for fewer than two values. */
export function std(of: string, window: WindowText, options?: WindowOptions): AggregateForm {
  return numbers('std', of, window, options)
}

/** The least value of the amount or of a numeric column over the window; missing where there is none. */
export function min(of: string, window: WindowText, options?: WindowOptions): AggregateForm {
  return numbers('min', of, window, options)
}

/** The greatest value, as `min`. */
export function max(of: string, window: WindowText, options?: WindowOptions): AggregateForm {
  return numbers('max', of, window, options)
}

/** A window of the last `events` events up to the transaction, whenever they were: `count(last(5))`. */
export function last(events: number): { last: number }
/** The value of the window's newest event that has one, as `min`: `last('amount', '7d')`. */
export function last(of: string, window: WindowText, options?: WindowOptions): AggregateForm
export function last(
  of: number | string,
  window: WindowText = '',
  options?: WindowOptions,
): AggregateForm | { last: number } {
  return typeof of === 'number' ? { last: of } : numbers('last', of, window, options)
}

/** The value of the window's oldest event that has one, as `min`. */
export function first(of: string, window: WindowText, options?: WindowOptions): AggregateForm {
  return numbers('first', of, window, options)
}

/** How many values of a categorical column, or of an entity by its name, the window's events have. */
export function distinct(of: string, window: WindowText, options?: WindowOptions): AggregateForm {
  return values('distinct', of, window, options)
}

/** 1 where no earlier event of the window has the transaction's own value, else 0; missing where it has none. */
export function isNew(of: string, window: WindowText, options?: WindowOptions): AggregateForm {
  return values('is_new', of, window, options)
}

/** The share of the window's events that have the transaction's own value; missing where it has none. */
export function shareSame(of: string, window: WindowText, options?: WindowOptions): AggregateForm {
  return values('share_same', of, window, options)
}

/** Number of the window's payments that are known to be fraud. */
export function fraudCount(window: WindowText, options?: WindowOptions): AggregateForm {
  return { function: 'fraud_count', ...windowed(window, options) }
}

/** Share of the window's payments that are known to be fraud; 0 where there are none. */
export function fraudShare(window: WindowText, options?: WindowOptions): AggregateForm {
  return { function: 'fraud_share', ...windowed(window, options) }
}

/**
 * The share of frauds, drawn towards `prior`: (frauds + prior · weight) / (payments + weight). It turns a category with
 * many values into a number, in a view whose entity is the category.
 *
 * @param options.prior the share of a key without payments, in [0, 1]: that of all payments, say.
 * @param options.weight how many payments the prior counts for, above 0.
 */
export function targetMean(
  window: WindowText,
  options: WindowOptions & { prior: number; weight: number },
): AggregateForm {
  const { prior, weight, ...rest } = options
  return { function: 'fraud_share', ...windowed(window, rest), smoothing: { prior, weight } }
}

/** Seconds since the entity's previous payment, −1 where there is none. */
export function secondsSincePrevious(options?: Pick<WindowOptions, 'where'>): AggregateForm {
  return { function: 'seconds_since_previous', ...conditionOf(options) }
}

/** Seconds since the entity's first payment, however long ago; −1 where there is none. */
export function secondsSinceFirst(options?: Pick<WindowOptions, 'where'>): AggregateForm {
  return { function: 'seconds_since_first', ...conditionOf(options) }
}

/** Number of refunds in the window: transactions with an amount below 0, which no other function sees. */
export function refundCount(window: WindowText, options?: WindowOptions): AggregateForm {
  return { function: 'refund_count', ...windowed(window, options) }
}

/** Sum of what was paid back in the window, in major units: 0 or more. */
export function refundSum(window: WindowText, options?: WindowOptions): AggregateForm {
  return { function: 'refund_sum', ...windowed(window, options) }
}

function numbers(name: NumericFunction, of: string, window: WindowText, options?: WindowOptions): AggregateForm {
  return { function: name, of, ...windowed(window, options) }
}

function values(name: ValueFunction, of: string, window: WindowText, options?: WindowOptions): AggregateForm {
  return { function: name, of, ...windowed(window, options) }
}

function conditionOf(options: Pick<WindowOptions, 'where'> = {}): { where?: string } {
  refuseOthers(options, ['where'])
  return options.where === undefined ? {} : { where: options.where }
}

function named<Feature extends object>(features: Record<string, Feature>): ({ name: string } & Feature)[] {
  return Object.entries(features).map(([name, feature]) => ({ name, ...feature }))
}
