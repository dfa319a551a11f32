import { expect, test } from 'vitest'
import { randomStream } from '../random/random.ts'
import { amountFault, toDecimal, toMinorUnits } from './amount.ts'

test.each([
  [0, 2, 0],
  [-0, 2, 0],
  [149.62, 2, 14962],
  [0.1 + 0.2, 2, 30],
  [1.005, 3, 1005],
  [7, 0, 7],
  [687_194_767.36, 2, 68_719_476_736],
])('%d with %i decimals is %i minor units', (major, decimals, minor) => {
  expect(toMinorUnits(major, decimals)).toBe(minor)
})

test.each([
  [-1e-9, 2, 'out of bounds'],
  [-1, 2, 'out of bounds'],
  [687_194_767.37, 2, 'out of bounds'],
  [1e300, 2, 'out of bounds'],
  [1.005, 2, 'too many decimals'],
  [0.5, 0, 'too many decimals'],
  [Number.NaN, 2, 'no number'],
  [Infinity, 2, 'no number'],
  [-Infinity, 2, 'no number'],
] as const)('%d with %i decimals is no amount: %s', (major, decimals, fault) => {
  expect(toMinorUnits(major, decimals)).toBeNaN()
  expect(amountFault(major, decimals)).toBe(fault)
})

test.each([
  [-0, 0],
  [-1e-9, 0],
  [-149.62, -14962],
  [149.62, 14962],
  [-687_194_767.36, -68_719_476_736],
])('where there are refunds, %d is %i minor units', (major, minor) => {
  expect(toMinorUnits(major, 2, true)).toBe(minor)
})

test.each([
  [-687_194_767.37, 'out of bounds'],
  [687_194_767.37, 'out of bounds'],
  [-1.005, 'too many decimals'],
  [-Infinity, 'no number'],
] as const)('where there are refunds, %d is no amount all the same: %s', (major, fault) => {
  expect(toMinorUnits(major, 2, true)).toBeNaN()
  expect(amountFault(major, 2, true)).toBe(fault)
})

test.each([0, 1, 2, 3, 6])('every amount of %i decimals is read back from its text', (decimals) => {
  const random = randomStream(7, decimals)
  for (let i = 0; i < 20_000; i++) {
    const minor = Math.floor(random.uniform() * 2 ** (1 + random.integer(33)))
    expect(toMinorUnits(Number((minor / 10 ** decimals).toFixed(decimals)), decimals)).toBe(minor)
  }
})

test.each([0, 1, 2, 3, 6])(
  'a number of %i decimals is the float nearest to its text, and whole in its last place',
  (d) => {
    const random = randomStream(8, d)
    for (let i = 0; i < 5_000; i++) {
      const minor = Math.floor((random.uniform() - 0.5) * 2 ** (1 + random.integer(33)))
      const number = toDecimal(minor / 10 ** d + (random.uniform() - 0.5) * 1e-12, d)
      expect(number).toBe(Number((minor / 10 ** d).toFixed(d)) + 0)
      expect(Math.round(number * 10 ** d) + 0).toBe(minor + 0)
    }
    expect(Object.is(toDecimal(-0, d), 0)).toBe(true)
  },
)
