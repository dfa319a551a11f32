import { batchShape, type DatasetSchema } from '../../../datasets/table/dataset.ts'
import { emptyBatch, FRAUD_LABEL, type EventBatch } from '../../../datasets/table/transaction.ts'
import { windowOf } from '../../../features/view/aggregation.ts'
import type { AggregateView, FeatureService, FeatureView } from '../../../features/view/view.ts'
import { figure, table } from '../../console/output.ts'
import { spanText, windowText } from './meaning.ts'

/** When the transaction of the example is: a Wednesday, so that windows which begin with a whole day are seen. */
const NOW = Date.UTC(2024, 0, 31, 12)
const AMOUNTS = [10, 20, 30, 40, 50]

/**
 * The first view with windows, worked out: a handful of one key's payments, and what the fold makes of them for the
 * last. '' for a service without such a view.
 *
 * @param schema of a dataset that reads the service; without it one with just what the view reads.
 */
export async function exampleText(service: FeatureService, schema: DatasetSchema | undefined): Promise<string> {
  const view = service.views.find((each) => each.kind === 'aggregate' && each.features.some((f) => windowOf(f)))
  if (view === undefined || view.kind !== 'aggregate') return ''
  const table = schema ?? schemaOf(view)
  const { ServiceFold } = await import('../../../features/fold/service-fold.ts')
  const ages = agesOf(view)
  const batch = paymentsAt(ages, table)
  const alone: FeatureView[] = [view]
  const { values } = new ServiceFold({ ...service, views: alone }, table).fold(batch)
  const width = view.features.length
  const last = values.subarray((AMOUNTS.length - 1) * width, AMOUNTS.length * width)
  return workedText(view, ages, last)
}

/** How long before the last payment each of them is: beyond the longest window, within it, within the shortest, now. */
function agesOf({ features }: AggregateView): number[] {
  const windows = features.flatMap((feature) => windowOf(feature) ?? [])
  const reaches = windows.flatMap((w) => ('length' in w ? [w.length + (w.delay ?? 0)] : []))
  const delay = Math.max(0, ...windows.flatMap((w) => ('delay' in w && w.delay !== undefined ? [w.delay] : [])))
  const lengths = windows.flatMap((w) => ('length' in w ? [w.length] : []))
  const [longest, shortest] = [Math.max(...reaches, 86_400_000), Math.min(...lengths, 3_600_000)]
  const middle = delay > 0 ? delay + shortest / 2 : longest / 2
  return [2 * longest, middle, delay > 0 ? delay / 2 : shortest, shortest / 2, 0]
}

function paymentsAt(ages: readonly number[], schema: DatasetSchema): EventBatch {
  // Behind the second payment, which is a fraud, stands its label: it was known at once.
  const rows = [0, 1, 1, 2, 3, 4]
  const batch = emptyBatch(batchShape(schema), rows.length)
  rows.forEach((payment, row) => {
    const isLabel = row === 2
    batch.kind[row] = isLabel ? FRAUD_LABEL : 0
    batch.ids[row] = schema.id?.type === 'string' ? `p${payment}` : payment
    batch.time[row] = NOW - ages[payment]
    batch.amount[row] = AMOUNTS[payment] * 10 ** schema.amount.minorUnits
    if (isLabel) batch.knownAt[row] = batch.time[row]
    for (const keys of batch.entities) keys[row] = keys instanceof Float64Array ? 1 : 'A'
    // Every second payment has the same value, so that what is distinct or new shows.
    for (const column of batch.numeric) column[row] = payment % 2
    for (const column of batch.categorical) column[row] = payment % 2 === 0 ? 'x' : 'y'
  })
  return batch
}

/** A dataset with what the view reads. */
function schemaOf({ entity, features }: AggregateView): DatasetSchema {
  const columns = features.flatMap((feature) => ('of' in feature && feature.of !== 'amount' ? [feature] : []))
  const values = columns.filter((feature) => ['distinct', 'is_new', 'share_same'].includes(feature.function))
  const numeric = [...new Set(columns.filter((each) => !values.includes(each)).map(({ of }) => of))]
  return {
    id: { column: 'id', type: 'integer' },
    time: { column: 'time', unit: 'ms' },
    amount: { column: 'amount', minorUnits: 2 },
    refunds: true,
    entities: [{ name: entity, column: entity, type: 'string' }],
    numeric,
    decimals: Object.fromEntries(numeric.map((column) => [column, 0])),
    categorical: [...new Set(values.map(({ of }) => of))],
  }
}

function workedText(view: AggregateView, ages: readonly number[], values: Float64Array): string {
  const payments = ages.map((age, p) => {
    const when = age === 0 ? 'at t' : `at t − ${spanText(age)}`
    return `${AMOUNTS[p]} ${when}${p === 1 ? ' (fraud, known since)' : ''}`
  })
  const rows = view.features.map((feature, f) => {
    const window = windowOf(feature)
    const value = Number.isNaN(values[f]) ? 'missing' : figure(values[f])
    return [feature.name, window === undefined ? '' : windowText(window), value]
  })
  return (
    `For example, one ${view.entity} that paid ${payments.join(', ')}. ` +
    `In view ${view.name}, the last of these has:\n\n${table(['feature', 'window', 'value'], rows)}`
  )
}
