import { describe, expect, test } from 'vitest'
import { errorMessage } from '../../configs/user-error.ts'
import type { DecodedBatch } from '../../datasets/log/event-json.ts'
import type { RecordBatch } from '../../datasets/log/event-log.ts'
import { randomStream } from '../../datasets/random/random.ts'
import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import { DAY, FRAUD_LABEL, HOUR } from '../../datasets/table/transaction.ts'
import { cardFraud } from '../definition/card-fraud.ts'
import { decodeState, encodeState } from '../fold/entity-state.ts'
import { featureMatrix } from '../fold/fold-output.ts'
import { ServiceFold } from '../fold/service-fold.ts'
import { naiveFeatures } from '../testing/naive-features.ts'
import { eventBatch } from '../testing/small-log.ts'
import { NO_PLACE, packPlace, unpackPlace } from '../window/log-place.ts'
import { Seam, type HistoryGap } from './seam.ts'
import { placesOf, type StageInput } from './stage-record.ts'

const schema: DatasetSchema = {
  id: { column: 'TRANSACTION_ID', type: 'string' },
  time: { column: 'TX_DATETIME', unit: 'timestamp' },
  amount: { column: 'TX_AMOUNT', minorUnits: 2 },
  entities: [
    { name: 'customer', column: 'CUSTOMER_ID', type: 'integer' },
    { name: 'terminal', column: 'TERMINAL_ID', type: 'integer' },
  ],
  numeric: [],
  categorical: [],
}

interface Event {
  id: string
  time: number
  customer: number
  terminal: number
  label: boolean
  /** Whether an earlier event of the log is the same transaction. */
  again: boolean
}

/** Transactions of few customers at few times, labels, and repeats of both within the last two hours. */
function makeLog(seed: number): Event[] {
  const random = randomStream(seed)
  const log: Event[] = []
  let now = Date.UTC(2018, 3, 1)
  for (let n = 0; n < 500; n++) {
    if (random.uniform() < 0.5) now += random.integer(4) * 60_000
    const known = log.filter(({ time, label }) => !label && time >= now - 2 * HOUR)
    const old = known[random.integer(Math.max(1, known.length))]
    if (old !== undefined && random.uniform() < 0.2) log.push({ ...old, again: true })
    else if (old !== undefined && random.uniform() < 0.1) log.push({ ...old, label: true, again: false })
    else {
      const key = { customer: random.integer(3), terminal: random.integer(3) }
      log.push({ ...key, id: `t${n % 7}-${Math.floor(n / 7)}`, time: now, label: false, again: false })
    }
  }
  return log
}

function decoded(events: Event[]): DecodedBatch {
  const batch = eventBatch(
    events.map((event) => ({ ...event, amount: event.label ? 0 : 1000 + event.id.length })),
    schema,
  )
  return { events: batch, index: Uint32Array.from(events, (_, row) => row), rejected: [] }
}

/** The partition of the first stage's topic from which all records come. */
const PARTITION = 3

/** A batch as a stage reads it whose records begin at offset `first`. */
function inputOf(batch: DecodedBatch, first: number): StageInput {
  const offsets = Float64Array.from({ length: batch.index.length }, (_, i) => first + i)
  const none = new Float64Array(offsets.length)
  const records: RecordBatch = {
    topic: 'transactions',
    partition: 0,
    size: offsets.length,
    offsets,
    timestamps: none,
    bytes: Buffer.alloc(0),
    keyStart: new Uint32Array(0),
    valueStart: new Uint32Array(0),
    valueEnd: new Uint32Array(0),
  }
  const partitions = new Uint32Array(offsets.length).fill(PARTITION)
  return { records, values: records, decoded: batch, partitions, offsets }
}

/** A fold of the same state, as a process that starts again reads it. */
function restarted(fold: ServiceFold): ServiceFold {
  const next = new ServiceFold(cardFraud, schema)
  fold.views.forEach((view, v) => {
    for (let slot = 0; slot < view.keys; slot++) {
      decodeState(next.views[v], next.views[v].addKey(view.key(slot)), encodeState(view, slot))
    }
  })
  return next
}

test.each([1, 2, 3, 4, 5])('what was here before is rejected, the rest is folded as if alone, seed %i', (seed) => {
  const log = makeLog(seed)
  const random = randomStream(seed, 1)
  let fold = new ServiceFold(cardFraud, schema)
  const seam = new Seam({ base: { watermark: -Infinity }, group: 'g' })
  const alone = new ServiceFold(cardFraud, schema)
  for (let from = 0; from < log.length;) {
    const start = from
    const events = log.slice(start, start + 1 + random.integer(60))
    from += events.length
    const batch = decoded(events)
    const input = inputOf(batch, start)
    fold.prepare(batch.events)
    seam.join(input, fold, Infinity)
    const firstOf = ({ id, time, customer }: Event): number =>
      log.findIndex((e) => e.id === id && e.time === time && e.customer === customer && !e.label)
    expect(batch.rejected.map(({ index, kind, first }) => ({ index, kind, first }))).toEqual(
      events.flatMap((event, index) =>
        event.again ? [{ index, kind: 'duplicate', first: { partition: PARTITION, offset: firstOf(event) } }] : [],
      ),
    )
    for (const { reason, first } of batch.rejected)
      expect(reason).toContain(`was here before, at offset ${first?.offset} of partition ${PARTITION}`)
    const kept = events.map((_, row) => row).filter((row) => !events[row].again)
    expect([...batch.index.subarray(0, batch.events.size)]).toEqual(kept)
    const [got, wanted] = [
      fold.fold(batch.events, undefined, placesOf(input)),
      alone.fold(decoded(kept.map((row) => events[row])).events),
    ]
    expect(got.rows).toBe(wanted.rows)
    const values = got.rows * fold.names.length
    expect(got.values.subarray(0, values)).toEqual(wanted.values.subarray(0, values))
    if (random.uniform() < 0.3) fold = restarted(fold)
  }
  expect(log.filter(({ again }) => again).length).toBeGreaterThan(50)
})

test('a record that the state holds already is no repeat of itself, but an error', () => {
  const [first, second] = makeLog(1)
  const fold = new ServiceFold(cardFraud, schema)
  const seam = new Seam({ base: { watermark: -Infinity }, group: 'g' })
  const folds = (events: Event[], from: number): void => {
    const input = inputOf(decoded(events), from)
    fold.prepare(input.decoded.events)
    seam.join(input, fold, Infinity)
    fold.fold(input.decoded.events, undefined, placesOf(input))
  }
  folds([first, second], 0)
  // The same again in another place is a repeat.
  folds([first], 2)
  expect(() => folds([second], 1)).toThrow(`at offset 1 of partition ${PARTITION} already`)
})

test.each([
  [0, 0],
  [2047, 2 ** 42 - 1],
  [7, 123_456_789_012],
])('partition %d, offset %d, is one number', (partition, offset) => {
  expect(unpackPlace(packPlace(partition, offset))).toEqual({ partition, offset })
})

test('what stands in history, or too far, has no place', () => {
  expect([packPlace(2048, 0), packPlace(0, 2 ** 42)]).toEqual([NO_PLACE, NO_PLACE])
  expect(unpackPlace(NO_PLACE)).toBeUndefined()
})

test.each([1, 2, 3])('in a later stage the features of the stages before go with their rows, seed %i', (seed) => {
  const log = makeLog(seed)
  const views = cardFraud.views.filter(({ name }) => name === 'terminal_risk')
  const fold = new ServiceFold(cardFraud, schema, { views })
  const width = fold.names.length
  const [own] = fold.columns
  const seam = new Seam({ base: { watermark: -Infinity }, group: 'g' })
  for (let from = 0; from < log.length; from += 50) {
    const events = log.slice(from, from + 50)
    const transactions = events.filter(({ label }) => !label)
    const earlier = featureMatrix(transactions.length, width)
    for (const [k, { time }] of transactions.entries()) {
      earlier.values.fill(time, k * width, (k + 1) * width)
      earlier.late[k] = (time / 60_000) % 2
      earlier.truncated[k] = time / 60_000
    }
    const batch = decoded(events)
    fold.prepare(batch.events)
    seam.join({ ...inputOf(batch, 0), earlier }, fold, Infinity)
    const { rows, values, late, truncated } = fold.fold(batch.events, earlier)
    const kept = transactions.filter(({ again }) => !again).map(({ time }) => time)
    expect(Array.from({ length: rows }, (_, k) => values[k * width])).toEqual(kept)
    expect(Array.from({ length: rows }, (_, k) => values[k * width + own - 1])).toEqual(kept)
    expect([...late.subarray(0, rows)]).toEqual(kept.map((time) => (time / 60_000) % 2))
    expect([...truncated.subarray(0, rows)]).toEqual(kept.map((time) => time / 60_000))
  }
})

const START = Date.UTC(2018, 3, 1)

/** 40 days of transactions in order of time, with labels a week after the frauds. */
function makeHistory(seed: number): Event[] {
  const random = randomStream(seed, 2)
  const events: Event[] = []
  for (let n = 0; n < 400; n++) {
    const key = { customer: random.integer(4), terminal: random.integer(4) }
    events.push({ ...key, id: `h${n}`, time: START + (n * 40 * DAY) / 400, label: false, again: false })
    const old = events[random.integer(events.length)]
    if (!old.label && random.uniform() < 0.15) events.push({ ...old, label: true })
  }
  return events
}

interface Arrangement {
  name: string
  /** The events that were backfilled, and those of the log, of which the first `committed` have had their outputs. */
  arrange: (all: Event[]) => { history: Event[]; log: Event[]; committed?: number; until?: number }
  gap?: true
  refused?: (all: Event[]) => number
}

const before = (all: Event[], day: number): Event[] => all.slice(0, cutAt(all, day))
const from = (all: Event[], day: number): Event[] => all.slice(cutAt(all, day))
const cutAt = (all: Event[], day: number): number =>
  all.findIndex(({ time, label }) => !label && time >= START + day * DAY)
const firstTime = (events: Event[]): number => events.find(({ label }) => !label)?.time ?? Number.NaN

const ARRANGEMENTS: Arrangement[] = [
  { name: 'touching', arrange: (all) => ({ history: before(all, 30), log: from(all, 30) }) },
  { name: 'no history', arrange: (all) => ({ history: [], log: all }) },
  { name: 'a gap', arrange: (all) => ({ history: before(all, 20), log: from(all, 30) }), gap: true },
  {
    name: 'history goes on into what was scored',
    arrange: (all) => ({
      history: before(all, 35),
      log: from(all, 25),
      committed: before(all, 35).length - before(all, 25).length,
    }),
  },
  {
    name: 'the log is older than history, and all but its end was scored',
    arrange: (all) => ({ history: from(before(all, 30), 10), log: all, committed: before(all, 30).length }),
  },
  {
    name: 'history ends a few hours into what nobody scored',
    arrange: (all) => ({ history: before(all, 30.3), log: from(all, 30) }),
    refused: (all) => firstTime(from(all, 30)),
  },
  {
    name: 'history goes on for days into what nobody scored',
    arrange: (all) => ({ history: before(all, 35), log: from(all, 25) }),
    refused: (all) => firstTime(from(all, 25)),
  },
  {
    name: 'all of history, and all of it again on the log',
    arrange: (all) => ({ history: all, log: all }),
    refused: firstTime,
  },
  {
    name: 'a late event is first on the log, and history goes on into it',
    arrange: (all) => ({
      history: before(all, 35),
      log: [{ ...all[0], id: 'late', time: START + 20 * DAY }, ...from(all, 30)],
    }),
    refused: (all) => firstTime(from(all, 30)),
  },
  {
    name: 'half of what history does not hold came late',
    arrange: (all) => ({
      history: before(all, 30).filter((_, n) => n % 50 !== 0),
      log: all.filter((_, n) => n >= cutAt(all, 30) - 40),
      committed: 40,
    }),
  },
  {
    name: 'a transaction after the newest of history, and before its end, comes twice, and one of the two was scored',
    arrange: (all) => {
      const twice = { ...all[0], id: 'twice', time: START + 30.01 * DAY }
      return {
        history: before(all, 30),
        until: START + 31 * DAY,
        log: [twice, { ...twice }, ...from(all, 30)],
        committed: 1,
      }
    },
  },
]

describe.each(ARRANGEMENTS)('$name', ({ arrange, gap, refused }) => {
  test.each([1, 2])('every value is that of one sequence in which each event stands once, seed %i', (seed) => {
    const all = makeHistory(seed)
    const { history, log, committed = 0, until } = arrange(all)
    const watermark = Math.max(...history.filter(({ label }) => !label).map(({ time }) => time))
    const fold = new ServiceFold(cardFraud, schema)
    fold.fold(decoded(history).events)
    const gaps: HistoryGap[] = []
    const facts = { dataset: 'd', file: 'f', fileDigest: '', transactions: history.length, until }
    const base = history.length === 0 ? { watermark } : { history: facts, watermark }
    const seam = new Seam({ base, group: 'g', onGap: (found) => gaps.push(found) })
    const random = randomStream(seed, 3)
    const got = new Map<string, number[]>()
    const run = (): unknown => {
      for (let first = 0; first < log.length;) {
        const events = log.slice(first, first + 1 + random.integer(60))
        const batch = decoded(events)
        const input = inputOf(batch, first)
        fold.prepare(batch.events)
        seam.join(input, fold, committed)
        const { values } = fold.fold(batch.events, undefined, placesOf(input))
        transactionRows(batch).forEach((row, k) => {
          const place = k * fold.names.length
          const id = String(batch.events.ids[row])
          if (first + batch.index[row] >= committed) got.set(id, [...values.subarray(place, place + fold.names.length)])
        })
        first += events.length
      }
      return { gaps, got }
    }
    const wanted =
      refused === undefined
        ? { gaps: gap ? [{ from: watermark, to: firstTime(log) }] : [], got: naively(history, log, committed) }
        : `fd features backfill --dataset d --data f --until ${new Date(refused(all)).toISOString()} --online`
    expect(outcome(run)).toEqual(wanted)
  })
})

/** What `run` returns, or the command that its refusal proposes. */
function outcome(run: () => unknown): unknown {
  try {
    return run()
  } catch (error) {
    return /fd features backfill .*/.exec(errorMessage(error))?.[0]
  }
}

function transactionRows({ events }: DecodedBatch): number[] {
  return Array.from({ length: events.size }, (_, row) => row).filter((row) => events.kind[row] !== FRAUD_LABEL)
}

/** The features of the log's transactions from `committed` on, by the quadratic loop over history and log. */
function naively(history: Event[], log: Event[], committed: number): Map<string, number[]> {
  const seen = new Set(history.filter(({ label }) => !label).map(({ id }) => id))
  const once = log.filter(({ id, label }) => label || (!seen.has(id) && seen.add(id)))
  const sequence = [...history, ...once].map((event, number) => ({ ...event, number }))
  const ids = new Map([...seen].map((id, number) => [id, number]))
  const events = sequence.map(({ id, time, customer, terminal, label }) => ({
    id: ids.get(id) ?? -1,
    time,
    amount: label ? 0 : 1000 + id.length,
    label,
    customer,
    terminal,
  }))
  const views = cardFraud.views.filter((view) => view.kind === 'aggregate')
  const values = views.map((view) =>
    naiveFeatures(view, events, (event) => event[view.entity as 'customer' | 'terminal']),
  )
  const fresh = log.slice(committed).filter((event) => !event.label && once.includes(event))
  return new Map(
    fresh.map(({ id, time }) => {
      const date = new Date(time)
      const request = [(1000 + id.length) / 100, Number(date.getUTCDay() % 6 === 0), Number(date.getUTCHours() < 7)]
      return [id, [...request, ...values.flatMap((byId) => byId.get(ids.get(id) ?? -1) ?? [])]]
    }),
  )
}
