import { describe, expect, test } from 'vitest'
import { randomStream } from '../../datasets/random/random.ts'
import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import { DAY, HOUR, type EventBatch } from '../../datasets/table/transaction.ts'
import { attributes } from '../definition/attributes.ts'
import { cardFraud } from '../definition/card-fraud.ts'
import { decodeState, encodeState } from '../fold/entity-state.ts'
import { IdHashes } from '../fold/id-hash.ts'
import { IdMemory } from '../fold/id-memory.ts'
import { ServiceFold } from '../fold/service-fold.ts'
import { eventBatch, type LoggedEvent } from '../testing/small-log.ts'
import type { AggregateView, FeatureService } from '../view/view.ts'
import { packPlace } from '../window/log-place.ts'
import { planChain, stageFold } from './chain.ts'

const MINUTE = 60_000
const SPAN = 3 * HOUR
const START = Date.UTC(2018, 3, 1)

interface Event extends LoggedEvent {
  id: number
  /** The key of the log, and another one that may be none (NaN). */
  card: number
  shop: number
}

const plain: DatasetSchema = {
  id: { column: 'id', type: 'integer' },
  time: { column: 'time', unit: 'ms' },
  amount: { column: 'amount', minorUnits: 2 },
  entities: [],
  numeric: ['x'],
  categorical: [],
}
const cards: DatasetSchema = {
  ...plain,
  id: { column: 'id', type: 'string' },
  refunds: true,
  entities: [{ name: 'card', column: 'card', type: 'string' }],
}
const shops: DatasetSchema = {
  ...plain,
  entities: [
    { name: 'card', column: 'card', type: 'integer' },
    { name: 'shop', column: 'shop', type: 'integer', optional: true },
  ],
}
const untimed: DatasetSchema = { ...plain, time: 'none' }

const atShops: AggregateView = {
  kind: 'aggregate',
  name: 'shops',
  entity: 'shop',
  includesCurrent: true,
  features: [{ name: 'shop_count', function: 'count', window: { length: HOUR } }],
}

interface Arrangement {
  schema: DatasetSchema
  service: FeatureService
}

const arrangements: [string, Arrangement][] = [
  ['columns alone', { schema: plain, service: attributes(plain) }],
  ['columns of cards, with refunds and ids that are text', { schema: cards, service: attributes(cards) }],
  [
    'a view of shops, which not every transaction has',
    { schema: shops, service: { name: 's', description: '', views: [...attributes(shops).views, atShops] } },
  ],
  ['columns without times', { schema: untimed, service: attributes(untimed) }],
]

/** Transactions in and out of order, many at one instant, labels, and every third event something that came before. */
function makeLog(seed: number, { schema }: Arrangement, size = 900): Event[] {
  const random = randomStream(seed)
  const log: Event[] = []
  let now = START
  while (log.length < size) {
    now += random.integer(3) === 0 ? random.integer(10) * MINUTE : 0
    const near = log.slice(random.uniform() < 0.5 ? -8 : -400)
    const old = near.at(random.integer(Math.max(1, near.length)))
    const dice = random.uniform()
    // Where there are no times, the time of an event is when it came.
    const again = old && { ...old, time: schema.time === 'none' ? now : old.time }
    if (again !== undefined && dice < 0.3) log.push({ ...again, label: false })
    else if (again !== undefined && dice < 0.4) log.push({ ...again, label: true })
    // The id of another transaction, which has another card, or another time.
    else if (again !== undefined && dice < 0.45) log.push({ ...again, card: random.integer(4), label: false })
    else
      log.push({
        id: 1000 * (log.length % 5) + log.length,
        card: random.integer(4),
        shop: random.integer(2) === 0 ? Number.NaN : random.integer(3),
        time: schema.time === 'none' ? now : now - [0, 0, 0, MINUTE, HOUR, 2 * DAY][random.integer(6)],
        amount: (1 + random.integer(500)) * (schema.refunds && random.integer(3) === 0 ? -1 : 1),
        label: false,
      })
  }
  return log
}

/** So many minutes have rings of their own. */
const MINUTES = (SPAN + HOUR) / MINUTE + 1

/** Transactions that come to one ring. */
function crowdOf({ schema }: Arrangement): Event[] {
  const event = { shop: Number.NaN, time: START, amount: 100, label: false }
  const many = Array.from({ length: 60_000 }, (_, id): Event => ({ ...event, id, card: id % 4 }))
  const memory = new IdMemory(SPAN, schema)
  const batch = toBatch(many, schema)
  memory.prepare(batch, new IdHashes().take(batch))
  const crowds = Map.groupBy(many, ({ id }) => memory.slots[id])
  return [...crowds.values()].reduce((most, each) => (each.length > most.length ? each : most)).slice(0, 200)
}

/** Transactions of a crowd, in the same minute of each round of the minutes. Every second comes again. */
function makeCrowd(seed: number, { schema }: Arrangement, crowd: readonly Event[]): Event[] {
  const random = randomStream(seed)
  const log: Event[] = []
  // Without times there are no rounds, and a ring is used at any time.
  const step = schema.time === 'none' ? 70 * MINUTE : MINUTES * MINUTE
  let round = 0
  while (log.length < 700) {
    if (random.integer(20) === 0) round++
    const minute = (back: number): number => START + (round - back) * step + random.integer(MINUTE)
    const old = log.at(-1 - random.integer(30))
    if (old !== undefined && random.uniform() < 0.5)
      log.push({ ...old, time: schema.time === 'none' ? minute(0) : old.time })
    else {
      // A record comes at a later time than those before it.
      const back = schema.time !== 'none' && random.integer(8) === 0 ? 1 : 0
      log.push({ ...crowd[random.integer(crowd.length)], time: minute(back) })
    }
  }
  return log
}

function toBatch(events: readonly Event[], schema: DatasetSchema): EventBatch {
  if (schema.id?.type === 'integer') return eventBatch(events, schema)
  const texts = events.map((event) => ({ ...event, id: `i${event.id}`, card: `c${event.card}` }))
  return eventBatch(texts, schema)
}

/** A fold, and what a store would hold of it. */
class Scorer {
  readonly #arrangement: Arrangement
  readonly #stored = new Map<string, Buffer>()
  fold: ServiceFold

  constructor(arrangement: Arrangement) {
    this.#arrangement = arrangement
    this.fold = this.#open()
  }

  #open(): ServiceFold {
    const { service, schema } = this.#arrangement
    const [stage] = planChain(service, schema, { name: 'in', partitions: 1 }, 'g')
    return stageFold(stage, service, schema, SPAN)
  }

  /** Writes what has changed, and goes on in another process. */
  restart(): void {
    for (const view of this.fold.views)
      for (const slot of view.takeChanged())
        this.#stored.set(`${view.view.name} ${view.key(slot)}`, encodeState(view, slot))
    this.fold = this.#open()
  }

  /** Folds events. Returns the places of repeats, each with the place of its first. */
  take(events: readonly Event[], from: number): [number, number][] {
    const { fold } = this
    const { schema } = this.#arrangement
    const batch = toBatch(events, schema)
    for (const { view, keys } of fold.prepare(batch)) {
      for (const key of keys) {
        const bytes = this.#stored.get(`${view.view.name} ${key}`)
        const slot = view.slot(key)
        if (bytes !== undefined && slot !== undefined) decodeState(view, slot, bytes)
      }
    }
    const places = events.map((_, row) => from + row)
    const placed = (some: number[]): Float64Array => Float64Array.from(some, (place) => packPlace(0, place))
    const found = fold.repeated(batch, placed(places)).map(({ row, first }) => [from + row, first] as [number, number])
    const gone = new Set(found.map(([place]) => place))
    const rest = places.filter((place) => !gone.has(place))
    const kept = toBatch(
      rest.map((place) => events[place - from]),
      schema,
    )
    fold.fold(kept, undefined, placed(rest))
    return found
  }
}

function repeatsOf(
  arrangement: Arrangement,
  log: readonly Event[],
  sizeOf: () => number,
  restarts = false,
): Map<number, number> {
  const scorer = new Scorer(arrangement)
  const repeats = new Map<number, number>()
  for (let from = 0; from < log.length;) {
    const events = log.slice(from, from + sizeOf())
    for (const [place, first] of scorer.take(events, from)) repeats.set(place, first)
    from += events.length
    if (restarts) scorer.restart()
  }
  return repeats
}

/** By a loop over all that was before: which must be found, and which may be. */
function naive({ schema }: Arrangement, log: readonly Event[]): { must: Set<number>; may: Map<number, Set<number>> } {
  const must = new Set<number>()
  const may = new Map<number, Set<number>>()
  let clock = -Infinity
  const same = (a: Event, b: Event): boolean => a.id === b.id && (schema.time === 'none' || a.time === b.time)
  const ofCard = (a: Event, b: Event): boolean => schema.entities.length === 0 || a.card === b.card
  const ofShops = schema.entities.some(({ name }) => name === 'shop')
  for (const [place, event] of log.entries()) {
    if (event.label) continue
    const firsts = log
      .slice(0, place)
      .flatMap((each, at) => (!each.label && same(each, event) ? [{ ...each, at }] : []))
      // A view of shops knows a transaction by its shop.
      .filter((each) => ofCard(each, event) || (ofShops && each.shop === event.shop))
    if (firsts.length > 0) may.set(place, new Set(firsts.map(({ at }) => at)))
    clock = schema.time === 'none' ? event.time : Math.max(clock, event.time)
    // One that came again itself was not folded, unless its own first was forgotten. Without times that is known.
    const again = schema.time === 'none' ? must : may
    if (firsts.some((each) => ofCard(each, event) && each.time >= clock - SPAN && !again.has(each.at))) must.add(place)
  }
  return { must, may }
}

/** The repeats of a log are the same in one batch, in any batches, and with a restart after each. */
function expectInAnyBatches(
  arrangement: Arrangement,
  log: readonly Event[],
  repeats: Map<number, number>,
  seed: number,
): void {
  const random = randomStream(seed, 1)
  expect(repeatsOf(arrangement, log, () => log.length)).toEqual(repeats)
  expect(repeatsOf(arrangement, log, () => 1 + random.integer(100))).toEqual(repeats)
  expect(repeatsOf(arrangement, log, () => 1 + random.integer(20), true)).toEqual(repeats)
}

/** All that comes again within the span is found, and nothing else. With times more may be found. */
function expectFirsts(arrangement: Arrangement, log: readonly Event[], repeats: Map<number, number>): void {
  const { must, may } = naive(arrangement, log)
  const found = [...repeats.keys()].filter((place) => arrangement.schema.time === 'none' || must.has(place))
  expect(found).toEqual([...must])
  for (const [place, first] of repeats) expect(may.get(place)).toContain(first)
  expect(must.size).toBeGreaterThan(50)
}

describe.each(arrangements)('%s', (_, arrangement) => {
  const crowd = crowdOf(arrangement)

  test.each([1, 2, 3, 4])('what comes again within the span is found, and nothing else, seed %i', (seed) => {
    const log = makeLog(seed, arrangement)
    const alone = repeatsOf(arrangement, log, () => 1)
    expectInAnyBatches(arrangement, log, alone, seed)
    expectFirsts(arrangement, log, alone)
  })

  test.each([5, 6, 7, 8])('so it is where all come to one ring and many are let go, seed %i', (seed) => {
    const log = makeCrowd(seed, arrangement, crowd)
    const alone = repeatsOf(arrangement, log, () => 1)
    expectInAnyBatches(arrangement, log, alone, seed)
    expectFirsts(arrangement, log, alone)
    // Some were let go.
    expect(alone.size).toBeLessThan(naive(arrangement, log).may.size)
  })

  test('rings are a fixed number, and a checkpoint writes those of what has come since', () => {
    const scorer = new Scorer(arrangement)
    for (let from = 0; from < 20_000; from += 500) {
      const some = Array.from({ length: 500 }, (__, n): Event => {
        const id = from + n
        return { id, card: id, shop: Number.NaN, time: START + id * MINUTE, amount: 100, label: false }
      })
      expect(scorer.take(some, from)).toEqual([])
      for (const view of scorer.fold.views) expect(view.takeChanged().length).toBeLessThanOrEqual(500)
    }
    const memory = scorer.fold.views.at(-1)
    expect(memory?.keys).toBeLessThanOrEqual(arrangement.schema.time === 'none' ? 2 ** 16 : 256 * MINUTES)
  })
})

test('nothing is remembered where a view holds every transaction, or where nothing tells one from another', () => {
  const views = (service: FeatureService, schema: DatasetSchema, rememberIds = SPAN): string[] =>
    new ServiceFold(service, schema, { rememberIds }).views.map(({ view }) => view.name)
  const both = {
    ...shops,
    entities: ['customer', 'terminal'].map((name) => ({ name, column: name, type: 'integer' as const })),
  }
  expect(views(cardFraud, both)).toEqual(cardFraud.views.flatMap(({ kind, name }) => (kind === 'request' ? [] : name)))
  expect(views(attributes(plain), plain)).toEqual([`ids of ${SPAN} ms`])
  expect(views(attributes(plain), plain, 0)).toEqual([])
  const { id: _, ...numbered } = untimed
  expect(views(attributes(numbered), numbered)).toEqual([])
})
