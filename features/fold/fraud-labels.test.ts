import { describe, expect, test } from 'vitest'
import { randomStream } from '../../datasets/random/random.ts'
import { DAY, HOUR } from '../../datasets/table/transaction.ts'
import { naiveFeatures } from '../testing/naive-features.ts'
import { eventBatch, SMALL_SCHEMA, type SmallEvent } from '../testing/small-log.ts'
import type { AggregateFeature, Window } from '../view/aggregation.ts'
import { withMaxEvents, type AggregateView, type FeatureService } from '../view/view.ts'
import { decodeState, encodeState } from './entity-state.ts'
import { MOST_HELD } from './fraud-labels.ts'
import { ServiceFold, truncatedViews } from './service-fold.ts'

const START = Date.UTC(2018, 3, 1)
const LATENESS = 6 * HOUR

/**
 * Transactions a little out of order, with labels anywhere before or behind them, up to an hour off their time, some of
 * them twice, and some for transactions that never come.
 */
function makeLog(seed: number): SmallEvent[] {
  const random = randomStream(seed)
  const placed: { event: SmallEvent; place: number }[] = []
  let now = START
  for (let id = 0; id < 350; id++) {
    if (random.uniform() < 0.8) now += random.integer(3 * HOUR)
    const event = {
      id: id * 2 ** 33 + random.integer(3),
      time: now - (random.uniform() < 0.2 ? random.integer(LATENESS) : 0),
      amount: random.integer(50_000),
      customer: random.integer(4),
      terminal: random.integer(3),
      label: false,
    }
    if (random.uniform() < 0.9) placed.push({ event, place: id })
    for (let labels = [0, 0, 0, 1, 1, 2][random.integer(6)]; labels > 0; labels--) {
      const off = [0, -HOUR, HOUR, random.integer(HOUR), -random.integer(HOUR)][random.integer(5)]
      const place = id + (random.uniform() - 0.5) * [4, 60, 300][random.integer(3)]
      placed.push({ event: { ...event, time: event.time + off, label: true }, place })
    }
  }
  return placed.toSorted((a, b) => a.place - b.place).map(({ event }) => event)
}

const shares = (window: Window, suffix: string): AggregateFeature[] => [
  { name: `count_${suffix}`, function: 'count', window },
  { name: `share_${suffix}`, function: 'fraud_share', window },
]

const views = ['customer', 'terminal'].flatMap((entity) =>
  [true, false].map((includesCurrent): AggregateView => ({
    kind: 'aggregate',
    name: `${entity}_${includesCurrent ? 'with' : 'without'}_current`,
    entity,
    includesCurrent,
    features: [
      ...shares({ length: DAY }, '1d'),
      ...shares({ length: 9 * DAY, delay: DAY }, '9d_delayed'),
      ...shares({ last: 3 }, 'last3'),
    ],
  })),
)
const service: FeatureService = { name: 'shares', description: '', views }

/** A fold that goes on from what a checkpoint of this one would hold. */
function restarted(fold: ServiceFold, options = {}): ServiceFold {
  const next = new ServiceFold(fold.service, SMALL_SCHEMA, options)
  for (const [v, before] of fold.views.entries()) {
    for (let slot = 0; slot < before.keys; slot++) {
      const bytes = encodeState(before, slot)
      const restored = next.views[v].addKey(before.key(slot))
      decodeState(next.views[v], restored, bytes)
      expect(encodeState(next.views[v], restored)).toEqual(bytes)
    }
  }
  return next
}

function heldBy(fold: ServiceFold): number {
  let held = 0
  for (const view of fold.views)
    for (let slot = 0; slot < view.keys; slot++) held += view.labels.held(slot).times.length
  return held
}

describe('labels in any place', () => {
  test.each([1, 2, 3, 4])('give the features of the quadratic loop, stopped anywhere, seed %i', (seed) => {
    const log = makeLog(seed)
    const random = randomStream(seed, 1)
    const options = { lateness: LATENESS }
    let fold = new ServiceFold(service, SMALL_SCHEMA, options)
    const values: number[][] = []
    const counts = { early: 0, matched: 0, unmatched: 0 }
    for (let from = 0; from < log.length;) {
      const events = log.slice(from, from + 1 + random.integer(30))
      from += events.length
      const before = fold.labels
      const matrix = fold.fold(eventBatch(events))
      for (const key of ['early', 'matched', 'unmatched'] as const) counts[key] += fold.labels[key] - before[key]
      for (let k = 0; k < matrix.rows; k++)
        values.push([...matrix.values.subarray(k * fold.names.length, (k + 1) * fold.names.length)])
      if (random.uniform() < 0.5) fold = restarted(fold, options)
    }
    const rows = views.map((view) => [
      ...naiveFeatures(view, log, (event) => (view.entity === 'customer' ? event.customer : event.terminal)).values(),
    ])
    expect(values).toEqual(values.map((_, k) => rows.flatMap((each) => each[k])))
    expect(counts.matched).toBeGreaterThan(100)
    expect(counts.unmatched).toBeGreaterThan(10)
    expect(counts.early - heldBy(fold)).toBeGreaterThan(counts.matched)
  })
})

/** The share of a key's frauds in the day before. */
const share: AggregateView = {
  kind: 'aggregate',
  name: 'share',
  entity: 'customer',
  includesCurrent: false,
  features: [{ name: 'share', function: 'fraud_share', window: { length: DAY } }],
}
const ONE: FeatureService = { name: 'one', description: '', views: [share] }
const event = { id: 0, time: START, amount: 1, customer: 1, terminal: 1, label: false }
const label = (id: number, time: number): SmallEvent => ({ ...event, id, time, label: true })

test('a label is held while a window could still count its transaction, and is given up after that', () => {
  const fold = new ServiceFold(ONE, SMALL_SCHEMA)
  // Rings reach back over the window and the lateness; a label may be another hour off.
  const first = START - DAY - HOUR - HOUR
  fold.fold(eventBatch([event, label(1, first - 1), label(2, first), label(3, first + 1)]))
  expect(fold.labels).toEqual({ early: 2, matched: 0, unmatched: 1 })
  fold.fold(eventBatch([{ ...event, id: 4 }]))
  expect(fold.labels.unmatched).toBe(1)
  fold.fold(eventBatch([{ ...event, id: 5, time: START + 1 }]))
  expect(fold.labels.unmatched).toBe(2)
  fold.fold(eventBatch([{ ...event, id: 6, time: START + 2 }]))
  expect(fold.labels).toEqual({ early: 2, matched: 0, unmatched: 3 })
  expect(heldBy(fold)).toBe(0)
})

test('a label meets a transaction of its id within an hour of its time, and no other', () => {
  const fold = new ServiceFold(ONE, SMALL_SCHEMA)
  fold.fold(eventBatch([1, 2, 3, 4].map((id) => label(id, START))))
  const offs = [HOUR, -HOUR, HOUR + 1, -HOUR - 1]
  const transactions = offs.map((off, i) => ({ ...event, id: i + 1, time: START + off }))
  fold.fold(eventBatch([...transactions, { ...event, id: 5, customer: 2 }]))
  expect(fold.labels).toEqual({ early: 4, matched: 2, unmatched: 0 })
  expect(fold.fold(eventBatch([{ ...event, id: 9, time: START + 2 * HOUR }])).values[0]).toBe(2 / 4)
})

test('a label again changes nothing: held, matched, or for a transaction that is known as fraud', () => {
  const fold = new ServiceFold(ONE, SMALL_SCHEMA)
  const other = { ...event, id: 2 }
  fold.fold(
    eventBatch([label(1, START), label(1, START), { ...event, id: 1 }, label(1, START), other, label(1, START)]),
  )
  expect(fold.labels).toEqual({ early: 1, matched: 1, unmatched: 0 })
  expect(fold.fold(eventBatch([{ ...event, id: 3 }])).values[0]).toBe(1 / 2)
})

test('a key that holds many labels gives up the one held longest', () => {
  let fold = new ServiceFold(ONE, SMALL_SCHEMA)
  const ids = Array.from({ length: MOST_HELD + 2 }, (_, id) => id)
  // The order in which they came decides, not their time.
  fold.fold(eventBatch(ids.map((id) => label(id, START + ids.length - id))))
  expect(fold.labels).toEqual({ early: ids.length, matched: 0, unmatched: 2 })
  fold = restarted(fold)
  fold.fold(eventBatch(ids.map((id) => ({ ...event, id }))))
  expect(fold.labels).toEqual({ early: 0, matched: MOST_HELD, unmatched: 0 })
  expect(fold.fold(eventBatch([{ ...event, id: -1 }])).values[0]).toBe(MOST_HELD / ids.length)
})

test('labels for what a full ring has pushed out are given up at once', () => {
  const fold = new ServiceFold(withMaxEvents(ONE, 4), SMALL_SCHEMA)
  const hours = [0, 2, 4, 6, 8]
  const { truncated } = fold.fold(eventBatch(hours.map((id) => ({ ...event, id, time: START + id * HOUR }))))
  expect(truncatedViews(ONE, truncated[4])).toEqual([])
  fold.fold(eventBatch([label(0, START - HOUR - 1), label(0, START), label(8, START + 8 * HOUR)]))
  expect(fold.labels).toEqual({ early: 1, matched: 0, unmatched: 1 })
})

test('state with held labels that is cut short is refused', () => {
  const [view] = restarted(new ServiceFold(ONE, SMALL_SCHEMA)).views
  const fold = new ServiceFold(ONE, SMALL_SCHEMA)
  fold.fold(eventBatch([label(1, START), label(2, START)]))
  const bytes = encodeState(fold.views[0], 0)
  decodeState(view, view.addKey(1), bytes)
  expect(view.labels.held(0).idHashes).toHaveLength(2)
  for (const size of [17, bytes.length - 12, bytes.length - 1])
    expect(() => decodeState(view, view.addKey(2 + size), bytes.subarray(0, size))).toThrow(
      /features backfill --online/,
    )
})
