import { describe, expect, test } from 'vitest'
import { DAY, HOUR } from '../../datasets/table/transaction.ts'
import { cardFraud } from '../definition/card-fraud.ts'
import { userAnomaly } from '../definition/user-anomaly.ts'
import { naiveFeatures } from '../testing/naive-features.ts'
import { eventBatch, SMALL_SCHEMA, type SmallEvent } from '../testing/small-log.ts'
import { windowOf, type AggregateFeature } from '../view/aggregation.ts'
import {
  MAX_EVENTS,
  serviceDigest,
  serviceReference,
  withMaxEvents,
  type AggregateView,
  type FeatureService,
} from '../view/view.ts'
import { decodeState, encodeState } from './entity-state.ts'
import { noLabels } from './fraud-labels.ts'
import { ServiceFold, truncatedViews } from './service-fold.ts'

/** Seeded, so that a failure can be run again. */
function random(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let x = Math.imul(state ^ (state >>> 15), 1 | state)
    x ^= x + Math.imul(x ^ (x >>> 7), 61 | x)
    return ((x ^ (x >>> 14)) >>> 0) / 4294967296
  }
}

/** A log with ties, frauds that become known later, and some events out of order by up to `disorder`. */
function makeLog(seed: number, size: number, disorder: number): SmallEvent[] {
  const next = random(seed)
  const log: SmallEvent[] = []
  let now = Date.UTC(2018, 3, 1)
  for (let id = 0; id < size; id++) {
    if (next() < 0.8) now += Math.floor((next() * next() * 8 * HOUR) / 1000) * 1000
    const back = next() < 0.1 ? Math.floor((next() * disorder) / 1000) * 1000 : 0
    const transaction = {
      id,
      time: now - back,
      amount: Math.floor(next() * 50_000),
      customer: Math.floor(next() * 4),
      terminal: Math.floor(next() * 3),
      label: false,
    }
    log.push(transaction)
    const about = log[Math.floor(next() * log.length)]
    if (next() < 0.2 && !about.label) log.push({ ...about, label: true })
  }
  return log
}

/** The rows of a view by the quadratic loop. */
function naive(view: AggregateView, log: SmallEvent[]): number[][] {
  const keyOf = (event: SmallEvent): number => (view.entity === 'customer' ? event.customer : event.terminal)
  return [...naiveFeatures(view, log, (event) => (Number.isNaN(keyOf(event)) ? undefined : keyOf(event))).values()]
}

function service(view: AggregateView): FeatureService {
  return { name: view.name, description: '', views: [view] }
}

function foldAll(
  fold: ServiceFold,
  log: SmallEvent[],
  batchSizes: () => number,
): { values: number[][]; late: boolean[] } {
  const values: number[][] = []
  const late: boolean[] = []
  for (let from = 0; from < log.length;) {
    const size = Math.min(batchSizes(), log.length - from)
    const matrix = fold.fold(eventBatch(log.slice(from, from + size)))
    for (let k = 0; k < matrix.rows; k++) {
      values.push([...matrix.values.subarray(k * fold.names.length, (k + 1) * fold.names.length)])
      late.push(matrix.late[k] === 1)
    }
    from += size
  }
  return { values, late }
}

/** A fold that goes on from the stored state of another. */
function readBack(fold: ServiceFold, of: FeatureService): ServiceFold {
  const next = new ServiceFold(of, SMALL_SCHEMA)
  fold.views.forEach((view, v) => {
    for (let slot = 0; slot < view.keys; slot++)
      decodeState(next.views[v], next.views[v].addKey(view.key(slot)), encodeState(view, slot))
  })
  return next
}

const everyFunction = (
  window: { length: number; delay?: number } | { last: number },
  suffix: string,
): AggregateFeature[] => [
  { name: `count_${suffix}`, function: 'count', window },
  { name: `sum_${suffix}`, function: 'sum_amount', window },
  { name: `mean_${suffix}`, function: 'mean_amount', window },
  { name: `share_${suffix}`, function: 'fraud_share', window },
  { name: `smooth_share_${suffix}`, function: 'fraud_share', window, smoothing: { prior: 0.1, weight: 3 } },
]

const views: AggregateView[] = [true, false].flatMap((includesCurrent) =>
  ['customer', 'terminal'].map((entity) => ({
    kind: 'aggregate' as const,
    name: `${entity}_${includesCurrent ? 'with' : 'without'}_current`,
    entity,
    includesCurrent,
    features: [
      ...everyFunction({ length: DAY }, '1d'),
      ...everyFunction({ length: 7 * DAY }, '7d'),
      ...everyFunction({ length: 2 * DAY, delay: DAY }, '2d_delayed'),
      ...everyFunction({ last: 1 }, 'last1'),
      ...everyFunction({ last: 5 }, 'last5'),
      { name: 'since', function: 'seconds_since_previous' as const },
    ],
  })),
)

describe.each(views)('$name equals the quadratic loop bit for bit', (view) => {
  test.each([1, 2, 3])('events in order of time, seed %i', (seed) => {
    const log = makeLog(seed, 400, 0)
    const next = random(seed + 100)
    expect(
      foldAll(new ServiceFold(service(view), SMALL_SCHEMA), log, () => 1 + Math.floor(next() * 40)).values,
    ).toEqual(naive(view, log))
  })

  test.each([4, 5, 6])('events out of order within the allowed lateness, seed %i', (seed) => {
    const log = makeLog(seed, 400, 6 * HOUR)
    const next = random(seed + 100)
    const result = foldAll(
      new ServiceFold(service(view), SMALL_SCHEMA, { lateness: 6 * HOUR }),
      log,
      () => 1 + Math.floor(next() * 40),
    )
    expect(result.values).toEqual(naive(view, log))
    expect(result.late).not.toContain(true)
  })

  test('events later than allowed are flagged, and every other row stays exact', () => {
    const log = makeLog(7, 600, 20 * DAY)
    const fold = new ServiceFold(service(view), SMALL_SCHEMA, { lateness: HOUR })
    const { values, late } = foldAll(fold, log, () => 50)
    const expected = naive(view, log)
    const onTime = late.flatMap((isLate, k) => (isLate ? [] : [k]))
    expect(late.filter(Boolean).length).toBeGreaterThan(5)
    expect(fold.views[0].late).toBe(late.filter(Boolean).length)
    // Compares windows by time only, because windows by count reach back without a bound in time.
    const byTime = view.features.flatMap((feature, f) => ('length' in (windowOf(feature) ?? {}) ? [f] : []))
    expect(onTime.map((k) => byTime.map((f) => values[k][f]))).toEqual(
      onTime.map((k) => byTime.map((f) => expected[k][f])),
    )
  })

  test.each(['goes on', 'is read back'])(
    'an event an hour late, and no later, sees its whole window, in a fold that %s',
    (how) => {
      const now = Date.UTC(2018, 3, 20)
      const event = { amount: 100, customer: 1, terminal: 1, label: false }
      // They leave the longest window within the last hour, but not that of an event of an hour ago.
      const leaving = Array.from({ length: 20 }, (_, i) => now - HOUR - 7 * DAY + 1 + i)
      const times = [...leaving, now, now - HOUR, now - HOUR - 1]
      const log = times.map((time, id) => ({ ...event, time, id }))
      let fold = new ServiceFold(service(view), SMALL_SCHEMA)
      const before = foldAll(fold, log.slice(0, -2), () => 50)
      if (how === 'is read back') fold = readBack(fold, service(view))
      const after = foldAll(fold, log.slice(-2), () => 50)
      expect([...before.late, ...after.late]).toEqual(log.map((_, k) => k === log.length - 1))
      expect([...before.values, after.values[0]]).toEqual(naive(view, log).slice(0, -1))
    },
  )

  test('state written out and read back at any moment changes nothing', () => {
    const log = makeLog(8, 300, 2 * HOUR)
    const whole = foldAll(new ServiceFold(service(view), SMALL_SCHEMA), log, () => 25).values
    let fold = new ServiceFold(service(view), SMALL_SCHEMA)
    const pieces: number[][] = []
    for (let from = 0; from < log.length; from += 25) {
      pieces.push(...foldAll(fold, log.slice(from, from + 25), () => 25).values)
      const before = fold.views[0]
      fold = new ServiceFold(service(view), SMALL_SCHEMA)
      for (let slot = 0; slot < before.keys; slot++) {
        const bytes = encodeState(before, slot)
        const restored = fold.views[0].addKey(before.key(slot))
        decodeState(fold.views[0], restored, bytes)
        expect(encodeState(fold.views[0], restored)).toEqual(bytes)
      }
    }
    expect(pieces).toEqual(whole)
  })
})

describe.each(views.filter(({ entity }) => entity === 'terminal'))('$name where a key may be blank', (view) => {
  const optional = {
    ...SMALL_SCHEMA,
    entities: SMALL_SCHEMA.entities.map((each) => ({ ...each, optional: each.name !== 'customer' })),
  }

  /** A log in which every third transaction has no terminal, its labels neither. */
  const withBlanks = (seed: number): SmallEvent[] =>
    makeLog(seed, 400, 6 * HOUR).map((event) => (event.id % 3 === 0 ? { ...event, terminal: Number.NaN } : event))

  test.each([31, 32, 33])('rows without one have missing features and no part in any other, seed %i', (seed) => {
    const log = withBlanks(seed)
    const next = random(seed + 100)
    const exact = naive(view, log)
    expect(exact.filter((row) => row.every(Number.isNaN)).length).toBeGreaterThan(50)
    let fold = new ServiceFold(service(view), optional, { lateness: 6 * HOUR })
    const values: number[][] = []
    for (let from = 0; from < log.length;) {
      const size = 1 + Math.floor(next() * 40)
      values.push(...foldAll(fold, log.slice(from, from + size), () => size).values)
      from += size
      const [before, resumed] = [fold.views[0], new ServiceFold(service(view), optional, { lateness: 6 * HOUR })]
      for (let slot = 0; slot < before.keys; slot++)
        decodeState(resumed.views[0], resumed.views[0].addKey(before.key(slot)), encodeState(before, slot))
      fold = resumed
    }
    expect(values).toEqual(exact)
    expect(fold.views[0].keys).toBe(3)
  })

  test('one that comes twice is found by a view whose key every row has, else where it has a key', () => {
    const [one, two, three] = [1, Number.NaN, 1].map((terminal, id): SmallEvent => ({
      id,
      time: 1000,
      amount: 1,
      customer: 1,
      terminal,
      label: false,
    }))
    const repeats = (of: FeatureService): number[] => {
      const fold = new ServiceFold(of, optional)
      const batch = eventBatch([one, two, one, two, three])
      fold.prepare(batch)
      return fold.repeated(batch).map(({ row }) => row)
    }
    const customers: AggregateView = { ...view, name: 'customers', entity: 'customer' }
    expect(repeats({ ...service(view), views: [view, customers] })).toEqual([2, 3])
    expect(repeats(service(view))).toEqual([2])
  })

  test('a label without a key marks nothing, waits for nothing, and is not counted', () => {
    const fold = new ServiceFold(service(view), optional)
    const event: SmallEvent = { id: 1, time: 1000, amount: 1, customer: 1, terminal: Number.NaN, label: false }
    fold.fold(eventBatch([event, { ...event, label: true }]))
    expect([fold.labels, fold.changedKeys]).toEqual([noLabels(), 0])
  })
})

/** A view with features of refunds among its others. */
function withRefunds(view: AggregateView): AggregateView {
  const windows = [{ length: DAY }, { length: 2 * DAY, delay: DAY }, { last: 2 }]
  const ofRefunds = windows.flatMap((window, w): AggregateFeature[] => [
    { name: `refund_count_${w}`, function: 'refund_count', window },
    { name: `refund_sum_${w}`, function: 'refund_sum', window },
  ])
  return { ...view, features: [ofRefunds[0], ...view.features, ...ofRefunds.slice(1)] }
}

describe.each(views)('$name where there are refunds', (view) => {
  const paidBack = { ...SMALL_SCHEMA, refunds: true }
  /** A log in which every fourth transaction is a refund. Some of them are known as frauds. */
  const refunded = (seed: number): SmallEvent[] =>
    makeLog(seed, 400, 6 * HOUR).map((event) => (event.id % 4 === 1 ? { ...event, amount: -event.amount } : event))

  test.each([41, 42, 43])('they are seen by the functions of refunds alone, seed %i', (seed) => {
    const log = refunded(seed)
    const whole = withRefunds(view)
    const next = random(seed + 100)
    const settings = { lateness: 6 * HOUR }
    let fold = new ServiceFold(service(whole), paidBack, settings)
    const values: number[][] = []
    for (let from = 0; from < log.length;) {
      const size = 1 + Math.floor(next() * 40)
      const found = foldAll(fold, log.slice(from, from + size), () => size)
      values.push(...found.values)
      expect(found.late).not.toContain(true)
      from += size
      const [before, resumed] = [fold.views[0], new ServiceFold(service(whole), paidBack, settings)]
      for (let slot = 0; slot < before.keys; slot++) {
        const restored = resumed.views[0].addKey(before.key(slot))
        decodeState(resumed.views[0], restored, encodeState(before, slot))
        expect(encodeState(resumed.views[0], restored)).toEqual(encodeState(before, slot))
      }
      fold = resumed
    }
    expect(values).toEqual(naive(whole, log))
    expect(values.some(([count]) => count > 1)).toBe(true)
  })

  test('without refunds, features and state are those of a dataset that knows none', () => {
    const log = makeLog(44, 200, 0)
    const [one, other] = [SMALL_SCHEMA, paidBack].map((each) => new ServiceFold(service(view), each))
    expect(foldAll(other, log, () => 50).values).toEqual(foldAll(one, log, () => 50).values)
    for (let slot = 0; slot < one.views[0].keys; slot++)
      expect(encodeState(other.views[0], slot)).toEqual(encodeState(one.views[0], slot))
  })

  test('a refund that comes twice is found, in one batch, in two, and after a restart', () => {
    const at = Date.UTC(2018, 3, 1)
    const refund: SmallEvent = { id: 1, time: at, amount: -100, customer: 1, terminal: 1, label: false }
    const fold = new ServiceFold(service(view), paidBack)
    const repeatsOf = (of: ServiceFold, events: SmallEvent[]): number[] => {
      const batch = eventBatch(events)
      of.prepare(batch)
      return of.repeated(batch).map(({ row }) => row)
    }
    expect(repeatsOf(fold, [refund, refund])).toEqual([1])
    fold.fold(eventBatch([refund, { ...refund, id: 2, amount: 100, time: at + DAY }]))
    const restored = new ServiceFold(service(view), paidBack)
    decodeState(restored.views[0], restored.views[0].addKey(1), encodeState(fold.views[0], 0))
    for (const each of [fold, restored]) {
      expect(repeatsOf(each, [{ ...refund, id: 3 }, refund, { ...refund, amount: 100 }])).toEqual([1, 2])
    }
  })
})

test('a label of a refund marks nothing and waits for nothing, whichever of the two comes first', () => {
  const fold = new ServiceFold(cardFraud, { ...SMALL_SCHEMA, refunds: true })
  const at = Date.UTC(2018, 3, 1)
  const refund: SmallEvent = { id: 1, time: at, amount: -100, customer: 1, terminal: 1, label: false }
  const early: SmallEvent = { ...refund, id: 2, label: true }
  fold.fold(eventBatch([refund, early]))
  fold.fold(eventBatch([{ ...refund, label: true }]))
  expect(fold.labels).toEqual({ ...noLabels(), early: 1 })
  const { values } = fold.fold(
    eventBatch([
      { ...refund, id: 2 },
      { ...refund, id: 3, time: at + 8 * DAY },
    ]),
  )
  expect(fold.labels).toEqual({ ...noLabels(), early: 1, matched: 1 })
  const [nb, risk] = ['nb_tx', 'risk'].map((name) => fold.names.indexOf(`terminal_id_${name}_30day_window`))
  expect([values[fold.names.length + nb], values[fold.names.length + risk]]).toEqual([0, 0])
  expect(fold.views[1].labels.holding).toBe(0)
})

test('a state with refunds that was cut short is refused', () => {
  const paidBack = { ...SMALL_SCHEMA, refunds: true }
  const fold = new ServiceFold(cardFraud, paidBack)
  fold.fold(eventBatch([{ id: 0, time: 0, amount: -1, customer: 1, terminal: 1, label: false }]))
  const bytes = encodeState(fold.views[0], 0)
  for (const length of [bytes.length - 1, bytes.length - 4, 20, 3, 0]) {
    const other = new ServiceFold(cardFraud, paidBack).views[0]
    expect(() => decodeState(other, other.addKey(1), bytes.subarray(0, length))).toThrow(/--online/)
  }
})

test('windows are open at the start and closed at the end, and a tie sees only what stands before it', () => {
  const t = Date.UTC(2018, 3, 10)
  const base = { amount: 100, customer: 1, terminal: 1, label: false }
  const log = [
    { ...base, id: 0, time: t - DAY },
    { ...base, id: 1, time: t - DAY + 1 },
    { ...base, id: 2, time: t },
    { ...base, id: 3, time: t },
  ]
  const fold = new ServiceFold(cardFraud, SMALL_SCHEMA)
  const { values } = foldAll(fold, log, () => 4)
  const count = fold.names.indexOf('customer_id_nb_tx_1day_window')
  expect(values.map((row) => row[count])).toEqual([1, 2, 2, 3])
})

test('a label counts only for rows that stand after it in the log', () => {
  const t = Date.UTC(2018, 3, 10)
  const base = { amount: 100, customer: 1, terminal: 9 }
  const fraud = { ...base, id: 0, time: t, label: false }
  const log = [
    fraud,
    { ...base, id: 1, time: t + 7 * DAY, label: false },
    { ...fraud, label: true },
    { ...base, id: 2, time: t + 7 * DAY, label: false },
  ]
  const fold = new ServiceFold(cardFraud, SMALL_SCHEMA)
  const risk = fold.names.indexOf('terminal_id_risk_1day_window')
  expect(foldAll(fold, log, () => 1).values.map((row) => row[risk])).toEqual([0, 0, 1])
})

/** The share of a terminal's frauds, known a week later, with a prior. */
const smoothed = (smoothing?: { prior: number; weight: number }): FeatureService =>
  service({
    kind: 'aggregate',
    name: 'terminal_target',
    entity: 'terminal',
    includesCurrent: false,
    features: [{ name: 'target', function: 'fraud_share', window: { length: 30 * DAY, delay: 7 * DAY }, smoothing }],
  })

test('a share with a prior, by hand: the prior for a new key, and events only once their labels are due', () => {
  const t = Date.UTC(2018, 3, 1)
  const base = { amount: 100, customer: 1, terminal: 9, label: false }
  const log = [
    { ...base, id: 0, time: t },
    { ...base, id: 1, time: t + HOUR },
    { ...base, id: 0, time: t, label: true },
    { ...base, id: 2, time: t + 7 * DAY - 1 },
    { ...base, id: 3, time: t + 7 * DAY },
    { ...base, id: 4, time: t + 8 * DAY },
    { ...base, id: 5, time: t + 8 * DAY, terminal: 10 },
  ]
  const smoothing = { prior: 0.1, weight: 3 }
  // 0.1 · 3 / 3 is not 0.1, so the prior of an empty window may not be computed.
  expect((smoothing.prior * smoothing.weight) / smoothing.weight).not.toBe(smoothing.prior)
  const { values } = foldAll(new ServiceFold(smoothed(smoothing), SMALL_SCHEMA), log, () => 2)
  const prior = smoothing.prior * smoothing.weight
  expect(values.flat()).toEqual([0.1, 0.1, 0.1, (1 + prior) / 4, (1 + prior) / 5, 0.1])
})

test('prior and weight are part of the definition', () => {
  const smoothings = [undefined, { prior: 0.1, weight: 3 }, { prior: 0.2, weight: 3 }, { prior: 0.1, weight: 4 }]
  expect(new Set(smoothings.map((smoothing) => serviceDigest(smoothed(smoothing)))).size).toBe(smoothings.length)
})

test.each([
  [-0.1, 3, /"target": the prior -0.1 is no share/],
  [1.5, 3, /the prior 1.5 is no share/],
  [Number.NaN, 3, /the prior NaN is no share/],
  [0.1, 0, /weight of 0 events/],
  [0.1, -1, /weight of -1 events/],
  [0.1, Infinity, /weight of Infinity events/],
  [0.1, Number.NaN, /weight of NaN events/],
])('a prior of %d that counts for %d events is refused', (prior, weight, message) => {
  expect(() => new ServiceFold(smoothed({ prior, weight }), SMALL_SCHEMA)).toThrow(message)
})

test('a prior of −0 is 0', () => {
  const event = { id: 0, time: 0, amount: 1, customer: 1, terminal: 1, label: false }
  expect(foldAll(new ServiceFold(smoothed({ prior: -0, weight: 1 }), SMALL_SCHEMA), [event], () => 1).values).toEqual([
    [0],
  ])
})

test('two transactions of one terminal in the same second: the label finds its own', () => {
  const t = Date.UTC(2018, 3, 10)
  const base = { amount: 100, customer: 1, terminal: 9, time: t, label: false }
  const log = [
    { ...base, id: 10 },
    { ...base, id: 11 },
    { ...base, id: 11, label: true },
    { ...base, id: 11, label: true },
    { ...base, id: 12, time: t + 7 * DAY },
  ]
  const fold = new ServiceFold(cardFraud, SMALL_SCHEMA)
  const risk = fold.names.indexOf('terminal_id_risk_1day_window')
  expect(foldAll(fold, log, () => 5).values.at(-1)?.[risk]).toBe(0.5)
  expect(fold.labels).toEqual({ early: 0, matched: 0, unmatched: 0 })
})

test('weekend, night and the last five amounts, by hand', () => {
  const saturday = Date.UTC(2018, 3, 7, 6, 59, 59)
  const base = { amount: 1_000, customer: 1, terminal: 1, label: false }
  const times = [
    saturday,
    saturday + 1000,
    Date.UTC(2018, 3, 8, 23, 59, 59),
    Date.UTC(2018, 3, 9),
    Date.UTC(1969, 11, 27, 12),
  ]
  const fold = new ServiceFold(cardFraud, SMALL_SCHEMA)
  const { values } = foldAll(
    fold,
    times.map((time, id) => ({ ...base, id, time })),
    () => 5,
  )
  expect(values.map((row) => row.slice(1, 3))).toEqual([
    [1, 1],
    [1, 0],
    [1, 0],
    [0, 1],
    [1, 0],
  ])

  const amounts = [100, 200, 300, 400, 500, 600, 700]
  const log = amounts.map((amount, id) => ({ ...base, amount, id, time: saturday + id * 60_000 }))
  const anomaly = foldAll(new ServiceFold(userAnomaly, SMALL_SCHEMA), log, () => 3).values
  expect(anomaly[0]).toEqual([1, -1, 0])
  expect(anomaly[6]).toEqual([7, 60, 4])
})

describe.each(views)('$name with more events of a key than a ring holds', (view) => {
  /** The rows of a fold that is stopped and resumed every so often, and which of them lack events. */
  function foldTruncated(log: SmallEvent[], stopEvery: number): { values: number[][]; truncated: boolean[] } {
    const [limited, settings] = [withMaxEvents(service(view), 16), { lateness: 6 * HOUR }]
    let fold = new ServiceFold(limited, SMALL_SCHEMA, settings)
    const values: number[][] = []
    const truncated: boolean[] = []
    for (let from = 0; from < log.length; from += stopEvery) {
      const matrix = fold.fold(eventBatch(log.slice(from, from + stopEvery)))
      for (let k = 0; k < matrix.rows; k++) {
        values.push([...matrix.values.subarray(k * fold.names.length, (k + 1) * fold.names.length)])
        truncated.push(truncatedViews(fold.service, matrix.truncated[k]).includes(view.name))
      }
      const resumed = new ServiceFold(limited, SMALL_SCHEMA, settings)
      const [old, next] = [fold.views[0], resumed.views[0]]
      for (let slot = 0; slot < old.keys; slot++) decodeState(next, next.addKey(old.key(slot)), encodeState(old, slot))
      fold = resumed
    }
    return { values, truncated }
  }

  test.each([21, 22, 23])('rows that are not flagged are exact, and nothing stops, seed %i', (seed) => {
    const log = makeLog(seed, 600, 5 * HOUR)
    const { values, truncated } = foldTruncated(log, 600 * 2)
    const exact = naive(view, log)
    expect(values.length).toBe(exact.length)
    expect(values.filter((_, k) => !truncated[k])).toEqual(exact.filter((_, k) => !truncated[k]))
    // The windows of these views reach back further than sixteen events now and then, and not always.
    const wrong = values.filter((row, k) => row.some((value, f) => value !== exact[k][f])).length
    expect(truncated.filter(Boolean).length).toBeGreaterThanOrEqual(wrong)
    expect(truncated.filter((flag) => !flag).length).toBeGreaterThan(0)
  })

  test('values and flags do not depend on where the fold was stopped and resumed', () => {
    const log = makeLog(24, 600, 5 * HOUR)
    const whole = foldTruncated(log, log.length)
    for (const stopEvery of [1, 7, 50]) expect(foldTruncated(log, stopEvery)).toEqual(whole)
  })
})

test('a key with too many events keeps the newest, says so, and is exact again once the old are out', () => {
  const base = { amount: 100, customer: 42, terminal: 1, label: false }
  const start = Date.UTC(2018, 3, 1)
  const log = Array.from({ length: 70 }, (_, id) => ({ ...base, id, time: start + id * 1000 }))
  const later = { ...base, id: 70, time: start + 60 * DAY }
  const fold = new ServiceFold(withMaxEvents(cardFraud, 64), SMALL_SCHEMA)
  const matrix = fold.fold(eventBatch([...log, later]))
  const count = fold.names.indexOf('customer_id_nb_tx_30day_window')
  const counts = Array.from({ length: 71 }, (_, k) => matrix.values[k * fold.names.length + count])
  expect(counts).toEqual([...log.map((_, k) => Math.min(k + 1, 64)), 1])
  const flagged = Array.from({ length: 71 }, (_, k) => truncatedViews(fold.service, matrix.truncated[k]))
  // The customer's window counts the current transaction, so its ring is full one event before the terminal's.
  expect(flagged.slice(0, 64).flat()).toEqual([])
  expect(flagged[64]).toEqual(['customer_spending'])
  expect(flagged[65]).toEqual(['customer_spending', 'terminal_risk'])
  expect(flagged[70]).toEqual([])
})

test('the limit of a configuration is part of the definition, and the default leaves the digest alone', () => {
  expect(serviceDigest(withMaxEvents(cardFraud, MAX_EVENTS))).toBe(serviceDigest(cardFraud))
  const limited = withMaxEvents(cardFraud, 64)
  expect(serviceDigest(limited)).not.toBe(serviceDigest(cardFraud))
  expect(serviceReference(limited)).toEqual({
    name: 'card-fraud',
    digest: serviceDigest(limited),
    maxEvents: 64,
    definition: limited,
  })
  expect(serviceReference(cardFraud)).toEqual({
    name: 'card-fraud',
    digest: serviceDigest(cardFraud),
    definition: cardFraud,
  })
  const base = { amount: 100, customer: 42, terminal: 1, label: false }
  const start = Date.UTC(2018, 3, 1)
  const log = eventBatch(Array.from({ length: 200 }, (_, id) => ({ ...base, id, time: start + id * 1000 })))
  const [own, whole] = [limited, cardFraud].map((each) => new ServiceFold(each, SMALL_SCHEMA).fold(log))
  expect(own.truncated[199]).toBeGreaterThan(0)
  expect(whole.truncated[199]).toBe(0)
  // A window by count must fit: it would lack events without a flag.
  const last = (count: number): FeatureService => ({
    ...userAnomaly,
    views: [
      {
        ...views[0],
        features: [{ name: 'n', function: 'count', window: { last: count } }],
      },
    ],
  })
  expect(() => withMaxEvents(last(16), 16)).toThrow(/features\.maxEvents is 16, .* window of the last 16 events/)
  expect(withMaxEvents(last(15), 16).views[0]).toMatchObject({ maxEvents: 16 })
})

test('a label finds its transaction by id, an hour off its time; one that finds none is held', () => {
  const at = Date.UTC(2018, 3, 1)
  const event = { amount: 100, customer: 1, terminal: 1, label: false }
  const fold = new ServiceFold(cardFraud, SMALL_SCHEMA)
  const label = (id: number, off: number): SmallEvent => ({ ...event, id, time: at + off, label: true })
  fold.fold(eventBatch([5, 6, 7].map((id) => ({ ...event, id, time: at + id * 1000 }))))
  fold.fold(eventBatch([label(5, 5400), label(6, 6000 - HOUR), label(7, 7001 + HOUR), label(8, 5000)]))
  expect(fold.labels).toEqual({ early: 2, matched: 0, unmatched: 0 })
  const { values } = fold.fold(eventBatch([{ ...event, id: 9, time: at + 20 * DAY }]))
  const risk = fold.names.indexOf('terminal_id_risk_30day_window')
  expect(values[risk]).toBe(2 / 3)
})

test('state of another view, or cut short, is refused with the way out', () => {
  const fold = new ServiceFold(cardFraud, SMALL_SCHEMA)
  fold.fold(eventBatch([{ id: 0, time: 0, amount: 1, customer: 1, terminal: 1, label: false }]))
  const [customer, terminal] = fold.views
  const bytes = encodeState(customer, 0)
  const other = new ServiceFold(cardFraud, SMALL_SCHEMA).views[0]
  expect(() => decodeState(other, other.addKey(1), bytes.subarray(0, 20))).toThrow(/fd features backfill --online/)
  expect(() => decodeState(other, other.addKey(2), encodeState(terminal, 0))).toThrow(/customer_spending/)
})
