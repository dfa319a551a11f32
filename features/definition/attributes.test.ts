import { expect, test } from 'vitest'
import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import { emptyBatch } from '../../datasets/table/transaction.ts'
import { featureService } from '../catalog.ts'
import { ServiceFold } from '../fold/service-fold.ts'
import { categoryCode, formerCategoryCode, isSameCategory } from '../view/category.ts'
import { checkService } from '../view/service-check.ts'
import { categoryColumns, serviceDigest, type FeatureService } from '../view/view.ts'

const schema: DatasetSchema = {
  time: { column: 'at', unit: 'ms' },
  amount: { column: 'price', minorUnits: 2 },
  entities: [],
  numeric: ['items'],
  categorical: ['country'],
}

test('a dataset without history has its own columns as a service', () => {
  const service = featureService('attributes', schema)
  const fold = new ServiceFold(service, schema)
  const batch = emptyBatch({ id: 'integer', entities: [], numeric: 1, categorical: 1 }, 2)
  batch.amount.set([1250, 99])
  batch.numeric[0].set([3, -0])
  batch.categorical[0] = ['CH', '']
  expect(fold.names).toEqual(['price', 'items', 'country'])
  expect([...fold.fold(batch).values.subarray(0, 6)]).toEqual([12.5, 3, categoryCode('CH'), 0.99, 0, 0])
  expect(categoryColumns(service, schema)).toEqual([{ feature: 2, source: 0 }])
})

test('another schema is another definition', () => {
  const other = { ...schema, numeric: ['items', 'weight'] }
  expect(serviceDigest(featureService('attributes', other))).not.toBe(
    serviceDigest(featureService('attributes', schema)),
  )
  expect(() => featureService('attributes')).toThrow(/it has no definition without one/)
})

test('features of refunds ask for a dataset that has some', () => {
  const entities = [{ name: 'card', column: 'card', type: 'string' as const }]
  const service: FeatureService = {
    name: 'paid-back',
    description: '',
    views: [
      {
        kind: 'aggregate',
        name: 'cards',
        entity: 'card',
        includesCurrent: true,
        features: [{ name: 'refunds', function: 'refund_count', window: { last: 5 } }],
      },
    ],
  }
  expect(() => checkService(service, { ...schema, entities, refunds: true }, 'shop')).not.toThrow()
  expect(() => checkService(service, { ...schema, entities }, 'shop')).toThrow(
    /"paid-back" does not fit dataset "shop": it has no refunds \(its schema does not say `refunds: true`\)/,
  )
})

test('category codes are whole numbers that a float64 holds, the same in every process', () => {
  for (const category of ['', 'CH', 'é', 'x'.repeat(256)]) {
    const code = categoryCode(category)
    expect(Number.isSafeInteger(code)).toBe(true)
    expect(code % (1 << 24)).toBe(formerCategoryCode(category))
  }
  expect(categoryCode('')).toBe(0)
  expect(formerCategoryCode('CH')).toBe(14_294_960)
})

test('no two of 200,000 categories share a code, though many share the 24 bits of earlier versions', () => {
  const names = Array.from({ length: 200_000 }, (_, i) => `merchant ${i}`)
  expect(new Set(names.map(categoryCode)).size).toBe(names.length)
  const former = new Map<number, string>()
  const pair = names.flatMap((name) => {
    const other = former.get(formerCategoryCode(name))
    former.set(formerCategoryCode(name), name)
    return other === undefined ? [] : [[other, name]]
  })
  expect(pair.length).toBeGreaterThan(100)
  for (const [one, other] of pair) expect(isSameCategory(categoryCode(one), categoryCode(other))).toBe(false)
})

test('a prediction of an earlier version, which holds the code of 24 bits, is compared by these', () => {
  expect(isSameCategory(categoryCode('CH'), formerCategoryCode('CH'))).toBe(true)
  expect(isSameCategory(categoryCode('CH'), formerCategoryCode('DE'))).toBe(false)
})
