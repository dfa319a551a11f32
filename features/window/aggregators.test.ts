import { expect, test } from 'vitest'
import { randomStream } from '../../datasets/random/random.ts'
import { BlockExtremes } from './block-extremes.ts'
import { Moments } from './moments.ts'
import { EventRings } from './ring.ts'

const amounts = ({ amount }: EventRings): Float64Array => amount

function emptyRing(): { rings: EventRings; slot: number } {
  const rings = new EventRings({ amount: true, label: false, id: false }, 1 << 20)
  return { rings, slot: rings.addSlot() }
}

test.each([true, false])('the extreme of a long range is in the part that blocks give, highest %s', (highest) => {
  const random = randomStream(1)
  const { rings, slot } = emptyRing()
  const blocks = new BlockExtremes(rings, amounts, highest)
  const extreme = (from: number, to: number): number => {
    const values = Array.from({ length: to - from }, (_, i) => rings.amount[rings.position(slot, from + i)])
    return highest ? Math.max(...values) : Math.min(...values)
  }
  for (let n = 0; n < 2_500; n++) {
    rings.put(slot, n, n, random.integer(1_000_000), 0, 0)
    blocks.written(slot, n)
    // So the ring goes around, and blocks are written anew.
    if (n >= 700) rings.drop(slot, n - 700)
    const [from, to] = [rings.first(slot) + random.integer(50), rings.next(slot) - random.integer(50)]
    const best = blocks.best(slot, from, to)
    expect(best === undefined).toBe(to - from < 256)
    const within = best ?? { from, to }
    expect(extreme(within.from, within.to)).toBe(extreme(from, to))
  }
})

test('the sum of squares of many large amounts is exact, in whatever order they come and go', () => {
  const { rings, slot } = emptyRing()
  const count = 20_000
  const values = Array.from({ length: count }, (_, n) => 9_007_199_254 - n * 3)
  for (const [n, value] of values.entries()) rings.put(slot, n, n, value, 0, 0)
  const [one, other] = [0, 1].map(() => new Moments(rings, amounts, 1, [0], [false], true))
  for (const each of [one, other]) each.grow(1)
  one.enter(slot, 0, 0, count)
  other.enter(slot, 0, count / 2, count)
  other.enter(slot, 0, 0, count / 2)
  const exact = (of: readonly number[]): number => {
    const [n, sum] = [BigInt(of.length), of.reduce((total, value) => total + BigInt(value), 0n)]
    const squares = of.reduce((total, value) => total + BigInt(value) ** 2n, 0n)
    return Math.sqrt(Number(n * squares - sum * sum) / (of.length * (of.length - 1)))
  }
  expect([one, other].map((each) => each.value('std', slot, 0))).toEqual([exact(values), exact(values)])
  one.leave(slot, 0, 0, count - 5)
  expect(one.value('std', slot, 0)).toBe(exact(values.slice(-5)))
})
