import { expect, test } from 'vitest'
import { isWholeKey, keyFault, textFault } from './key.ts'

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
