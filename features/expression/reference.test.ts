import { expect, test } from 'vitest'
import { batchShape, type DatasetSchema } from '../../datasets/table/dataset.ts'
import { emptyBatch } from '../../datasets/table/transaction.ts'
import { EventScope } from './event-scope.ts'
import { compile } from './expression.ts'
import { FeatureScope } from './feature-scope.ts'
import { reference } from './reference.ts'

const schema: DatasetSchema = {
  time: { column: 'at', unit: 'timestamp' },
  amount: { column: 'price', minorUnits: 2 },
  entities: [],
  numeric: ['balance', 'lat', 'lon', 'shop_lat', 'shop_lon', 'V-1'],
  categorical: ['country', 'email', 'born'],
}

/** 800.00 from a balance of 200, on Sunday the first of September 2024, half past midnight in Berlin; no email. */
function scope(): EventScope {
  const scope = new EventScope(schema)
  scope.batch = emptyBatch(batchShape(schema), 1)
  scope.batch.amount[0] = 80_000
  scope.batch.time[0] = Date.parse('2024-08-31T22:30:00Z')
  const numbers = [200, 52.52, 13.405, 48.857, 2.352, -4]
  for (const [n, column] of scope.batch.numeric.entries()) column[0] = numbers[n]
  scope.batch.categorical = [['DE'], [''], ['1969-12-31']]
  return scope
}

test('the examples of the reference give what they say, and stand for every form', () => {
  const expected: Record<string, number> = {
    'amount > 500 ? 1 : 0': 1,
    'amount > 500 || country == "FR"': 1,
    'amount > 500 && country == "DE"': 1,
    'country != "DE"': 0,
    'country in ["DE", "FR"]': 1,
    'amount % 100 == 0': 1,
    '!(amount > 500)': 0,
    'hour(time, "Europe/Berlin") < 6': 1,
    'weekday(time) >= 6': 1,
    'day_of_month(time) == 1': 0,
    '(time - timestamp(born)) / 86400000': Date.parse('2024-08-31T22:30:00Z') / 86_400_000 + 1,
    'log1p(amount)': Math.log1p(800),
    'sqrt(amount)': Math.sqrt(800),
    'floor(amount / 100)': 8,
    'abs(amount - 100)': 700,
    'min(amount, 1000)': 800,
    'amount / max(balance, 1)': 4,
    'clamp(amount / balance, 0, 10)': 4,
    'haversine(lat, lon, shop_lat, shop_lon) > 100': 1,
    'coalesce(balance, -1)': 200,
    'is_missing(email)': 1,
    'starts_with(email, "gmail")': Number.NaN,
    'ends_with(email, ".com")': Number.NaN,
    'contains(email, "mail")': Number.NaN,
    'lower(country) == "de"': 1,
    'column("V-1") * 2': -8,
  }
  const examples = reference().map(({ example }) => example)
  const found = examples.flatMap((example) =>
    example.startsWith('feature') ? [] : [[example, compile(example, scope(), example).values(1)[0]]],
  )
  expect(Object.fromEntries(found)).toEqual(expected)

  const features = new FeatureScope([{ name: 'n_1.5h', isCategory: false }], 1)
  features.values = Float64Array.of(5)
  const derived = examples.find((example) => example.startsWith('feature')) ?? ''
  expect(compile(derived, features, derived).values(1)[0]).toBe(6)
})
