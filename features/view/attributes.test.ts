import { expect, test } from 'vitest'
import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import { emptyBatch } from '../../datasets/table/transaction.ts'
import { featureService } from '../catalog.ts'
import { categoryCode, vocabulary } from '../fold/category.ts'
import { ServiceFold } from '../fold/service-fold.ts'
import { categoricalFeatures, serviceDigest } from './view.ts'

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
  expect(categoricalFeatures(service)).toEqual([2])
})

test('another schema is another definition', () => {
  const other = { ...schema, numeric: ['items', 'weight'] }
  expect(serviceDigest(featureService('attributes', other))).not.toBe(
    serviceDigest(featureService('attributes', schema)),
  )
  expect(() => featureService('attributes')).toThrow(/it has no definition without one/)
})

test('category codes are whole numbers a float32 holds, the same in every process', () => {
  for (const category of ['', 'CH', 'é', 'x'.repeat(256)]) {
    const code = categoryCode(category)
    expect(Math.fround(code)).toBe(code)
    expect(Number.isInteger(code)).toBe(true)
  }
  expect(categoryCode('')).toBe(0)
  expect(categoryCode('CH')).toBe(14_294_960)
})

test('two categories with one code are found out', () => {
  const watch = vocabulary('country')
  const seen = new Map<number, string>()
  let collision: [string, string] | undefined
  for (let i = 0; collision === undefined; i++) {
    const [category, other] = [`c${i}`, seen.get(categoryCode(`c${i}`))]
    if (other === undefined) seen.set(categoryCode(category), category)
    else collision = [other, category]
  }
  const [first, second] = collision
  watch(first)
  watch(first)
  expect(() => watch(second)).toThrow(new RegExp(`Column country: "${first}" and "${second}" share the code`))
})
