import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { eventDecoder } from '../../datasets/log/event-json.ts'
import type { RecordBatch } from '../../datasets/log/event-log.ts'
import { randomStream, type Random } from '../../datasets/random/random.ts'
import { batchShape, type DatasetSchema } from '../../datasets/table/dataset.ts'
import { readTable } from '../../datasets/table/table.ts'
import { emptyBatch, FRAUD_LABEL, type EventBatch } from '../../datasets/table/transaction.ts'
import { BLOCK } from '../expression/term.ts'
import { ServiceFold } from '../fold/service-fold.ts'
import { checkService } from '../view/service-check.ts'
import { featureNames, type DerivedView, type FeatureService, type RequestFeature } from '../view/view.ts'

const schema: DatasetSchema = {
  id: { column: 'id', type: 'integer' },
  time: { column: 'at', unit: 'timestamp' },
  amount: { column: 'price', minorUnits: 2 },
  entities: [
    { name: 'card', column: 'card', type: 'string' },
    { name: 'terminal', column: 'terminal', type: 'integer', optional: true },
  ],
  numeric: ['lat', 'lon', 'V-1'],
  categorical: ['country'],
}

const request = (features: Record<string, string>, more: RequestFeature[] = []): FeatureService['views'][number] => ({
  kind: 'request',
  name: 'transaction',
  features: [
    ...Object.entries(features).map(([name, expression]) => ({ name, from: 'expression' as const, expression })),
    ...more,
  ],
})

const derived = (features: Record<string, string>, name = 'derived'): DerivedView => ({
  kind: 'derived',
  name,
  features: Object.entries(features).map(([name, expression]) => ({ name, expression })),
})

const serviceOf = (...views: FeatureService['views']): FeatureService => ({ name: 'shop', description: '', views })

/** How many of the last 100 events of a card meet a condition. */
const counted = (where?: string): FeatureService['views'][number] => ({
  kind: 'aggregate',
  name: 'cards',
  entity: 'card',
  includesCurrent: true,
  features: [{ name: 'n', function: 'count', window: { last: 100 }, ...(where === undefined ? {} : { where }) }],
})

const shop = serviceOf(
  derived({ half: '1 / 2' }, 'constants'),
  request({ amount: 'amount', abroad: 'country != "DE"', v: 'column("V-1") * 2' }, [
    { name: 'country', from: 'categorical', column: 'country' },
  ]),
  counted(),
  derived({ each: 'amount / n', twice: 'each * 2 + half', often: 'n > 2 && abroad == 1' }),
)

/** Transactions with a label after every fourth, all of one card. */
function batchOf(size: number): EventBatch {
  const batch = emptyBatch(batchShape(schema), size)
  for (let row = 0; row < size; row++) {
    batch.kind[row] = row % 5 === 4 ? FRAUD_LABEL : 0
    batch.ids[row] = row % 5 === 4 ? row - 1 : row
    batch.time[row] = row % 5 === 4 ? row - 1 : row
    batch.amount[row] = batch.kind[row] === FRAUD_LABEL ? 7 : row * 100
    batch.entities[0][row] = 'c'
    batch.categorical[0][row] = ['DE', 'FR', ''][row % 3]
    batch.numeric[2][row] = row % 4 === 0 ? Number.NaN : -row
  }
  return batch
}

test('features by expressions stand in the rows of their transactions, in batches of any size', () => {
  const size = 2 * BLOCK + 100
  const fold = new ServiceFold(shop, schema)
  const { values, rows } = fold.fold(batchOf(size))
  const names = featureNames(shop)
  expect(names).toEqual(['half', 'amount', 'abroad', 'v', 'country', 'n', 'each', 'twice', 'often'])
  expect(rows).toBe(Array.from({ length: size }, (_, row) => row).filter((row) => row % 5 !== 4).length)
  for (let k = 0; k < rows; k++) {
    const row = k + Math.floor(k / 4)
    const abroad = [0, 1, Number.NaN][row % 3]
    const n = Math.min(k + 1, 100)
    const found = Object.fromEntries(names.map((name, f) => [name, values[k * names.length + f]]))
    const { country: _, ...numbers } = found
    expect({ row, ...numbers }).toEqual({
      row,
      half: 0.5,
      amount: row,
      abroad,
      v: row % 4 === 0 ? Number.NaN : -row * 2,
      n,
      each: row / n,
      twice: (row / n) * 2 + 0.5,
      often: n > 2 ? abroad : 0,
    })
  }
})

test.each<[string, FeatureService, string]>([
  [
    'an unknown column',
    serviceOf(request({ x: 'lta > 1' })),
    'Feature "x" of service "shop" on "data": there is no lta',
  ],
  ['a later feature', serviceOf(derived({ a: 'b', b: '1' })), 'b does not stand before this feature'],
  ['itself', serviceOf(derived({ a: 'a + 1' })), 'a does not stand before this feature'],
  ['a category', serviceOf(shop.views[1], derived({ a: 'country' })), 'country is a category'],
  ['a column that is no feature', serviceOf(derived({ a: 'lat' })), 'there is no lat'],
  [
    'a name that cannot be written',
    serviceOf(request({}, [{ name: 'V-1', from: 'numeric', column: 'V-1' }]), derived({ a: 'V-1 * 2' })),
    'there is no V. Did you mean feature("V-1")?',
  ],
  [
    'an unknown column in a condition',
    serviceOf(counted('contry == "DE"')),
    'there is no contry. Did you mean country?',
  ],
  ['a number as a condition', serviceOf(counted('amount')), 'a condition is wanted, such as amount > 100'],
  ['a text', serviceOf(request({ x: 'country' })), 'this is a text; a feature is a number or a condition'],
])('a definition that names %s is refused before anything is computed', (_, service, message) => {
  expect(() => checkService(service, schema, 'data')).toThrow(message)
})

test('a derived feature quotes names that cannot be written', () => {
  const features: RequestFeature[] = [{ name: 'V-1', from: 'numeric', column: 'V-1' }]
  const service = serviceOf(request({}, features), derived({ a: 'feature("V-1") * 2' }))
  checkService(service, schema, 'data')
  expect(new ServiceFold(service, schema).fold(batchOf(2)).values[3]).toBe(-2)
})

test('of a dataset without times, expressions over them are refused', () => {
  const timeless = { ...schema, time: 'none' as const }
  checkService(serviceOf(request({ dear: 'amount > 100' }), derived({ twice: 'dear * 2' })), timeless, 'data')
  const night = serviceOf(request({ night: 'hour(time) < 6' }))
  expect(() => checkService(night, timeless, 'data')).toThrow(
    /the dataset has no times \(`time: none`\)\n\n {2}hour\(time/,
  )
})

const folder = mkdtempSync(join(tmpdir(), 'fd-expressions-'))
afterAll(() => rmSync(folder, { recursive: true }))

const cellsOf = (random: Random): Record<string, string> => {
  const number = (): string =>
    ['', '-0', '0.1', '1e300', '-1e-9', String(random.normal(0, 100)), String(random.integer(90))][random.integer(7)]
  return {
    id: String(random.integer(1e6)),
    at: new Date(Math.floor(random.uniform() * 2e12)).toISOString(),
    price: `${random.integer(1e6)}.${random.integer(100)}`,
    card: ['a', '1', 'ß'][random.integer(3)],
    terminal: ['', '0', '17'][random.integer(3)],
    lat: number(),
    lon: number(),
    'V-1': number(),
    country: ['', 'DE', 'Österreich', 'de'][random.integer(4)],
  }
}

async function fromFile(rows: readonly Record<string, string>[]): Promise<EventBatch> {
  const file = join(folder, 'rows.csv')
  writeFileSync(
    file,
    [Object.keys(rows[0]), ...rows.map((row) => Object.values(row))].map((row) => row.join(';')).join('\n'),
  )
  const batches: EventBatch[] = []
  for await (const batch of readTable(file, schema)) batches.push(structuredClone(batch))
  expect(batches.length).toBe(1)
  return batches[0]
}

/** The same cells as a producer sends them: numbers as numbers of JSON, empty cells as null. */
function fromStream(rows: readonly Record<string, string>[]): EventBatch {
  const texts = new Set(['at', 'card', 'country'])
  const values = rows.map((row) => {
    const fields = Object.entries(row).map(
      ([name, cell]) => `"${name}":${cell === '' ? 'null' : texts.has(name) ? JSON.stringify(cell) : cell}`,
    )
    return Buffer.from(`{${fields.join(',')}}`)
  })
  const ends = values.map((_, i) => values.slice(0, i + 1).reduce((sum, value) => sum + value.length, 0))
  const starts = Uint32Array.from(values, (value, i) => ends[i] - value.length)
  const records: RecordBatch = {
    topic: 'transactions',
    partition: 0,
    size: rows.length,
    offsets: Float64Array.from(rows, (_, i) => i),
    timestamps: new Float64Array(rows.length),
    bytes: Buffer.concat(values),
    keyStart: starts,
    valueStart: starts,
    valueEnd: Uint32Array.from(ends),
  }
  return eventDecoder(schema)(records).events
}

test('the same cells give the same bits through a file and through the stream', async () => {
  const random = randomStream(23)
  const service = serviceOf(
    request({
      hour: 'hour(time, "America/New_York") + weekday(time) / 10',
      km: 'haversine(clamp(lat, -90, 90), lon, 52.5, 13.4)',
      ratio: 'amount / column("V-1")',
      sum: 'lat + lon * 3 - column("V-1")',
      root: 'sqrt(abs(lat)) + log1p(abs(lon))',
      where: 'country in ["DE", "Österreich"] || starts_with(lower(country), "d") && terminal != 0',
      some: 'coalesce(lat, lon, terminal, -1)',
      card: 'card == "1" ? 1 : card > "b" ? 2 : 3',
    }),
    derived({ all: 'hour + km * ratio', any: 'coalesce(sum, root, some)' }),
  )
  const rows = Array.from({ length: 600 }, (_, id) => Object.assign(cellsOf(random), { id: String(id) }))
  const sorted = rows.toSorted((a, b) => (a.at < b.at ? -1 : 1))
  const bits = (batch: EventBatch): bigint[] => {
    const { values, rows } = new ServiceFold(service, schema).fold(batch)
    return [...new BigUint64Array(Float64Array.from(values.subarray(0, rows * featureNames(service).length)).buffer)]
  }
  const [file, stream] = [bits(await fromFile(sorted)), bits(fromStream(sorted))]
  expect(file.length).toBe(600 * 10)
  expect(stream).toEqual(file)
})
