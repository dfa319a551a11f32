import { expect, test } from 'vitest'
import type { Frame } from '../../datasets/frame/frame.ts'
import { randomStream } from '../../datasets/random/random.ts'
import { batchShape, type Dataset, type DatasetSchema } from '../../datasets/table/dataset.ts'
import { DAY, emptyBatch, HOUR, LOOKUP, UNLABELLED, type EventBatch } from '../../datasets/table/transaction.ts'
import { backfill } from '../backfill/backfill.ts'
import { trainingSetSink } from '../backfill/training-set.ts'
import { naiveFeatures } from '../testing/naive-features.ts'
import { SMALL_SCHEMA, type SmallEvent } from '../testing/small-log.ts'
import type { AggregateView, FeatureService } from '../view/view.ts'
import { joinFeatures } from './join.ts'

const schema: DatasetSchema = {
  ...SMALL_SCHEMA,
  label: { column: 'fraud', knownAt: 'known' },
  numeric: ['age'],
  categorical: ['country'],
}
const START = Date.UTC(2018, 3, 1)

interface Purchase extends SmallEvent {
  fraud: boolean
  knownAt: number
  age: number
  country: string
}

/** Purchases in order of time, many at one instant; a third is fraud, known after some hours or not at all. */
function makeHistory(seed: number, size: number): Purchase[] {
  const random = randomStream(seed)
  let now = START
  return Array.from({ length: size }, (_, id) => {
    if (random.uniform() < 0.6) now += random.integer(4) * HOUR
    return {
      id,
      time: now,
      amount: random.integer(9000),
      label: false,
      customer: random.integer(5),
      terminal: random.integer(4),
      fraud: random.uniform() < 0.3,
      knownAt: random.uniform() < 0.2 ? Infinity : now + random.integer(10) * HOUR,
      age: random.integer(80),
      country: ['', 'CH', 'FR'][random.integer(3)],
    }
  })
}

/** A row of a frame; absent is missing. */
type Row = Partial<Pick<Purchase, 'id' | 'time' | 'customer' | 'terminal' | 'amount' | 'age' | 'country'>>

function batchOf(rows: readonly Row[], fill: (batch: EventBatch, row: number) => void): EventBatch {
  const batch = emptyBatch(batchShape(schema), rows.length)
  for (const [row, given] of rows.entries()) {
    batch.ids[row] = given.id ?? Number.NaN
    batch.time[row] = given.time ?? Number.NaN
    batch.amount[row] = given.amount ?? Number.NaN
    batch.entities[0][row] = given.customer ?? Number.NaN
    batch.entities[1][row] = given.terminal ?? Number.NaN
    batch.numeric[0][row] = given.age ?? Number.NaN
    batch.categorical[0][row] = given.country ?? ''
    fill(batch, row)
  }
  return batch
}

function datasetOf(history: readonly Purchase[], batchSize: number): Dataset {
  return {
    name: 'd',
    description: '',
    schema,
    service: 's',
    split: { kind: 'ordered', trainShare: 0.7 },
    file: 'd.csv',
    digest: async () => '',
    count: async () => history.length,
    async *batches() {
      for (let from = 0; from < history.length; from += batchSize) {
        const part = history.slice(from, from + batchSize)
        yield batchOf(part, (batch, row) => {
          batch.label[row] = part[row].knownAt === Infinity ? UNLABELLED : Number(part[row].fraud)
          batch.knownAt[row] = part[row].knownAt
        })
      }
    },
  }
}

function frameOf(rows: readonly Row[], options: Partial<Frame> = {}): Frame {
  const events = batchOf(rows, (batch, row) => (batch.kind[row] = LOOKUP))
  return {
    file: 'f.csv',
    events,
    timed: true,
    identified: false,
    absent: [],
    columns: [],
    sql: '',
    unchanged: () => {},
    ...options,
  }
}

const viewOf = (entity: string, includesCurrent: boolean): AggregateView => ({
  kind: 'aggregate',
  name: entity,
  entity,
  includesCurrent,
  features: [
    { name: `${entity}_count`, function: 'count', window: { length: DAY } },
    { name: `${entity}_mean`, function: 'mean_amount', window: { length: 2 * DAY, delay: 6 * HOUR } },
    {
      name: `${entity}_share`,
      function: 'fraud_share',
      window: { length: 3 * DAY },
      smoothing: { prior: 0.2, weight: 2 },
    },
    { name: `${entity}_last`, function: 'sum_amount', window: { last: 3 } },
    { name: `${entity}_since`, function: 'seconds_since_previous' },
  ],
})
const aggregates = [viewOf('customer', true), viewOf('terminal', false)]
const service: FeatureService = {
  name: 's',
  description: '',
  views: [
    aggregates[0],
    {
      kind: 'request',
      name: 'row',
      features: [
        { name: 'amount', from: 'amount' },
        { name: 'night', from: 'night' },
        { name: 'age', from: 'numeric', column: 'age' },
        { name: 'country', from: 'categorical', column: 'country' },
      ],
    },
    aggregates[1],
  ],
}

/** The aggregates of a row by the quadratic loop: it ends the log of what was there before its instant. */
function naive(history: readonly Purchase[], { time = Number.NaN, ...keys }: Row): number[][] {
  const known = history.filter((each) => each.time < time || each.knownAt <= time)
  const log = [
    ...known.filter((each) => each.time < time),
    ...known
      .filter((each) => each.time < time && each.fraud && each.knownAt <= time)
      .map((each) => ({ ...each, label: true })),
    { customer: Number.NaN, terminal: Number.NaN, ...keys, id: -1, time, amount: 0, label: false, country: '' },
  ]
  return aggregates.map((view) => {
    const keyOf = (event: { customer: number; terminal: number }): number | undefined => {
      const key = view.entity === 'customer' ? event.customer : event.terminal
      return Number.isNaN(key) ? undefined : key
    }
    const own = log.filter((event) => event.id === -1 || keyOf(event) === keyOf(log[log.length - 1]))
    return naiveFeatures({ ...view, includesCurrent: false }, own, keyOf).get(-1) ?? []
  })
}

const WIDTH = 14
const rowsOf = (values: Float64Array): number[][] =>
  Array.from({ length: values.length / WIDTH }, (_, row) => [...values.subarray(row * WIDTH, (row + 1) * WIDTH)])

test.each([1, 2, 3])('each row finds what was there just before its instant, seed %i', async (seed) => {
  const history = makeHistory(seed, 200)
  const random = randomStream(seed + 50)
  const end = history[history.length - 1].time
  const rows = Array.from({ length: 150 }, (): Row => {
    const about = history[random.integer(history.length)]
    // Of an event, of any time from before the first to after the last, and with keys that are unknown or missing.
    const time = random.uniform() < 0.5 ? about.time : START - DAY + random.integer(end - START + 5 * DAY)
    const keys = { customer: random.integer(7), terminal: random.integer(6) }
    return random.uniform() < 0.2 ? { time, terminal: keys.terminal, age: 33, country: 'CH' } : { time, ...keys }
  })
  for (const batchSize of [1, 16, 1000]) {
    const { values, categories, report } = await joinFeatures(datasetOf(history, batchSize), service, frameOf(rows))
    const found = rowsOf(values)
    expect(found.map((row) => [row.slice(0, 5), row.slice(9)])).toEqual(rows.map((row) => naive(history, row)))
    expect(found.map((row) => [row[5], row[7]])).toEqual(rows.map(({ age = Number.NaN }) => [Number.NaN, age]))
    expect(categories).toEqual([rows.map(({ country = '' }) => country)])
    expect(report).toMatchObject({ rows: 150, transactions: 0, unmatched: 0, otherTime: 0, truncated: 0 })
  }
})

test('a row that is a transaction has what a backfill computes, one of another time what it asks for', async () => {
  const history = makeHistory(7, 300)
  const dataset = datasetOf(history, 50)
  const sink = trainingSetSink(service, schema, { unlabelled: true })
  await backfill(dataset, service, [sink])
  const set = sink.set()
  const served = (id: number): number[] => [...set.x.subarray(id * WIDTH, (id + 1) * WIDTH)]
  const float32 = (row: number[]): number[] => [...new Float32Array(row)]
  const ids = [250, 3, 3, 299, 40]
  const own = ids.map((id): Row => ({ id, time: history[id].time }))
  const other = { id: 9, time: history[9].time + 1, customer: 1, terminal: 1 }
  const none = { time: history[60].time, customer: 2, terminal: 2 }
  const { values, categories, report } = await joinFeatures(
    dataset,
    service,
    frameOf([...own, other, none, { ...none, id: 999 }], { identified: true }),
  )
  const rows = rowsOf(values)
  // A category's number in a training set is that of its dictionary.
  const numbers = (row: number[]): number[] => row.filter((_, f) => f !== 8)
  expect(rows.slice(0, 5).map((row) => numbers(float32(row)))).toEqual(ids.map((id) => numbers(served(id))))
  expect(categories[0].slice(0, 5)).toEqual(ids.map((id) => history[id].country))
  expect([rows[5].slice(0, 5), rows[5].slice(9)]).toEqual(naive(history, other))
  for (const row of rows.slice(6)) expect([row.slice(0, 5), row.slice(9)]).toEqual(naive(history, none))
  expect(report).toMatchObject({ rows: 8, transactions: 5, unmatched: 0, otherTime: 1 })
})

test('without times rows are known by their ids alone, and one that is unknown has nothing', async () => {
  const history = makeHistory(8, 120)
  const dataset = datasetOf(history, 50)
  const rows: Row[] = [{ id: 119 }, { id: 500 }, {}, { id: 0 }]
  const alone = await joinFeatures(dataset, service, frameOf(rows, { identified: true, timed: false }))
  const timed = rows.map(({ id }) => ({ id, time: history[id ?? 0]?.time ?? START }))
  const both = await joinFeatures(dataset, service, frameOf(timed, { identified: true }))
  const [found, wanted] = [rowsOf(alone.values), rowsOf(both.values)]
  expect([found[0], found[3]]).toEqual([wanted[0], wanted[3]])
  expect([...found[1], ...found[2]].every(Number.isNaN)).toBe(true)
  expect(alone.report).toMatchObject({ rows: 4, transactions: 2, unmatched: 2 })
})
