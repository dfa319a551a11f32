import { expect, test } from 'vitest'
import type { DatasetSchema } from '../datasets/table/dataset.ts'
import { compoundKeys } from '../datasets/table/key.ts'
import { DAY } from '../datasets/table/transaction.ts'
import { atOnce } from '../datasets/testing/scheduler.ts'
import { askableEntities, withCompounds, type AskedKeys } from './asked-keys.ts'
import { statesOf } from './backfill/backfill.ts'
import { ServiceFold } from './fold/service-fold.ts'
import { onlineRows } from './online.ts'
import { MemoryServer, openMemoryStore } from './testing/memory-store.ts'
import { eventBatch, SMALL_SCHEMA } from './testing/small-log.ts'
import type { FeatureService } from './view/view.ts'

const schema: DatasetSchema = {
  ...SMALL_SCHEMA,
  entities: [...SMALL_SCHEMA.entities, { name: 'pair', of: ['terminal', 'customer'] }],
}
const viewOf = (entity: string): FeatureService['views'][number] => ({
  kind: 'aggregate',
  name: entity,
  entity,
  includesCurrent: true,
  features: [{ name: `${entity}_count`, function: 'count', window: { length: DAY } }],
})
const service: FeatureService = { name: 's', description: '', views: [viewOf('customer'), viewOf('pair')] }

const log = Array.from({ length: 30 }, (_, id) => ({
  id,
  time: id * 60_000,
  amount: 100,
  label: false,
  customer: id % 2,
  terminal: id % 3,
}))

test('a row that has the parts of an entity of several columns asks for it, too', async () => {
  const asked: AskedKeys[] = [{ customer: '1', terminal: '2' }, { customer: '0' }, { pair: '[2,0]', terminal: '1' }]
  const rows = withCompounds(service, schema, asked)
  expect(askableEntities(service, schema)).toEqual(['customer', 'pair', 'terminal'])
  expect(rows).toEqual([{ customer: '1', pair: '[2,1]' }, { customer: '0' }, { pair: '[2,0]', terminal: '1' }])
  expect(withCompounds(service, undefined, asked)).toEqual(asked)

  const batch = eventBatch(
    log.map((event) => ({ ...event, pair: '' })),
    schema,
  )
  const fill = compoundKeys(schema)
  for (let row = 0; row < batch.size; row++) fill(batch.entities, row)
  const fold = new ServiceFold(service, schema)
  fold.fold(batch)
  const store = openMemoryStore(new MemoryServer(), atOnce)
  const base = { service: 's', serviceDigest: 'd', watermark: log[29].time, minorUnits: 2, schema }
  await store.publish(base, statesOf(fold))
  const state = await store.group('s', { group: 'g', topic: 't', partition: 0 })
  const found = await onlineRows(service, rows.slice(0, 2), async () => state)
  expect(found.rows.map(({ features }) => features)).toEqual([
    { customer_count: 15, pair_count: 5 },
    { customer_count: 15 },
  ])
})
