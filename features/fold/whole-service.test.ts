import { describe, expect, test } from 'vitest'
import { UserError } from '../../configs/user-error.ts'
import { randomStream } from '../../datasets/random/random.ts'
import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import { DAY, HOUR, type EventBatch } from '../../datasets/table/transaction.ts'
import { naiveFeatures } from '../testing/naive-features.ts'
import { eventBatch, type LoggedEvent } from '../testing/small-log.ts'
import { categoryCode, formerCategoryCode, isSameCategory } from '../view/category.ts'
import { withMaxEvents, type AggregateView, type FeatureService, type RequestView } from '../view/view.ts'
import { Growing } from '../window/growing.ts'
import { decodeState, encodeState } from './entity-state.ts'
import { featureMatrix, keepRows, type FeatureMatrix } from './fold-output.ts'
import { keepsIds } from './fold-settings.ts'
import { IdHashes } from './id-hash.ts'
import { toModelInput } from './model-input.ts'
import { Repeats } from './repeats.ts'
import { ServiceFold, truncatedViews } from './service-fold.ts'
import { ViewFold } from './view-fold.ts'

const schema: DatasetSchema = {
  id: { column: 'id', type: 'integer' },
  time: { column: 'time', unit: 'ms' },
  amount: { column: 'amount', minorUnits: 2 },
  entities: [
    { name: 'customer', column: 'customer', type: 'integer' },
    { name: 'terminal', column: 'terminal', type: 'string' },
  ],
  numeric: ['x', 'y'],
  categorical: ['country'],
}

interface Event extends LoggedEvent {
  id: number
  customer: number
  terminal: string
  x: number
  country: string
}

const START = Date.UTC(2018, 3, 1)

/** Few events of many keys, in order of time, with labels. */
function makeLog(seed: number, size: number): Event[] {
  const random = randomStream(seed)
  const log: Event[] = []
  let now = START
  for (let id = 0; id < size; id++) {
    now += random.integer(HOUR)
    const event = {
      id,
      time: now,
      amount: random.integer(50_000),
      customer: random.integer(300),
      terminal: `t${random.integer(150)}`,
      x: random.integer(3) === 0 ? -0 : random.normal(0, 1),
      country: ['', 'CH', 'é中'][random.integer(3)],
      label: false,
    }
    log.push(event)
    const about = log[random.integer(log.length)]
    if (random.uniform() < 0.2 && !about.label) log.push({ ...about, label: true })
  }
  return log
}

function toBatch(events: readonly Event[], id: 'integer' | 'string' = 'integer'): EventBatch {
  const named = events.map((event) => (id === 'integer' ? event : { ...event, id: `id ${event.id}` }))
  const batch = eventBatch(named, { ...schema, id: { column: 'id', type: id } })
  events.forEach((event, row) => {
    batch.numeric[0][row] = 1
    batch.numeric[1][row] = event.x
    batch.categorical[0][row] = event.country
  })
  return batch
}

const spending = (includesCurrent: boolean): AggregateView => ({
  kind: 'aggregate',
  name: 'spending',
  entity: 'customer',
  includesCurrent,
  features: [
    { name: 'count', function: 'count', window: { length: 30 * DAY } },
    { name: 'mean', function: 'mean_amount', window: { last: 3 } },
    { name: 'since', function: 'seconds_since_previous' },
  ],
})
const risk: AggregateView = {
  kind: 'aggregate',
  name: 'risk',
  entity: 'terminal',
  includesCurrent: false,
  features: [{ name: 'risk', function: 'fraud_share', window: { length: 20 * DAY } }],
}
const row: RequestView = {
  kind: 'request',
  name: 'row',
  features: [
    { name: 'y', from: 'numeric', column: 'y' },
    { name: 'country', from: 'categorical', column: 'country' },
  ],
}
const service: FeatureService = { name: 's', description: '', views: [spending(true), row, risk] }

/** The rows of a batch's transactions. */
function rowsOf({ values, rows }: FeatureMatrix, width: number): number[][] {
  return Array.from({ length: rows }, (_, k) => [...values.subarray(k * width, (k + 1) * width)])
}

function naively(log: Event[], views: readonly [AggregateView, AggregateView]): number[][] {
  const [customers, terminals] = views.map((view, v) =>
    naiveFeatures(view, log, (event) => (v === 0 ? event.customer : event.terminal)),
  )
  return log
    .filter(({ label }) => !label)
    .map(({ id, x, country }) => [
      ...(customers.get(id) ?? []),
      x + 0,
      categoryCode(country),
      ...(terminals.get(id) ?? []),
    ])
}

test.each([1, 2])('many keys, and attributes of the row, in batches of any size, seed %i', (seed) => {
  const log = makeLog(seed, 1200)
  const random = randomStream(seed, 1)
  const fold = new ServiceFold(service, schema)
  const found: number[][] = []
  for (let from = 0; from < log.length;) {
    const events = log.slice(from, from + 1 + random.integer(200))
    found.push(...rowsOf(fold.fold(toBatch(events)), fold.names.length))
    from += events.length
  }
  // −0 is written as 0, so it is none here either: toEqual tells them apart.
  expect(found).toEqual(naively(log, [spending(true), risk]))
  expect(fold.views.map(({ keys }) => keys > 128)).toEqual([true, true])
})

test('stages that fold a view each hand on what one fold of all finds', () => {
  const log = makeLog(3, 600)
  const whole = new ServiceFold(service, schema)
  const stages = [[spending(true), row], [risk]].map((views) => {
    const own = service.views.filter(({ name }) => views.some((view) => view.name === name))
    return new ServiceFold(service, schema, { views: own })
  })
  expect([whole, ...stages].map(({ columns }) => columns)).toEqual([[0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4], [5]])
  const width = whole.names.length
  for (let from = 0; from < log.length; from += 50) {
    const batch = toBatch(log.slice(from, from + 50))
    const first = stages[0].fold(batch)
    const earlier = featureMatrix(first.rows + 7, width)
    earlier.rows = first.rows
    earlier.values.set(first.values.subarray(0, first.rows * width))
    for (let k = 0; k < first.rows; k++) [earlier.late[k], earlier.truncated[k]] = [k % 2, k]
    const last = stages[1].fold(batch, earlier)
    expect(rowsOf(last, width)).toEqual(rowsOf(whole.fold(batch), width))
    const flags = Array.from({ length: last.rows }, (_, k) => [last.late[k], last.truncated[k]])
    expect(flags).toEqual(flags.map((_, k) => [k % 2, k]))
  }
})

test('of a matrix some rows are kept, with their features and flags, in their order', () => {
  const matrix = featureMatrix(5, 2)
  matrix.rows = 4
  matrix.values.set([0, 1, 10, 11, 20, 21, 30, 31])
  matrix.late.set([0, 1, 0, 1])
  matrix.truncated.set([5, 6, 7, 8])
  keepRows(matrix, 2, [1, 2, 3])
  expect(rowsOf(matrix, 2)).toEqual([
    [10, 11],
    [20, 21],
    [30, 31],
  ])
  expect([[...matrix.late.subarray(0, 3)], [...matrix.truncated.subarray(0, 3)]]).toEqual([
    [1, 0, 1],
    [6, 7, 8],
  ])
})

test('a fold goes on from another’s state', () => {
  const log = makeLog(4, 400)
  const first = new ServiceFold(service, schema)
  const one = rowsOf(first.fold(toBatch(log.slice(0, 200))), 6)
  const next = new ServiceFold(service, schema, { from: first })
  expect([...one, ...rowsOf(next.fold(toBatch(log.slice(200))), 6)]).toEqual(naively(log, [spending(true), risk]))
})

test.each([false, true])('a look at a key gives what a transaction at that time would find, current %s', (current) => {
  const log = makeLog(5, 500)
  const [view, at] = [spending(current), START + 300 * HOUR]
  const fold = new ServiceFold({ ...service, views: [view] }, schema)
  fold.fold(toBatch(log))
  // Itself it does not count, even where the view's transactions do.
  const wanted = (customer: number): unknown => {
    const event = { ...log[0], id: -1, time: at, customer, label: false }
    return naiveFeatures(spending(false), [...log, event], (each) => each.customer).get(-1)
  }
  for (let customer = 0; customer < 40; customer++) {
    if (!log.some((event) => event.customer === customer)) continue
    expect([...(fold.views[0].peek(customer, at) ?? [])]).toEqual(wanted(customer))
  }
  expect([fold.views[0].peek(999, at), fold.views[0].slot(999), fold.views[0].peek('1', at)]).toEqual(
    Array.from({ length: 3 }),
  )
})

test('what has changed since the last checkpoint is listed once, in the order of its first change', () => {
  const fold = new ServiceFold(service, schema)
  const random = randomStream(6)
  const customers = Array.from({ length: 200 }, (_, n) => n)
  const event = makeLog(6, 1)[0]
  const feed = (some: number[], change: Partial<Event> = {}): unknown =>
    fold.fold(toBatch(some.map((customer, id) => ({ ...event, id, customer, ...change }))))
  expect(fold.changedKeys).toBe(0)
  feed([...customers, ...customers])
  expect(fold.changedKeys).toBe(201)
  const [cards, terminals] = fold.views
  expect([...cards.takeChanged()].map((slot) => cards.key(slot))).toEqual(customers)
  expect([...cards.takeChanged()]).toEqual([])
  expect(fold.changedKeys).toBe(1)
  expect([...terminals.takeChanged()]).toEqual([terminals.slot(event.terminal)])
  const some = Array.from({ length: 150 }, () => random.integer(300))
  feed(some)
  expect([...cards.takeChanged()].map((slot) => cards.key(slot))).toEqual([...new Set(some)])
  // A label changes the state of the view that reads labels, and of no other.
  terminals.takeChanged()
  feed([7], { id: 0, label: true })
  expect([cards.changedKeys, terminals.changedKeys]).toEqual([0, 1])
})

describe('transactions that come twice', () => {
  const view = spending(true)
  const columns = { scale: 100, ids: true, lateness: HOUR }

  /** Transactions of few keys, times and ids, labels, and now and then one from long ago. */
  function repetitive(seed: number): Event[] {
    const random = randomStream(seed)
    const [sample] = makeLog(seed, 1)
    const log: Event[] = []
    let now = START
    for (let n = 0; n < 900; n++) {
      now += random.integer(3) === 0 ? HOUR / 4 : 0
      const about = log[Math.max(0, log.length - 1 - random.integer(200))]
      if (about !== undefined && random.uniform() < 0.3) log.push({ ...about, label: random.integer(4) === 0 })
      else {
        const back = random.integer(20) === 0 ? 60 * DAY : random.integer(3) * (HOUR / 4)
        const id = random.integer(2) * 2 ** 32 + random.integer(3)
        log.push({ ...sample, id, time: now - back, customer: random.integer(80) })
      }
    }
    return log
  }

  test.each([
    [1, 'integer'],
    [2, 'integer'],
    [3, 'string'],
  ] as const)('are those with key, time and id of an earlier one, seed %i, ids of type %s', (seed, type) => {
    const log = repetitive(seed)
    const fold = new ViewFold(view, columns)
    const repeats = new Repeats([{ view: fold }])
    const random = randomStream(seed, 1)
    const seen = new Set<string>()
    let count = 0
    for (let from = 0; from < log.length;) {
      const events = log.slice(from, from + 1 + random.integer(150))
      from += events.length
      const batch = toBatch(events, type)
      const slots = new Uint32Array(events.length)
      fold.resolve(batch.entities[0], batch.size, slots)
      const found = repeats.of(batch, [{ slots, hashes: new IdHashes().take(batch) }]).map(({ row }) => row)
      const naive: number[] = []
      for (const [place, { customer, time, id, label }] of events.entries()) {
        const name = `${customer} ${time} ${id}`
        if (!label && seen.has(name)) naive.push(place)
        if (!label) seen.add(name)
      }
      // One from before all windows is in no ring any more, and counts nowhere.
      const old = (place: number): boolean => events[place].time < START
      expect(found.filter((place) => !old(place))).toEqual(naive.filter((place) => !old(place)))
      expect(naive).toEqual(expect.arrayContaining(found))
      count += found.length
      const gone = new Set(found)
      const kept = events.filter((_, place) => !gone.has(place))
      const rest = toBatch(kept, type)
      fold.resolve(rest.entities[0], rest.size, slots)
      fold.fold(rest, slots, featureMatrix(kept.length, 3), { column: 0, stride: 3, bit: 1 })
    }
    expect(count).toBeGreaterThan(100)
  })

  test('are found in state that was read back; what an older version wrote, without ids, is not', () => {
    const batch = toBatch([1, 2, 3].map((id) => ({ ...makeLog(1, 1)[0], id, time: START + id, customer: 5 })))
    const slots = new Uint32Array(3)
    const bytes = [true, false].map((ids) => {
      const fold = new ViewFold(view, { ...columns, ids })
      fold.resolve(batch.entities[0], batch.size, slots)
      fold.fold(batch, slots, featureMatrix(3, 3), { column: 0, stride: 3, bit: 1 })
      return encodeState(fold, 0)
    })
    const found = bytes.map((state) => {
      const fold = new ViewFold(view, columns)
      decodeState(fold, fold.addKey(5), state)
      expect(encodeState(fold, 0).length).toBe(bytes[0].length)
      fold.resolve(batch.entities[0], batch.size, slots)
      return new Repeats([{ view: fold }])
        .of(batch, [{ slots, hashes: new IdHashes().take(batch) }])
        .map(({ row: place }) => place)
    })
    expect(found).toEqual([[0, 1, 2], []])
    // Where no ids are kept, those that were written are passed over.
    const without = new ViewFold(view, { ...columns, ids: false })
    decodeState(without, without.addKey(5), bytes[0])
    expect(encodeState(without, 0)).toEqual(bytes[1])
  })

  test('are asked of the first view of the log’s key, else of another first view', () => {
    const [first, second] = [spending(true), { ...spending(false), name: 'again' }]
    const views = [risk, row, first, second]
    const all: FeatureService = { ...service, views }
    expect(views.map((each) => keepsIds(each, all))).toEqual([true, false, true, false])
    const [event] = makeLog(7, 1)
    // The same transaction at another terminal: the key of the log tells.
    const batch = toBatch([event, { ...event, terminal: 'other' }, { ...event, customer: 999 }])
    const repeated = (some: FeatureService['views']): number[] => {
      const fold = new ServiceFold(all, schema, { views: some })
      fold.prepare(batch)
      return fold.repeated(batch).map(({ row: place }) => place)
    }
    expect(repeated(views)).toEqual([1])
    expect(repeated([risk])).toEqual([2])
    expect([repeated([row]), repeated([second])]).toEqual([[], []])
  })

  test('are asked of every view that may still count them, where the log’s key has forgotten their time', () => {
    const short = { ...spending(true), features: spending(true).features.slice(0, 1) }
    const long = { ...spending(false), name: 'long' }
    long.features = [{ name: 'long_count', function: 'count', window: { length: 60 * DAY } }]
    const quiet = { ...risk, features: [{ name: 'quiet', function: 'count' as const, window: { length: 20 * DAY } }] }
    const [event] = makeLog(7, 1)
    const later = (days: number): Event => ({ ...event, id: event.id + 1, time: event.time + days * DAY })
    const repeated = (some: FeatureService['views'], days: number, terminal = 'other'): number[] => {
      const fold = new ServiceFold({ ...service, views: some }, schema)
      fold.fold(toBatch([event, { ...later(days), terminal: 'other' }]))
      const batch = toBatch([{ ...later(days + 1), terminal }, event, { ...event, customer: 999 }])
      fold.prepare(batch)
      return fold.repeated(batch).map(({ row: place }) => place)
    }
    // The customer went on at another terminal. This one has seen nothing since, and its window still has the event.
    expect(repeated([short, quiet], 50)).toEqual([1])
    // Once it goes on, too, its window has let the event go, be it within the batch.
    expect(repeated([short, quiet], 50, event.terminal)).toEqual([])
    // A second view of the entity reaches further than the one that keeps ids.
    expect(repeated([short, long], 50)).toEqual([1])
    // What no window can count is not known any more.
    expect(repeated([short], 50)).toEqual([])
    expect(repeated([short, long], 70)).toEqual([])
  })
})

test('a model reads the float32 nearest to what was computed, from any place on', () => {
  const to = new Float32Array(5)
  toModelInput(Float64Array.of(0.1, 1 / 3, 9), 2, to, 2)
  expect(to).toEqual(Float32Array.of(0, 0, 0.1, 1 / 3, 0))
  toModelInput(Float64Array.of(7), 1, to)
  expect(to[0]).toBe(7)
})

test('a prediction of an earlier version has the lower bits of a category’s code, and is the same category', () => {
  const code = categoryCode('Zürich')
  expect([categoryCode(''), formerCategoryCode('')]).toEqual([0, 0])
  expect(code % 2 ** 24).toBe(formerCategoryCode('Zürich'))
  expect(Number.isSafeInteger(code)).toBe(true)
  const served = [code, formerCategoryCode('Zürich'), categoryCode('Zurich'), formerCategoryCode('Zurich'), 0]
  expect(served.map((each) => isSameCategory(code, each))).toEqual([true, true, false, false, false])
})

test('a column that cannot grow any further says so, and keeps what it holds', () => {
  const room = new Growing(Uint8Array)
  room.grow(3 << 20)[5] = 7
  expect(() => room.grow(2 ** 33)).toThrow(
    new UserError(
      'The windows of one partition take more than 8589934592 bytes in one column, which is more than can be had. ' +
        'Spread the keys over more partitions (scorer.partitions).',
    ),
  )
  expect(room.array[5]).toBe(7)
})

test('a row lacks nothing where what was pushed out stood at the open start of its window', () => {
  const view: AggregateView = {
    kind: 'aggregate',
    name: 'day',
    entity: 'customer',
    includesCurrent: true,
    features: [{ name: 'count', function: 'count', window: { length: DAY } }],
  }
  const [event] = makeLog(8, 1)
  const fold = new ServiceFold(withMaxEvents({ ...service, views: [view] }, 4), schema)
  const at = (ms: number, id: number): Event => ({ ...event, id, customer: 1, time: START + ms })
  const { values, truncated } = fold.fold(toBatch([0, 1, 2, 3, DAY, DAY].map(at)))
  // The sixth pushes out the event at 1 ms, which its window begins before.
  expect([...values.subarray(0, 6)]).toEqual([1, 2, 3, 4, 4, 4])
  expect([...truncated.subarray(0, 6)]).toEqual([0, 0, 0, 0, 0, 1])
})

test('views from the 24th on share a bit, so that the bits of a row fit into three bytes', () => {
  const views = Array.from({ length: 26 }, (_, n): AggregateView => ({ ...risk, name: `v${n}` }))
  const many = { ...service, views }
  expect(truncatedViews(many, 2 ** 23 + 1)).toEqual(['v0', 'v23', 'v24', 'v25'])
  expect(truncatedViews(many, 2 ** 24)).toEqual([])
})

test('an event too late for any window leaves a state that can be gone on from', () => {
  const view: AggregateView = {
    kind: 'aggregate',
    name: 'delayed',
    entity: 'customer',
    includesCurrent: false,
    features: [{ name: 'count', function: 'count', window: { length: 30 * DAY, delay: 7 * DAY } }],
  }
  const [event] = makeLog(9, 1)
  const at = (day: number, id: number): Event => ({ ...event, id, customer: 1, time: START + day * DAY })
  const delayed = { ...service, views: [view] }
  const fold = new ServiceFold(delayed, schema)
  // It waits before the delayed window, and no window will ever hold it.
  fold.fold(toBatch([50, 0].map(at)))
  const resumed = new ServiceFold(delayed, schema)
  decodeState(resumed.views[0], resumed.views[0].addKey(1), encodeState(fold.views[0], 0))
  for (const each of [fold, resumed]) expect(each.fold(toBatch([at(58, 2)])).values[0]).toBe(1)
})
