import { expect, test } from 'vitest'
import type { DatasetSchema } from './dataset.ts'
import { otherStream, schemaDifference } from './schema-fit.ts'

const SCHEMA: DatasetSchema = {
  id: { column: 'id', type: 'integer' },
  time: { column: 'at', unit: 's' },
  amount: { column: 'amount', minorUnits: 2 },
  label: { column: 'fraud', delay: 1000 },
  entities: [
    { name: 'card', column: 'card_id', type: 'string' },
    { name: 'shop', column: 'shop_id', type: 'integer' },
  ],
  numeric: ['a', 'b'],
  categorical: ['country'],
}
const { id: _, ...WITHOUT_ID } = SCHEMA
const [card, shop] = SCHEMA.entities

test.each<[string, DatasetSchema]>([
  ['amount', { ...SCHEMA, amount: { column: 'amount', minorUnits: 3 } }],
  ['amount', { ...SCHEMA, amount: { column: 'price', minorUnits: 2 } }],
  ['time', { ...SCHEMA, time: { column: 'at', unit: 'ms' } }],
  ['time', { ...SCHEMA, time: { column: 'at', unit: 's', origin: 1 } }],
  ['id', { ...SCHEMA, id: { column: 'id', type: 'string' } }],
  ['id', WITHOUT_ID],
  ['entities', { ...SCHEMA, entities: [card] }],
  ['entities', { ...SCHEMA, entities: [shop, card] }],
  ['entities', { ...SCHEMA, entities: [{ ...card, type: 'integer' }, shop] }],
  ['entities', { ...SCHEMA, entities: [card, { ...shop, optional: true }] }],
  ['refunds', { ...SCHEMA, refunds: true }],
  ['numeric', { ...SCHEMA, numeric: ['a', 'b', 'c'] }],
  ['decimals', { ...SCHEMA, decimals: { a: 2 } }],
  ['categorical', { ...SCHEMA, categorical: [] }],
  ['missing', { ...SCHEMA, missing: ['NA'] }],
])('records of another %s are of another stream, seen from either side', (role, other) => {
  expect(schemaDifference(SCHEMA, other)).toMatch(new RegExp(`^${role} is .+ and not .+$`))
  expect(schemaDifference(other, SCHEMA)).toMatch(new RegExp(`^${role} is .+ and not .+$`))
})

test.each<[string, DatasetSchema]>([
  ['itself', SCHEMA],
  ['properties in another order', Object.fromEntries(Object.entries(SCHEMA).toReversed()) as unknown as DatasetSchema],
  ['another label', { ...SCHEMA, label: { column: 'chargeback' } }],
  ['an origin of 0', { ...SCHEMA, time: { origin: 0, unit: 's', column: 'at' } }],
  ['attributes in another order', { ...SCHEMA, numeric: ['b', 'a'] }],
  ['a key that every row has, in so many words', { ...SCHEMA, entities: [card, { ...shop, optional: false }] }],
  ['no refunds, in so many words', { ...SCHEMA, refunds: false }],
  ['a card that files give as a number', { ...SCHEMA, entities: [{ ...card, token: true }, shop] }],
])('of one stream: %s', (_name, other) => {
  expect(otherStream('It', SCHEMA, other)).toBeUndefined()
})

test('the refusal says what is other, and what to do', () => {
  const other = { ...SCHEMA, amount: { column: 'amount', minorUnits: 3 } }
  expect(otherStream('Version 2 of "m"', SCHEMA, other)).toMatch(
    /^Version 2 of "m" was trained on .*: amount is .*"minorUnits":3.* and not .*"minorUnits":2.*\. Train it on /,
  )
})
