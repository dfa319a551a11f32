import { expect, test } from 'vitest'
import { profileOf } from '../datasets/profile/profile.ts'
import type { DatasetSchema } from '../datasets/table/dataset.ts'
import { emptyBatch } from '../datasets/table/transaction.ts'
import { profileText } from './commands/datasets-profile.ts'

const SCHEMA: DatasetSchema = {
  time: 'none',
  amount: { column: 'amount', minorUnits: 2 },
  entities: [{ name: 'card', column: 'card', type: 'string' }],
  numeric: [],
  categorical: ['country'],
}

/** The profile of these keys, of which `mostValues` are counted exactly, as `fd datasets describe` prints it. */
async function described(keys: string[], mostValues: number): Promise<string> {
  const batch = emptyBatch({ id: 'integer', entities: SCHEMA.entities, numeric: 0, categorical: 1 }, keys.length)
  for (const [row, key] of keys.entries()) batch.entities[0][row] = batch.categorical[0][row] = key
  batch.size = keys.length
  // oxlint-disable-next-line require-await -- a dataset's batches are asynchronous
  const batches = async function* (): AsyncGenerator<typeof batch> {
    yield batch
  }
  return profileText(await profileOf({ schema: SCHEMA, batches }, mostValues), [])
}

test('more values than are counted are said to be more, and a count that may be too low has its bounds', async () => {
  const keys = [...Array.from({ length: 12 }, (_, i) => `k${i}`), ...Array.from({ length: 50 }, () => 'often')]
  const bounded = await described(keys, 10)
  expect(bounded).toMatch(/card +more than 10 keys, most often often \(50 to 51\)\n/)
  expect(bounded).toMatch(/country +0 +more than 10\b/)
  const whole = await described(keys, 100)
  expect(whole).toMatch(/card +13 keys, most often often \(50\), k0 \(1\), /)
  expect(whole).toMatch(/country +0 +13\b/)
})
