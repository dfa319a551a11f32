import { expect, test } from 'vitest'
import { randomStream } from '../../datasets/random/random.ts'
import { DAY, HOUR, LOOKUP } from '../../datasets/table/transaction.ts'
import { ServiceFold, truncatedViews } from '../fold/service-fold.ts'
import { naiveFeatures } from '../testing/naive-features.ts'
import { eventBatch, SMALL_SCHEMA, type SmallEvent } from '../testing/small-log.ts'
import type { AggregateFeature } from '../view/aggregation.ts'
import { withMaxEvents, type AggregateView, type FeatureService } from '../view/view.ts'

/** A transaction or a label, or a question in its place. */
interface Asked extends SmallEvent {
  lookup: boolean
}

const schema = { ...SMALL_SCHEMA, refunds: true }
const START = Date.UTC(2018, 3, 1)

/** Events in order of time, refunds and labels among them, and lookups of keys that are known, unknown and missing. */
function makeLog(seed: number, size: number): Asked[] {
  const random = randomStream(seed)
  const log: Asked[] = []
  let now = START
  for (let id = 0; id < size; id++) {
    if (random.uniform() < 0.8) now += random.integer(4 * HOUR)
    const lookup = random.uniform() < 0.4
    const amount = random.integer(50_000) - 10_000
    const customer = lookup && random.uniform() < 0.1 ? Number.NaN : random.integer(lookup ? 6 : 4)
    log.push({ id, time: now, amount, customer, terminal: random.integer(3), label: false, lookup })
    const about = log[random.integer(log.length)]
    if (random.uniform() < 0.2 && !about.label && !about.lookup) log.push({ ...about, label: true })
  }
  return log
}

const features = (
  window: { length: number; delay?: number } | { last: number },
  suffix: string,
): AggregateFeature[] => [
  { name: `count_${suffix}`, function: 'count', window },
  { name: `mean_${suffix}`, function: 'mean_amount', window },
  { name: `share_${suffix}`, function: 'fraud_share', window, smoothing: { prior: 0.1, weight: 3 } },
  { name: `refunds_${suffix}`, function: 'refund_sum', window },
]

const viewOf = (entity: string, includesCurrent: boolean): AggregateView => ({
  kind: 'aggregate',
  name: entity,
  entity,
  includesCurrent,
  features: [
    ...features({ length: DAY }, '1d'),
    ...features({ length: 2 * DAY, delay: DAY }, 'delayed'),
    ...features({ last: 4 }, 'last4'),
    { name: 'since', function: 'seconds_since_previous' },
  ],
})

const serviceOf = (includesCurrent: boolean): FeatureService => ({
  name: 's',
  description: '',
  views: [viewOf('customer', includesCurrent), viewOf('terminal', includesCurrent)],
})

/** The rows of a log with lookups, by id, and the ids whose rows lack events. */
function fold(service: FeatureService, log: readonly Asked[], size: number): [Map<number, number[]>, Set<number>] {
  const folding = new ServiceFold(service, schema)
  const width = folding.names.length
  const [rows, lacking] = [new Map<number, number[]>(), new Set<number>()]
  for (let from = 0; from < log.length; from += size) {
    const part = log.slice(from, from + size)
    const batch = eventBatch(part, schema)
    for (const [row, { lookup }] of part.entries()) if (lookup) batch.kind[row] = LOOKUP
    const { values, truncated } = folding.fold(batch)
    for (const [k, { id }] of part.filter(({ label }) => !label).entries()) {
      rows.set(id, [...values.subarray(k * width, (k + 1) * width)])
      if (truncatedViews(service, truncated[k]).length > 0) lacking.add(id)
    }
  }
  return [rows, lacking]
}

const keyOf = (view: AggregateView, event: SmallEvent): number | undefined => {
  const key = view.entity === 'customer' ? event.customer : event.terminal
  return Number.isNaN(key) ? undefined : key
}

/** Each lookup as a transaction that ends its log and does not count itself, each transaction without any lookup. */
function naive(service: FeatureService, log: readonly Asked[]): Map<number, number[]> {
  const rows = new Map<number, number[]>()
  const events = log.filter(({ lookup }) => !lookup)
  const views = service.views as AggregateView[]
  const whole = views.map((view) => naiveFeatures(view, events, (event) => keyOf(view, event)))
  for (const [place, event] of log.entries()) {
    if (event.label) continue
    const before = [...log.slice(0, place).filter(({ lookup }) => !lookup), event]
    const alone = (view: AggregateView): number[] =>
      naiveFeatures({ ...view, includesCurrent: false }, before, (each) => keyOf(view, each)).get(event.id) ?? []
    rows.set(
      event.id,
      views.flatMap((view, v) => (event.lookup ? alone(view) : (whole[v].get(event.id) ?? []))),
    )
  }
  return rows
}

test.each([
  [1, true],
  [2, false],
])('a lookup finds what a transaction in its place would, and leaves no trace, seed %i', (seed, includesCurrent) => {
  const [service, log] = [serviceOf(includesCurrent), makeLog(seed, 250)]
  expect(log.filter(({ lookup }) => lookup).length).toBeGreaterThan(50)
  for (const size of [1, 7, 1000]) expect(fold(service, log, size)[0]).toEqual(naive(service, log))
})

test('a lookup whose windows lack what a full ring has pushed out says so, and is exact where it does not', () => {
  const log = makeLog(3, 400)
  const limited = withMaxEvents(serviceOf(true), 8)
  const [rows, lacking] = fold(limited, log, 50)
  const exact = naive(limited, log)
  const lookups = log.filter(({ lookup }) => lookup)
  const sound = lookups.filter(({ id }) => !lacking.has(id))
  expect(sound.map(({ id }) => rows.get(id))).toEqual(sound.map(({ id }) => exact.get(id)))
  const wrong = lookups.filter(({ id }) => rows.get(id)?.some((value, f) => !Object.is(value, exact.get(id)?.[f])))
  expect(wrong.length).toBeGreaterThan(10)
  expect(sound.length).toBeGreaterThan(10)
})
