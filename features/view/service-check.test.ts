import { expect, test } from 'vitest'
import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import { DAY } from '../../datasets/table/transaction.ts'
import type { AggregateFeature, Aggregation } from './aggregation.ts'
import { checkService } from './service-check.ts'

const schema: DatasetSchema = {
  time: { column: 'at', unit: 'ms' },
  amount: { column: 'price', minorUnits: 2 },
  entities: [{ name: 'card', column: 'card', type: 'string' }],
  numeric: ['weight', 'score'],
  decimals: { weight: 3 },
  categorical: ['shop'],
}
const window = { length: DAY }

function check(aggregation: Aggregation & { where?: string }): () => void {
  const feature: AggregateFeature = { name: 'f', ...aggregation }
  const view = { kind: 'aggregate' as const, name: 'v', entity: 'card', includesCurrent: true, features: [feature] }
  return () => checkService({ name: 's', description: '', views: [view] }, schema, 'shop')
}

test('a function reads a column that the dataset has, and sums one that declares its decimals', () => {
  const fits: (Aggregation & { where?: string })[] = [
    { function: 'std', of: 'amount', window },
    { function: 'mean', of: 'weight', window },
    { function: 'max', of: 'score', window },
    { function: 'distinct', of: 'shop', window },
    { function: 'is_new', of: 'card', window },
    { function: 'count', window, where: 'shop == "a" && amount > 5' },
  ]
  for (const each of fits) expect(check(each)).not.toThrow()
  const faults: [Aggregation & { where?: string }, RegExp][] = [
    [
      { function: 'sum', of: 'score', window },
      /no decimals of "score".*`numeric: \[\{ column: score, decimals: 2 \}\]`/,
    ],
    [{ function: 'min', of: 'shop', window }, /no numeric column "shop", which min reads/],
    [{ function: 'distinct', of: 'weight', window }, /no categorical column or entity "weight", which distinct reads/],
    [{ function: 'count', window, where: 'shp == "a"' }, /Feature "f" of service "s" on "shop"/],
    [{ function: 'count', window, where: 'amount' }, /a condition is wanted/],
  ]
  for (const [each, message] of faults) expect(check(each)).toThrow(message)
})
