import { describe, expect, test } from 'vitest'
import { randomStream, type Random } from '../../datasets/random/random.ts'
import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import { DAY, HOUR, LOOKUP } from '../../datasets/table/transaction.ts'
import { naiveFeatures } from '../testing/naive-features.ts'
import { eventBatch, type LoggedEvent } from '../testing/small-log.ts'
import type { AggregateFeature, Aggregation, Window } from '../view/aggregation.ts'
import type { AggregateView, FeatureService } from '../view/view.ts'
import { needsOf } from '../window/window-plan.ts'
import { decodeState, encodeState } from './entity-state.ts'
import { ServiceFold } from './service-fold.ts'

const schema: DatasetSchema = {
  id: { column: 'id', type: 'integer' },
  time: { column: 'time', unit: 'ms' },
  amount: { column: 'amount', minorUnits: 2 },
  refunds: true,
  entities: [
    { name: 'customer', column: 'customer', type: 'integer' },
    { name: 'terminal', column: 'terminal', type: 'integer', optional: true },
  ],
  numeric: ['weight', 'score'],
  decimals: { weight: 3 },
  categorical: ['shop'],
}
const DECIMALS = { weight: 3 }
const START = Date.UTC(2018, 3, 1)

interface Event extends LoggedEvent {
  id: number
  customer: number
  terminal: number
  weight: number
  score: number
  shop: string
}

/** The conditions of features, in CEL and as the naive loop reads them. */
const CONDITIONS: Record<string, (event: Event) => boolean> = {
  'amount > 200.0': ({ amount }) => amount > 20_000,
  'shop == "a" || weight < 0.0': ({ shop, weight }) => shop === 'a' || weight < 0,
}

const WINDOWS: Window[] = [
  { length: 6 * HOUR },
  { length: 2 * DAY },
  { length: DAY, delay: 12 * HOUR },
  { length: HOUR, hop: DAY },
  { length: 10 * HOUR, delay: HOUR, hop: 4 * HOUR },
  { last: 1 },
  { last: 4 },
]
const EVER: Window[] = [{ ever: true }, { ever: true, delay: 5 * HOUR }]

/** Every function that may have a window. */
function functionsOf(window: Window): Aggregation[] {
  const of = (column: string): Aggregation[] =>
    (['min', 'max', 'last', 'first'] as const).map((name) => ({ function: name, of: column, window }))
  const sums = (column: string): Aggregation[] =>
    (['sum', 'mean', 'std'] as const).map((name) => ({ function: name, of: column, window }))
  const values = (column: string): Aggregation[] =>
    (['distinct', 'is_new', 'share_same'] as const).map((name) => ({ function: name, of: column, window }))
  const [ever, hop] = ['ever' in window, 'hop' in window]
  return [
    { function: 'count', window },
    { function: 'mean_amount', window },
    { function: 'sum_amount', window },
    { function: 'refund_count', window },
    { function: 'refund_sum', window },
    ...of('amount'),
    ...of('weight'),
    ...of('score'),
    ...sums('weight'),
    { function: 'std', of: 'amount', window },
    ...(ever ? [] : [...values('shop'), ...values('terminal')]),
    ...(ever || hop
      ? []
      : ([
          { function: 'fraud_count', window },
          { function: 'fraud_share', window },
        ] as const)),
  ]
}

const ALL: Aggregation[] = [
  ...[...WINDOWS, ...EVER].flatMap(functionsOf),
  { function: 'seconds_since_previous' },
  { function: 'seconds_since_first' },
]

/** A view of some of the functions, in any order, some of them with a condition. */
function randomView(random: Random, from: readonly Aggregation[] = ALL): AggregateView {
  const conditions = [undefined, undefined, ...Object.keys(CONDITIONS)]
  const features = Array.from({ length: 3 + random.integer(25) }, (_, f): AggregateFeature => {
    const where = conditions[random.integer(conditions.length)]
    const aggregation = from[random.integer(from.length)]
    return { name: `f${f}`, ...aggregation, ...(where === undefined ? {} : { where }) }
  })
  const entity = random.integer(2) === 0 ? 'customer' : 'terminal'
  return { kind: 'aggregate', name: 'view', entity, includesCurrent: random.integer(2) === 0, features }
}

/** Transactions of few keys with ties, refunds, missing values and labels, some out of order by up to `disorder`. */
function makeLog(random: Random, size: number, disorder: number): Event[] {
  const log: Event[] = []
  let now = START
  for (let id = 0; id < size; id++) {
    if (random.integer(5) > 0) now += random.integer(3) ** 2 * random.integer(HOUR)
    const back = random.integer(8) === 0 ? random.integer(disorder + 1) : 0
    const large = random.integer(4) === 0 ? 68_719_476_736 : 50_000
    log.push({
      id,
      time: now - back,
      amount: random.integer(6) === 0 ? -random.integer(50_000) : random.integer(large),
      customer: random.integer(4),
      terminal: random.integer(5) === 0 ? Number.NaN : random.integer(4),
      weight: random.integer(4) === 0 ? Number.NaN : (random.integer(large) - large / 2 - 0.5) / 1000,
      score: random.integer(3) === 0 ? Number.NaN : random.integer(5) === 0 ? -0 : random.normal(0, 1),
      shop: ['', 'a', 'b', 'c', 'é中'][random.integer(5)],
      label: false,
    })
    const about = log[random.integer(log.length)]
    if (random.integer(4) === 0 && !about.label) log.push({ ...about, label: true })
  }
  return log.map((event) => ({ ...event, weight: Math.round(event.weight * 1000) / 1000 }))
}

function serviceOf(view: AggregateView): FeatureService {
  return { name: 'service', description: '', views: [view] }
}

function naive(view: AggregateView, log: readonly Event[]): number[][] {
  const keyOf = ({ customer, terminal }: Event): number | undefined => {
    const key = view.entity === 'customer' ? customer : terminal
    return Number.isNaN(key) ? undefined : key
  }
  const holds = (where: string, event: Event): boolean => CONDITIONS[where](event)
  return [...naiveFeatures(view, log, keyOf, { decimals: DECIMALS, holds }).values()]
}

/** A fold that goes on from the stored state of another, of which every key's state is written the same again. */
function restarted(before: ServiceFold, view: AggregateView, lateness: number): ServiceFold {
  const after = new ServiceFold(serviceOf(view), schema, { lateness })
  const [from, to] = [before.views[0], after.views[0]]
  for (let slot = 0; slot < from.keys; slot++) {
    const bytes = encodeState(from, slot)
    const restored = to.addKey(from.key(slot))
    decodeState(to, restored, bytes)
    expect(encodeState(to, restored)).toEqual(bytes)
  }
  return after
}

/** Folds a log in batches of any size, and starts anew between some of them. */
function folded(
  view: AggregateView,
  log: readonly Event[],
  random: Random,
  lateness: number,
): { values: number[][]; late: boolean[]; truncated: boolean[] } {
  const found = { values: [] as number[][], late: [] as boolean[], truncated: [] as boolean[] }
  let fold = new ServiceFold(serviceOf(view), schema, { lateness })
  for (let from = 0; from < log.length;) {
    const events = log.slice(from, from + 1 + random.integer(40))
    const { rows, values, late, truncated } = fold.fold(eventBatch(events, schema))
    for (let k = 0; k < rows; k++) {
      found.values.push([...values.subarray(k * fold.names.length, (k + 1) * fold.names.length)])
      found.late.push(late[k] === 1)
      found.truncated.push(truncated[k] !== 0)
    }
    if (random.integer(3) === 0) fold = restarted(fold, view, lateness)
    from += events.length
  }
  return found
}

/** Where two lists of rows differ, with the feature: equal are only the same bits. */
function differences(view: AggregateView, found: readonly number[][], expected: readonly number[][]): unknown[] {
  return expected.flatMap((row, k) =>
    row.flatMap((value, f) =>
      Object.is(found[k][f], value) ? [] : [{ row: k, ...view.features[f], value, found: found[k][f] }],
    ),
  )
}

describe('every function over every window equals the quadratic loop bit for bit', () => {
  const seeds = Array.from({ length: 60 }, (_, seed) => seed)
  test.each(seeds)('out of order within the lateness, with restarts, seed %i', (seed) => {
    const random = randomStream(seed)
    const view = randomView(random)
    const log = makeLog(random, 250, random.integer(2) * 6 * HOUR)
    const found = folded(view, log, random, 6 * HOUR)
    expect(found.late).not.toContain(true)
    expect(differences(view, found.values, naive(view, log))).toEqual([])
  })

  test.each([100, 101, 102, 103, 104, 105])('on busy keys whose amounts fall for long, seed %i', (seed) => {
    const random = randomStream(seed)
    const view = randomView(random)
    const log = makeLog(random, 900, HOUR).map((event) => ({
      ...event,
      customer: 1,
      terminal: 1,
      // All come within three days, and fall or rise for most of the time.
      time: START + Math.floor((event.time - START) / 10),
      amount: event.amount < 0 ? event.amount : event.id % 700 < 600 ? 100_000 - (event.id % 700) * 100 : event.amount,
      weight: Number.isNaN(event.weight)
        ? event.weight
        : Math.round((event.id % 900) * 1000 + random.integer(9)) / 1000,
      shop: event.id % 3 === 0 ? event.shop : `shop ${random.integer(200)}`,
    }))
    const found = folded(view, log, random, HOUR)
    expect(differences(view, found.values, naive(view, log))).toEqual([])
  })
})

describe('a lookup finds what a transaction of its columns would in its place, and leaves no trace', () => {
  test.each(Array.from({ length: 12 }, (_, seed) => seed + 100))('every function, seed %i', (seed) => {
    const random = randomStream(seed)
    const view = randomView(random)
    const log = makeLog(random, 150, random.integer(2) * 6 * HOUR)
    const asked = new Set(log.filter(({ label }) => !label && random.integer(3) === 0).map(({ id }) => id))
    const events = log.filter(({ id }) => !asked.has(id))
    const fold = new ServiceFold(serviceOf(view), schema, { lateness: 6 * HOUR })
    const found = new Map<number, number[]>()
    const rows = log.filter(({ id, label }) => !label || !asked.has(id))
    for (let from = 0; from < rows.length; from += 20) {
      const part = rows.slice(from, from + 20)
      const batch = eventBatch(part, schema)
      for (const [row, { id }] of part.entries()) if (asked.has(id)) batch.kind[row] = LOOKUP
      const { values } = fold.fold(batch)
      for (const [k, { id }] of part.filter(({ label }) => !label).entries())
        found.set(id, [...values.subarray(k * fold.names.length, (k + 1) * fold.names.length)])
    }
    const inPlace = [...asked].map((id) => {
      const place = rows.findIndex((event) => event.id === id)
      const before = rows.slice(0, place).filter((event) => !asked.has(event.id))
      // Refunds see what payments see. The lookup's own amount is nobody's, and it is counted by nothing.
      return naive({ ...view, includesCurrent: false }, [...before, rows[place]]).at(-1) ?? []
    })
    const ids = events.filter(({ label }) => !label).map(({ id }) => id)
    const ofIds = (some: readonly number[]): number[][] => some.map((id) => found.get(id) ?? [])
    expect(differences(view, ofIds([...asked]), inPlace)).toEqual([])
    expect(differences(view, ofIds(ids), naive(view, events))).toEqual([])
  })
})

/** The rows of a log by the features of a view that pass, NaN for the others. */
function only(
  view: AggregateView,
  rows: readonly number[][],
  passes: (feature: AggregateFeature) => boolean,
): number[][] {
  return rows.map((row) => row.map((value, f) => (passes(view.features[f]) ? value : Number.NaN)))
}

const isTimed = (feature: AggregateFeature): boolean => 'window' in feature && 'length' in feature.window
const COUNTED = new Set(['count', 'sum', 'sum_amount', 'mean_amount', 'mean', 'std'])
const isCountedForEver = (feature: AggregateFeature): boolean =>
  'window' in feature && 'ever' in feature.window && COUNTED.has(feature.function)

test.each([200, 201, 202, 203, 204, 205])('late events change no row that comes in time, seed %i', (seed) => {
  const random = randomStream(seed)
  const view = randomView(
    random,
    ALL.filter((each) => isTimed({ name: '', ...each })),
  )
  const log = makeLog(random, 300, 9 * DAY)
  const { values, late } = folded(view, log, random, HOUR)
  const onTime = (rows: readonly number[][]): number[][] => rows.filter((_, k) => !late[k])
  expect(late.filter(Boolean).length).toBeGreaterThan(2)
  expect(differences(view, onTime(values), onTime(naive(view, log)))).toEqual([])
})

test.each([210, 211, 212, 213, 214, 215])(
  'one older than all that is kept is not counted for ever, seed %i',
  (seed) => {
    const random = randomStream(seed)
    const counted = ALL.filter((each) => isCountedForEver({ name: '', ...each }))
    const drawn = randomView(random, counted)
    const features = drawn.features.map((feature): AggregateFeature => {
      const { where: _, ...plain } = feature
      return plain
    })
    const view = { ...drawn, features }
    const { span } = needsOf(features)
    const log = makeLog(random, 300, DAY)
    const { values, late } = folded(view, log, random, HOUR)
    const clocks = new Map<number, number>()
    const gone = new Set<number>()
    for (const { id, time, label, customer, terminal } of log) {
      const key = view.entity === 'customer' ? customer : terminal
      const clock = clocks.get(key) ?? -Infinity
      if (!label && time < clock - span - HOUR) gone.add(id)
      if (!label) clocks.set(key, Math.max(clock, time))
    }
    const exact = naive(
      view,
      log.filter(({ id }) => !gone.has(id)),
    )
    const inTime = new Set(log.filter(({ label }) => !label).filter((_, k) => !late[k]))
    const kept = log.filter(({ label, id }) => !label && !gone.has(id))
    const wanted = exact.filter((_, k) => inTime.has(kept[k]))
    expect(gone.size).toBeGreaterThan(0)
    expect(
      differences(
        view,
        values.filter((_, k) => !late[k]),
        wanted,
      ),
    ).toEqual([])
  },
)

test.each([300, 301, 302, 303, 304, 305])('a full ring flags every row that differs, seed %i', (seed) => {
  const random = randomStream(seed)
  const view = { ...randomView(random), maxEvents: 16 }
  const log = makeLog(random, 400, HOUR)
  const { values, truncated } = folded(view, log, random, HOUR)
  const whole = (rows: readonly number[][]): number[][] => rows.filter((_, k) => !truncated[k])
  const known = (rows: readonly number[][]): number[][] =>
    only(view, whole(rows), (feature) => isTimed(feature) || ('window' in feature && 'last' in feature.window))
  expect(truncated).toContain(false)
  expect(differences(view, known(values), known(naive(view, log)))).toEqual([])
})

test('an event of a condition that comes again, long after all windows by time, is counted once', () => {
  const features: AggregateFeature[] = [
    { name: 'large', function: 'count', window: { last: 5 }, where: 'amount > 200.0' },
  ]
  const view: AggregateView = { kind: 'aggregate', name: 'v', entity: 'customer', includesCurrent: true, features }
  const [event] = makeLog(randomStream(1), 1, 0)
  const at = (day: number, id: number, amount: number): Event => ({ ...event, id, amount, time: START + day * DAY })
  const small = Array.from({ length: 30 }, (_, n) => at(1 + n, 10 + n, 100))
  const log = [at(0, 1, 30_000), ...small, at(0, 1, 30_000), at(40, 2, 30_000)]
  const fold = new ServiceFold(serviceOf(view), schema)
  const { values, rows } = fold.fold(eventBatch(log, schema))
  expect([rows, values[rows - 1]]).toEqual([33, 2])
})

test('a view may have hundreds of windows and functions', () => {
  const features = Array.from({ length: 300 }, (_, n): AggregateFeature => {
    const window = { length: (n + 1) * 600_000 }
    return {
      name: `f${n}`,
      ...(n % 2 === 0 ? { function: 'count', window } : { function: 'max', of: 'amount', window }),
    }
  })
  const view: AggregateView = { kind: 'aggregate', name: 'v', entity: 'customer', includesCurrent: true, features }
  const random = randomStream(7)
  const log = makeLog(random, 60, HOUR)
  expect(differences(view, folded(view, log, random, HOUR).values, naive(view, log))).toEqual([])
})
