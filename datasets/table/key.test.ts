import { expect, test } from 'vitest'
import { columnEntities, mayLackKey, partsOf, type DatasetSchema } from './dataset.ts'
import { compoundKeys, isWholeKey, keyFault, LONGEST_COMPOUND, textFault } from './key.ts'

test.each([
  ['', /empty/],
  [' 7', /blanks/],
  ['7 ', /blanks/],
  ['\u00a07', /blanks/],
  ['x'.repeat(257), /256/],
  ['\ud800', /surrogate/],
  ['a\udc00b', /surrogate/],
])('%j is no key', (text, reason) => {
  expect(keyFault(text)).toMatch(reason)
})

test.each(['7', 'a b', 'x'.repeat(256), '😀', '__proto__', '\u0000'])('%j is a key', (text) => {
  expect(keyFault(text)).toBeUndefined()
})

test('a category may be empty and have blanks at its ends', () => {
  expect(['', ' a '].map(textFault)).toEqual([undefined, undefined])
})

test('whole numbers from 0 to 2^53 − 1 are keys, and −0 is none', () => {
  expect([0, 7, 2 ** 53 - 1].every(isWholeKey)).toBe(true)
  expect([-1, -0, 1.5, 2 ** 53, Number.NaN, Infinity, '7', null].some(isWholeKey)).toBe(false)
})

const { entities }: Pick<DatasetSchema, 'entities'> = {
  entities: [
    { name: 'card', column: 'CARD', type: 'string' },
    { name: 'shop_card', of: ['shop', 'card'] },
    { name: 'shop', column: 'SHOP', type: 'integer', optional: true },
    { name: 'device', column: 'DEVICE', type: 'string' },
    { name: 'card_device', of: ['card', 'device'] },
  ],
}
const [, shopCard, , , cardDevice] = entities
const NO_SHOP = Number.NaN

test('a key of several columns is the JSON of their keys, in the order of `of`, and none where one is missing', () => {
  const cards = ['c', '"', 'c","d', 'c', 'c']
  const shops = Float64Array.of(7, 7, 7, NO_SHOP, 9_007_199_254_740_991)
  const devices = ['d', ',"', 'd', '', '1']
  const keys = [cards, new Array<string>(5).fill('old'), shops, devices, new Array<string>(5).fill('old')]
  const fill = compoundKeys({ entities })
  for (let row = 0; row < 5; row++) expect(fill(keys, row)).toBeUndefined()
  expect(keys[1]).toEqual(['[7,"c"]', '[7,"\\""]', '[7,"c\\",\\"d"]', '', '[9007199254740991,"c"]'])
  expect(keys[4]).toEqual(['["c","d"]', '["\\"",",\\""]', '["c\\",\\"d","d"]', '', '["c","1"]'])
  expect(cards).toEqual(['c', '"', 'c","d', 'c', 'c'])
})

test('a key that a store could not take is refused by its longest part', () => {
  const room = LONGEST_COMPOUND - '["",""]'.length
  const fill = compoundKeys({ entities })
  const filled = (card: string, device: string): unknown =>
    fill([[card], [''], Float64Array.of(NO_SHOP), [device], ['']], 0)
  expect(filled('a'.repeat(4), 'b'.repeat(room - 4))).toBeUndefined()
  expect(filled('a'.repeat(4), 'b'.repeat(room - 3))).toMatchObject({ entity: 'card_device', column: 'DEVICE' })
  expect(filled('€'.repeat(Math.ceil(room / 3)), 'b')).toMatchObject({ entity: 'card_device', column: 'CARD' })
})

test('an entity’s columns are its own, or its parts’; it may lack a key where a part may', () => {
  expect(columnEntities({ entities }).map(({ index }) => index)).toEqual([0, 2, 3])
  expect(partsOf({ entities }, shopCard).map(({ entity }) => entity.column)).toEqual(['SHOP', 'CARD'])
  expect(entities.map((entity) => mayLackKey({ entities }, entity))).toEqual([false, true, true, false, false])
  expect(partsOf({ entities }, cardDevice).map(({ index }) => index)).toEqual([0, 3])
})
