import { expect, test } from 'vitest'
import type { Frame } from '../../datasets/frame/frame.ts'
import { randomStream } from '../../datasets/random/random.ts'
import { batchShape, type Dataset, type DatasetSchema } from '../../datasets/table/dataset.ts'
import { compoundKeys } from '../../datasets/table/key.ts'
import { emptyBatch, HOUR, LOOKUP, TRANSACTION, type EventBatch } from '../../datasets/table/transaction.ts'
import { backfill } from '../backfill/backfill.ts'
import {
  categorical,
  count,
  derived,
  distinct,
  isNew,
  max,
  mean,
  request,
  secondsSincePrevious,
  service as serviceOf,
  shareSame,
  std,
  targetMean,
  view,
} from '../definition/builders.ts'
import { featureNames } from '../view/view.ts'
import { joinFeatures } from './join.ts'

const schema: DatasetSchema = {
  id: { column: 'id', type: 'integer' },
  time: { column: 'time', unit: 'ms' },
  amount: { column: 'amount', minorUnits: 2 },
  label: { column: 'fraud', knownAt: 'known' },
  entities: [
    { name: 'card', column: 'card', type: 'integer' },
    { name: 'shop', column: 'shop', type: 'string', optional: true },
    { name: 'card_shop', of: ['card', 'shop'] },
  ],
  numeric: ['age'],
  categorical: ['country'],
}

const windowed = { includesCurrent: false }
const service = serviceOf('s', '', [
  request({ hour: 'hour(time, "Europe/Berlin")', euros: 'amount', old: 'age > 40.0', country: categorical('country') }),
  view(
    'card',
    { ...windowed, entity: 'card' },
    {
      n: count('1d'),
      large: count('2d', { where: 'amount > 40.0 && country != "CH"' }),
      usual: mean('amount', '3d'),
      spread: std('amount', '3d'),
      oldest: max('age', '1d'),
      shops: distinct('shop', '2d'),
      moved: isNew('country', '2d'),
    },
  ),
  view(
    'shop',
    { ...windowed, entity: 'shop' },
    { risk: targetMean('3d', { prior: 0.1, weight: 3 }), since: secondsSincePrevious() },
  ),
  view('card_shop', { ...windowed, entity: 'card_shop' }, { pair: count('4d'), same: shareSame('country', '4d') }),
  derived({ times_usual: 'euros / max(usual, 1.0)', busy: 'n + pair > 3.0' }),
])
const names = featureNames(service)

interface Purchase {
  id: number
  time: number
  amount: number
  card: number
  shop: string
  age: number
  country: string
  fraud: boolean
  knownAt: number
}

function makePurchases(seed: number, size: number): Purchase[] {
  const random = randomStream(seed)
  let time = Date.UTC(2018, 3, 1)
  return Array.from({ length: size }, (_, id) => {
    if (random.uniform() < 0.7) time += random.integer(4) * HOUR
    return {
      id,
      time,
      amount: random.integer(9000),
      card: random.integer(4),
      shop: ['', 'a', 'b'][random.integer(3)],
      age: random.integer(3) === 0 ? Number.NaN : random.integer(80),
      country: ['', 'CH', 'FR'][random.integer(3)],
      fraud: random.uniform() < 0.3,
      knownAt: time + random.integer(30) * HOUR,
    }
  })
}

function batchOf(rows: readonly Purchase[], kind: number): EventBatch {
  const batch = emptyBatch(batchShape(schema), rows.length)
  const fill = compoundKeys(schema)
  for (const [row, given] of rows.entries()) {
    batch.kind[row] = kind
    batch.ids[row] = given.id
    batch.time[row] = given.time
    batch.amount[row] = given.amount
    batch.entities[0][row] = given.card
    batch.entities[1][row] = given.shop
    batch.numeric[0][row] = given.age
    batch.categorical[0][row] = given.country
    batch.label[row] = Number(given.fraud)
    batch.knownAt[row] = given.knownAt
    fill(batch.entities, row)
  }
  return batch
}

function datasetOf(purchases: readonly Purchase[]): Dataset {
  return {
    name: 'd',
    description: '',
    schema,
    service: 's',
    split: { kind: 'ordered', trainShare: 0.7 },
    file: 'd.csv',
    digest: async () => '',
    count: async () => purchases.length,
    async *batches() {
      for (let from = 0; from < purchases.length; from += 32)
        yield batchOf(purchases.slice(from, from + 32), TRANSACTION)
    },
  }
}

/** The features of each transaction by its id, as a backfill computes them. */
async function backfilled(purchases: readonly Purchase[]): Promise<Map<number, number[]>> {
  const rows = new Map<number, number[]>()
  const write = ({ kind, ids, size }: EventBatch, { values }: { values: Float64Array }): void => {
    const transactions = Array.from({ length: size }, (_, row) => row).filter((row) => kind[row] === TRANSACTION)
    for (const [k, row] of transactions.entries())
      rows.set(Number(ids[row]), [...values.subarray(k * names.length, (k + 1) * names.length)])
  }
  await backfill(datasetOf(purchases), service, [{ write, close: async () => {} }])
  return rows
}

test.each([1, 2])('a row finds what it would find if it were a transaction of the file, seed %i', async (seed) => {
  const purchases = makePurchases(seed, 150)
  const asked = makePurchases(seed + 10, 150)
    .filter((_, row) => row % 9 === 0)
    .map((row, n): Purchase => ({ ...row, time: n % 2 === 0 ? row.time : purchases[row.id].time, id: 1000 + n }))
  const events = batchOf(asked, LOOKUP)
  const frame: Frame = {
    file: 'f.csv',
    events,
    timed: true,
    identified: false,
    absent: [],
    columns: [],
    sql: '',
    unchanged: () => {},
  }
  const { values, categories } = await joinFeatures(datasetOf(purchases), service, frame)
  for (const [row, question] of asked.entries()) {
    const place = purchases.findIndex(({ time }) => time >= question.time)
    const at = place === -1 ? purchases.length : place
    const rows = await backfilled([...purchases.slice(0, at), question, ...purchases.slice(at)])
    const found = [...values.subarray(row * names.length, (row + 1) * names.length)]
    expect(Object.fromEntries(names.map((name, f) => [name, found[f]]))).toEqual(
      Object.fromEntries(names.map((name, f) => [name, rows.get(question.id)?.[f]])),
    )
    expect(categories[0][row]).toBe(question.country)
  }
  const have = names.filter((_, f) => asked.some((_row, row) => values[row * names.length + f] > 0))
  expect(have).toEqual(names)
})
