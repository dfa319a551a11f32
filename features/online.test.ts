import { expect, test } from 'vitest'
import { randomStream } from '../datasets/random/random.ts'
import { DAY, HOUR } from '../datasets/table/transaction.ts'
import { atOnce } from '../datasets/testing/scheduler.ts'
import type { AskedKeys } from './asked-keys.ts'
import { statesOf } from './backfill/backfill.ts'
import { cardFraud } from './definition/card-fraud.ts'
import { ServiceFold } from './fold/service-fold.ts'
import { onlineFeatures, onlineRows, type OnlineRow } from './online.ts'
import { MemoryServer, openMemoryStore } from './testing/memory-store.ts'
import { naiveFeatures } from './testing/naive-features.ts'
import { eventBatch, SMALL_SCHEMA, type SmallEvent } from './testing/small-log.ts'
import type { AggregateView } from './view/view.ts'

const START = Date.UTC(2018, 3, 1)
const views = cardFraud.views.filter((view): view is AggregateView => view.kind === 'aggregate')

function makeLog(size: number): SmallEvent[] {
  const random = randomStream(5)
  let now = START
  return Array.from({ length: size }, (_, id) => {
    now += random.integer(4 * HOUR)
    const keys = { customer: random.integer(1500), terminal: random.integer(40) }
    return { id, time: now, amount: random.integer(9000), label: false, ...keys }
  })
}

const log = makeLog(3000)
const last = log[log.length - 1].time

const server = new MemoryServer()
const store = openMemoryStore(server, atOnce)
const fold = new ServiceFold(cardFraud, SMALL_SCHEMA)
fold.fold(eventBatch(log))
const base = { service: cardFraud.name, serviceDigest: 'd', watermark: last, minorUnits: 2, schema: SMALL_SCHEMA }
await store.publish(base, statesOf(fold))
const state = await store.group(cardFraud.name, { group: 'g', topic: 't', partition: 0 })

/** What a transaction of these keys at a time would find, itself not counted, by the quadratic loop. */
function naive(keys: { customer?: number; terminal?: number }, at: number): Record<string, number> {
  const event = { id: -1, time: at, amount: 0, label: false, customer: -1, terminal: -1, ...keys }
  const found = views
    .filter(({ entity }) => keys[entity as keyof typeof keys] !== undefined)
    .map((view) => {
      const keyOf = (each: SmallEvent): number => (view.entity === 'customer' ? each.customer : each.terminal)
      const own = [...log.filter((each) => keyOf(each) === keyOf(event)), event]
      const values = naiveFeatures({ ...view, includesCurrent: false }, own, keyOf).get(-1) ?? []
      return view.features.map(({ name }, f): [string, number] => [name, values[f]])
    })
  return Object.fromEntries(found.flat())
}

test('rows of many keys of several entities, as a transaction of theirs would find them', async () => {
  // More keys than are read at once.
  const customers = [...new Set(log.map(({ customer }) => customer))]
  expect(customers.length).toBeGreaterThan(1100)
  const asked = customers.map((customer) => ({ customer: String(customer), terminal: String(customer % 40) }))
  const { at, rows } = await onlineRows(cardFraud, asked, async () => state)
  expect(at).toBe(last)
  const some = rows.filter((_, row) => row % 37 === 0)
  expect(some.map(({ features }) => features)).toEqual(
    some.map(({ keys }) => naive({ customer: Number(keys['customer']), terminal: Number(keys['terminal']) }, last)),
  )
  expect(rows.map(({ keys, unknown, incomplete }) => ({ keys, unknown, incomplete }))).toEqual(
    customers.map((customer) => ({ keys: { customer, terminal: customer % 40 }, unknown: [], incomplete: [] })),
  )
})

test('a key that is unknown is named, its features are missing, and the rest of the row is there', async () => {
  const asked: AskedKeys[] = [{ customer: '999999', terminal: '7' }, { customer: 'no such' }, { terminal: '7' }]
  const { rows } = await onlineRows(cardFraud, asked, async () => state)
  const missing = Object.fromEntries(Object.keys(naive({ customer: 1 }, last)).map((name) => [name, Number.NaN]))
  const expected: Partial<OnlineRow>[] = [
    {
      keys: { customer: '999999', terminal: 7 },
      unknown: ['customer'],
      features: { ...missing, ...naive({ terminal: 7 }, last) },
    },
    { keys: { customer: 'no such' }, unknown: ['customer'], features: missing },
    { keys: { terminal: 7 }, unknown: [], features: naive({ terminal: 7 }, last) },
  ]
  expect(rows).toMatchObject(expected)
  await expect(onlineFeatures(state, cardFraud, 'customer', '999999')).rejects.toThrow(/has no customer 999999/)
})

test('beyond the newest time windows move on, and too far back a view says that it may lack events', async () => {
  const asked = [{ terminal: '7' }]
  const newest = Math.max(...log.filter(({ terminal }) => terminal === 7).map(({ time }) => time))
  for (const at of [last + 9 * DAY, newest - HOUR]) {
    const { rows } = await onlineRows(cardFraud, asked, async () => state, at)
    expect(rows).toEqual([{ keys: { terminal: 7 }, features: naive({ terminal: 7 }, at), unknown: [], incomplete: [] }])
  }
  const { rows } = await onlineRows(cardFraud, asked, async () => state, newest - HOUR - 1)
  expect(rows[0].incomplete).toEqual(['terminal_risk'])
})

test('an entity that the service does not have, and a blank key, are refused', async () => {
  await expect(onlineRows(cardFraud, [{ shop: '1' }], async () => state)).rejects.toThrow(/has no entity "shop"/)
  await expect(onlineRows(cardFraud, [{ customer: ' ' }], async () => state)).rejects.toThrow(/without a customer/)
})
