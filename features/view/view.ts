import { createHash } from 'node:crypto'
import { UserError } from '../../configs/user-error.ts'
import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import type { DurationMs } from '../../datasets/table/transaction.ts'
import { reachOf, windowOf, type AggregateFeature, type Window } from './aggregation.ts'
import { canonicalJson } from './canonical.ts'

/** A feature of the transaction alone. */
export type RequestFeature = { name: string } & (
  | { from: 'amount' }
  /** 1 on Saturday and Sunday (UTC), else 0. */
  | { from: 'weekend' }
  /** 1 from 00:00:00 to 06:59:59 (UTC), else 0: the Handbook's night. */
  | { from: 'night' }
  /** A numeric attribute of the dataset, by column. NaN when missing. */
  | { from: 'numeric'; column: string }
  /** A categorical attribute. In the matrix it is a code (`category.ts`); a model reads its name. */
  | { from: 'categorical'; column: string }
  /**
   * An expression over the transaction's own columns (`expression/`). A condition is 1 where it is true and 0 where it
   * is false. NaN when missing.
   */
  | { from: 'expression'; expression: string }
)

/** An expression over features of the same transaction that stand before it in the service and are no categories. */
export interface DerivedFeature {
  name: string
  expression: string
}

/** Aggregations over the events of one entity. */
export interface AggregateView {
  kind: 'aggregate'
  name: string
  /** Entity of the dataset (`customer`). */
  entity: string
  /** Whether the transaction sees itself in its windows. */
  includesCurrent: boolean
  /** The most events of a key that are kept, a power of two: one more pushes out the oldest. Default `MAX_EVENTS`. */
  maxEvents?: number
  features: AggregateFeature[]
}

/** Features of the transaction alone, which need no history. */
export interface RequestView {
  kind: 'request'
  name: string
  features: RequestFeature[]
}

/** Features that follow from others. They are computed where all of those are: in the last stage of a chain. */
export interface DerivedView {
  kind: 'derived'
  name: string
  features: DerivedFeature[]
}

export type FeatureView = AggregateView | RequestView | DerivedView

/** What one model reads: the features of its views, in this order. */
export interface FeatureService {
  name: string
  description: string
  views: FeatureView[]
}

/** How many events of a key a view keeps where nothing else is said. */
export const MAX_EVENTS = 2 ** 20

/**
 * The service with another limit of its views. It is part of the definition, since a view that has lost events computes
 * other values; the default is not, so that a definition without a limit is what it always was.
 *
 * @throws UserError when a window by count would not fit.
 */
export function withMaxEvents(service: FeatureService, maxEvents: number = MAX_EVENTS): FeatureService {
  if (maxEvents === MAX_EVENTS) return service
  const limited = (view: FeatureView): FeatureView => (view.kind === 'aggregate' ? { ...view, maxEvents } : view)
  const longest = Math.max(0, ...service.views.map(longestCount))
  if (longest < maxEvents) return { ...service, views: service.views.map(limited) }
  throw new UserError(
    `features.maxEvents is ${maxEvents}, and service "${service.name}" has a window of the last ${longest} events. ` +
      'Give a higher power of two in the configuration.',
  )
}

/** The limit of a service's views; undefined where it is the default. */
export function maxEventsOf(service: FeatureService): number | undefined {
  return service.views.find((view) => view.kind === 'aggregate')?.maxEvents
}

/** The longest window by count of a view, 0 when it has none. */
function longestCount(view: FeatureView): number {
  return Math.max(0, ...windowsOf(view).map((window) => ('last' in window ? window.last : 0)))
}

function windowsOf(view: FeatureView): Window[] {
  return view.kind === 'aggregate' ? view.features.flatMap((feature) => windowOf(feature) ?? []) : []
}

/** Names of the service's features, in the order of the model's input columns. */
export function featureNames(service: FeatureService): string[] {
  return service.views.flatMap((view) => view.features.map((feature) => feature.name))
}

/** A feature that is a category: its index in `featureNames`, and that of its column in `schema.categorical`. */
export interface CategoryColumn {
  feature: number
  source: number
}

/** The features that are categories, in the order of the service. A model reads them by name, all others as numbers. */
export function categoryColumns(service: FeatureService, schema: DatasetSchema): CategoryColumn[] {
  const features = service.views.flatMap(
    (view): (RequestFeature | AggregateFeature | DerivedFeature)[] => view.features,
  )
  return features.flatMap((feature, index) =>
    'from' in feature && feature.from === 'categorical'
      ? [{ feature: index, source: schema.categorical.indexOf(feature.column) }]
      : [],
  )
}

/** How far back before a transaction the service's windows by time begin, delay included; 0 when there are none. */
export function longestReach({ views }: FeatureService): DurationMs {
  return Math.max(0, ...views.flatMap(windowsOf).map(reachOf))
}

/** sha256 of the service's definition, in hex. Two services with one digest compute the same values. */
export function serviceDigest(service: FeatureService): string {
  return createHash('sha256').update(canonicalJson(service.views)).digest('hex')
}

/** What a model card or a job carries of a service, so that another process computes the same without any file. */
export interface ServiceReference {
  name: string
  digest: string
  maxEvents?: number | undefined
  /** The service itself as JSON. References from before they carried it name one of fd's own. */
  definition?: object | undefined
}

export function serviceReference(service: FeatureService): ServiceReference & { definition: FeatureService } {
  const maxEvents = maxEventsOf(service)
  const limit = maxEvents === undefined ? {} : { maxEvents }
  return { name: service.name, digest: serviceDigest(service), ...limit, definition: service }
}
