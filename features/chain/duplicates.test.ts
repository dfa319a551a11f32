import { expect, test } from 'vitest'
import type { DecodedBatch } from '../../datasets/log/event-json.ts'
import { randomStream } from '../../datasets/random/random.ts'
import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import { emptyBatch, FRAUD_LABEL, HOUR, type EventBatch } from '../../datasets/table/transaction.ts'
import { decodeState, encodeState } from '../fold/entity-state.ts'
import { ServiceFold } from '../fold/service-fold.ts'
import { cardFraud } from '../view/card-fraud.ts'
import { removeDuplicates } from './duplicates.ts'

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
  const batch: EventBatch = emptyBatch(
    { id: 'string', entities: schema.entities, numeric: 0, categorical: 0 },
    events.length,
  )
  events.forEach(({ id, time, customer, terminal, label }, row) => {
    batch.kind[row] = label ? FRAUD_LABEL : 0
    batch.ids[row] = id
    batch.time[row] = time
    batch.amount[row] = label ? 0 : 1000 + id.length
    batch.entities[0][row] = customer
    batch.entities[1][row] = terminal
  })
  return { events: batch, index: Uint32Array.from(events, (_, row) => row), rejected: [] }
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
  const alone = new ServiceFold(cardFraud, schema)
  for (let from = 0; from < log.length;) {
    const events = log.slice(from, from + 1 + random.integer(60))
    from += events.length
    const batch = decoded(events)
    fold.prepare(batch.events)
    removeDuplicates(batch, fold)
    expect(batch.rejected.map(({ index, kind }) => ({ index, kind }))).toEqual(
      events.flatMap(({ again }, index) => (again ? [{ index, kind: 'duplicate' }] : [])),
    )
    const kept = events.map((_, row) => row).filter((row) => !events[row].again)
    expect([...batch.index.subarray(0, batch.events.size)]).toEqual(kept)
    const [got, wanted] = [fold.fold(batch.events), alone.fold(decoded(kept.map((row) => events[row])).events)]
    expect(got.rows).toBe(wanted.rows)
    const values = got.rows * fold.names.length
    expect(got.values.subarray(0, values)).toEqual(wanted.values.subarray(0, values))
    if (random.uniform() < 0.3) fold = restarted(fold)
  }
  expect(log.filter(({ again }) => again).length).toBeGreaterThan(50)
})
