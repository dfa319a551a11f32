import { describe, expect, test } from 'vitest'
import { randomStream } from '../../datasets/random/random.ts'
import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import { DAY, HOUR } from '../../datasets/table/transaction.ts'
import { naiveFeatures } from '../testing/naive-features.ts'
import { eventBatch, SMALL_SCHEMA, type SmallEvent } from '../testing/small-log.ts'
import { withMaxEvents, type AggregateView, type FeatureService } from '../view/view.ts'
import { packPlace } from '../window/log-place.ts'
import { decodeState, encodeState } from './entity-state.ts'
import { ServiceFold } from './service-fold.ts'

const schema: DatasetSchema = {
  ...SMALL_SCHEMA,
  refunds: true,
  entities: SMALL_SCHEMA.entities.map((each) => ({ ...each, optional: each.name === 'terminal' })),
}

/** A terminal that is NaN is none. */
interface Event extends SmallEvent {
  /** Whether the transaction stands in the log already. */
  again: boolean
}

const view = (name: string, entity: string, features: AggregateView['features']): AggregateView => ({
  kind: 'aggregate',
  name,
  entity,
  includesCurrent: name !== 'terminals',
  features,
})

/** The view that keeps the ids of customers reaches back over a day; another one reaches by count, whatever the age. */
const byTime = view('hours', 'customer', [{ name: 'hours_count', function: 'count', window: { length: DAY } }])
const byCount = view('last', 'customer', [
  { name: 'last_sum', function: 'sum_amount', window: { last: 4 } },
  { name: 'last_share', function: 'fraud_share', window: { last: 3 } },
  { name: 'last_refunds', function: 'refund_sum', window: { last: 5 } },
  { name: 'since', function: 'seconds_since_previous' },
])
const terminals = view('terminals', 'terminal', [
  { name: 'terminal_sum', function: 'sum_amount', window: { length: 3 * DAY } },
  { name: 'terminal_refunds', function: 'refund_count', window: { length: DAY } },
])

const serviceOf = (...views: AggregateView[]): FeatureService => ({ name: 's', description: '', views })

const services = [serviceOf(byTime), serviceOf(byTime, terminals), serviceOf(byTime, byCount, terminals)]

const START = Date.UTC(2018, 3, 1)

/**
 * Few customers and terminals, ties, events far older than any ring reaches, and every third event a second time; of
 * these the share `moves` at another terminal.
 */
function makeLog(seed: number, moves = 0): Event[] {
  const random = randomStream(seed)
  const log: Event[] = []
  let now = START
  while (log.length < 700) {
    now += random.integer(3) === 0 ? random.integer(12) * HOUR : 0
    const transactions = log.filter(({ label }) => !label)
    const near = random.uniform() < 0.7 ? 6 : 100
    const old = transactions[Math.max(0, transactions.length - 1 - random.integer(near))]
    const dice = random.uniform()
    if (old !== undefined && dice < 0.3) {
      const terminal = random.uniform() < moves ? random.integer(3) : old.terminal
      log.push({ ...old, terminal, again: true })
    } else if (old !== undefined && dice < 0.4) log.push({ ...old, label: true, again: false })
    else {
      const back = [0, 0, 0, HOUR, 2 * DAY, 40 * DAY][random.integer(6)]
      log.push({
        id: log.length,
        time: now - back,
        amount: (1 + random.integer(500)) * (random.integer(4) === 0 ? -1 : 1),
        customer: random.integer(4),
        terminal: random.integer(6) === 0 ? Number.NaN : random.integer(3),
        label: false,
        again: false,
      })
    }
  }
  return log
}

/** A fold that goes on from what a checkpoint of this one would hold. */
function restarted(fold: ServiceFold): ServiceFold {
  const next = new ServiceFold(fold.service, schema)
  fold.views.forEach((before, v) => {
    for (let slot = 0; slot < before.keys; slot++)
      decodeState(next.views[v], next.views[v].addKey(before.key(slot)), encodeState(before, slot))
  })
  return next
}

interface Folded {
  /** Place of a repeat in the log → place of its first. */
  repeats: Map<number, number>
  /** Place in the log → features, and whether they came too late or lack what was pushed out. */
  rows: Map<number, { values: number[]; flagged: boolean }>
}

/** Folds a log as a scorer does: repeats are taken out of each batch before it is folded. */
function foldLog(
  service: FeatureService,
  log: readonly Event[],
  sizeOf: () => number,
  { restarts = false, maxEvents }: { restarts?: boolean; maxEvents?: number } = {},
): Folded {
  let fold = new ServiceFold(withMaxEvents(service, maxEvents), schema)
  const width = fold.names.length
  const folded: Folded = { repeats: new Map(), rows: new Map() }
  for (let from = 0; from < log.length;) {
    const places = log.map((_, place) => place).slice(from, from + sizeOf())
    from += places.length
    const placed = (some: number[]): Float64Array => Float64Array.from(some, (place) => packPlace(0, place))
    const batch = eventBatch(
      places.map((place) => log[place]),
      schema,
    )
    fold.prepare(batch)
    for (const { row, first } of fold.repeated(batch, placed(places))) folded.repeats.set(places[row], first)
    const rest = places.filter((place) => !folded.repeats.has(place))
    const matrix = fold.fold(
      eventBatch(
        rest.map((place) => log[place]),
        schema,
      ),
      undefined,
      placed(rest),
    )
    for (const [k, place] of rest.filter((each) => !log[each].label).entries()) {
      const values = [...matrix.values.subarray(k * width, (k + 1) * width)]
      folded.rows.set(place, { values, flagged: matrix.late[k] === 1 || matrix.truncated[k] !== 0 })
    }
    if (restarts) fold = restarted(fold)
  }
  return folded
}

describe.each(services)('with %# other views', (service) => {
  test.each([
    [1, {}],
    [2, {}],
    [3, {}],
    [4, { maxEvents: 8 }],
    [5, { maxEvents: 8 }],
    [6, { maxEvents: 16 }],
  ])('a log has the same repeats in one batch, row by row, and in any batches, seed %i, %o', (seed, settings) => {
    const log = makeLog(seed, 0.1)
    const random = randomStream(seed, 1)
    const alone = foldLog(service, log, () => 1, settings)
    expect(foldLog(service, log, () => log.length, settings)).toEqual(alone)
    expect(foldLog(service, log, () => 1 + random.integer(60), settings)).toEqual(alone)
    expect(foldLog(service, log, () => 1 + random.integer(9), { ...settings, restarts: true })).toEqual(alone)
    // Some are found, and some were let go before they came again.
    const again = log.filter((each) => each.again).length
    expect(alone.repeats.size).toBeGreaterThan(50)
    expect(alone.repeats.size).toBeLessThan(again)
  })

  test.each([11, 12, 13, 14])('none is counted twice by any window of an event in time, seed %i', (seed) => {
    const log = makeLog(seed)
    const { rows } = foldLog(service, log, () => 40)
    const places = new Map(log.map((event, place) => [event, place]))
    const once = log.filter((event) => !event.again)
    const exact = service.views
      .filter((each) => each.kind === 'aggregate')
      .map((each) => naiveFeatures(each, once, (event) => keyOf(each, event)))
    let compared = 0
    for (const event of once) {
      const row = event.label ? undefined : rows.get(places.get(event) ?? -1)
      if (row === undefined || row.flagged) continue
      expect([event.id, ...row.values]).toEqual([event.id, ...exact.flatMap((values) => values.get(event.id) ?? [])])
      compared++
    }
    expect(compared).toBeGreaterThan(100)
  })
})

function keyOf({ entity }: AggregateView, { customer, terminal }: Event): number | undefined {
  if (entity === 'customer') return customer
  return Number.isNaN(terminal) ? undefined : terminal
}
