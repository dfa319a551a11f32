import { expect, test } from 'vitest'
import { randomStream } from '../random/random.ts'
import type { DatasetSchema } from '../table/dataset.ts'
import { emptyBatch, FRAUD_LABEL, logTime, TRANSACTION, UNLABELLED } from '../table/transaction.ts'
import type { EventBatch } from '../table/transaction.ts'
import { inLogOrder } from './log-order.ts'

const schemaOf = (label: DatasetSchema['label']): DatasetSchema => ({
  id: { column: 'id', type: 'integer' },
  time: { column: 't', unit: 'ms' },
  amount: { column: 'a', minorUnits: 2 },
  label,
  entities: [
    { name: 'card', column: 'card', type: 'string' },
    { name: 'shop', column: 'shop', type: 'integer' },
  ],
  numeric: ['x'],
  categorical: ['c'],
})

interface Row {
  id: number
  time: number
  label: number
  knownAt: number
}

function batchOf(rows: Row[], schema: DatasetSchema): EventBatch {
  // One entry more than there are rows: `size` decides, not the length of the arrays.
  const batch = emptyBatch({ id: 'integer', entities: schema.entities, numeric: 1, categorical: 1 }, rows.length + 1)
  for (const [row, { id, time, label, knownAt }] of rows.entries()) {
    batch.ids[row] = id
    batch.time[row] = time
    batch.amount[row] = id * 10
    batch.entities[0][row] = `card ${id % 7}`
    batch.entities[1][row] = id % 5
    batch.numeric[0][row] = id / 4
    batch.categorical[0][row] = `c${id}`
    batch.label[row] = label
    batch.knownAt[row] = knownAt
  }
  return { ...batch, size: rows.length }
}

async function* batchesOf(rows: Row[], schema: DatasetSchema, size: number): AsyncGenerator<EventBatch> {
  for (let from = 0; from < rows.length; from += size) yield batchOf(rows.slice(from, from + size), schema)
}

async function collect(batches: AsyncIterable<EventBatch>): Promise<string[]> {
  const seen: string[] = []
  for await (const batch of batches) {
    for (let row = 0; row < batch.size; row++) {
      const keys = [batch.ids, ...batch.entities].map((column) => column[row])
      const place = [logTime(batch, row), batch.time[row], ...keys].join(' ')
      const attributes = [batch.amount[row], batch.numeric[0][row], batch.categorical[0][row]]
      const values = [...attributes, batch.label[row], batch.knownAt[row]].join(' ')
      seen.push(batch.kind[row] === FRAUD_LABEL ? `label ${place}` : `tx ${place} ${values}`)
    }
  }
  return seen
}

/** The naive twin: sorts all rows of the history by the definition, then cuts. */
function naive(rows: Row[], from = -Infinity, until = Infinity): string[] {
  const events = rows.flatMap((row, index) => {
    const place = `${row.time} ${row.id} card ${row.id % 7} ${row.id % 5}`
    const transaction = {
      at: row.time,
      order: [row.time, 1, index, 0],
      text: `tx ${row.time} ${place} ${row.id * 10} ${row.id / 4} c${row.id} ${row.label} ${row.knownAt}`,
    }
    if (row.label !== 1 || row.knownAt === Infinity) return [transaction]
    const at = Math.max(row.knownAt, row.time)
    // A label known at once stands right after its own row; a later one before the transactions of its instant, by row.
    const order = row.knownAt <= row.time ? [row.time, 1, index, 1] : [at, 0, index, 0]
    return [transaction, { at, order, text: `label ${at} ${place}` }]
  })
  const last = Math.max(...rows.map((row) => row.time).filter((time) => time < until))
  return events
    .toSorted((a, b) => a.order.map((part, index) => part - b.order[index]).find((difference) => difference !== 0) ?? 0)
    .filter((event) => event.at >= from && event.at < until && (until < Infinity || event.at <= last))
    .map((event) => event.text)
}

function history(seed: number, known: (time: number, uniform: () => number) => number): Row[] {
  const random = randomStream(seed)
  let time = 1000
  return Array.from({ length: 300 }, (_, id) => {
    time += random.integer(4)
    const label = random.uniform() < 0.3 ? 1 : random.uniform() < 0.1 ? UNLABELLED : 0
    return { id, time, label, knownAt: label === UNLABELLED ? Infinity : known(time, random.uniform) }
  })
}

const KNOWN: [string, DatasetSchema['label'], (time: number, uniform: () => number) => number][] = [
  ['at once', { column: 'y' }, (time) => time],
  ['after a constant delay', { column: 'y', delay: 20 }, (time) => time + 20],
  [
    'at any instant, before the transaction or never included',
    { column: 'y', knownAt: 'k' },
    (time, uniform) => (uniform() < 0.1 ? Infinity : time + Math.floor(uniform() * 60) - 10),
  ],
]

test.each(KNOWN)('labels known %s stand where sorting all rows puts them', async (_what, label, known) => {
  const schema = schemaOf(label)
  for (let seed = 0; seed < 8; seed++) {
    const rows = history(seed, known)
    for (const size of [1, 7, 64, 1000]) {
      expect(await collect(inLogOrder(batchesOf(rows, schema, size), schema))).toEqual(naive(rows))
      for (const [from, until] of [
        [1100, 1250],
        [undefined, 1200],
        [1300, undefined],
        [900, 5000],
        [5000, undefined],
        [undefined, 10],
      ]) {
        const cut = { ...(from === undefined ? {} : { from }), ...(until === undefined ? {} : { until }) }
        expect(await collect(inLogOrder(batchesOf(rows, schema, size), schema, cut))).toEqual(naive(rows, from, until))
      }
    }
  }
})

test('a batch without a label to merge is passed on, not copied', async () => {
  const schema = schemaOf({ column: 'y', delay: 100 })
  const quiet = batchOf(
    [
      { id: 0, time: 1, label: 1, knownAt: 101 },
      { id: 1, time: 2, label: 0, knownAt: 102 },
    ],
    schema,
  )
  const after = batchOf([{ id: 2, time: 200, label: 0, knownAt: 300 }], schema)
  const out: EventBatch[] = []
  for await (const batch of inLogOrder(
    (async function* () {
      yield quiet
      yield after
    })(),
    schema,
  ))
    out.push(batch)
  expect(out[0]).toBe(quiet)
  expect([...out[1].kind]).toEqual([FRAUD_LABEL, TRANSACTION])
  expect([out[1].ids[0], out[1].knownAt[0], out[1].entities[0][0]]).toEqual([0, 101, 'card 0'])
})

test('reading stops at `until`', async () => {
  const schema = schemaOf({ column: 'y' })
  async function* endless(): AsyncGenerator<EventBatch> {
    for (let id = 0; ; id++) yield batchOf([{ id, time: id, label: 0, knownAt: id }], schema)
  }
  expect(await collect(inLogOrder(endless(), schema, { until: 5 }))).toHaveLength(5)
})
