import { expect, test } from 'vitest'
import { randomStream, type Random } from '../random/random.ts'
import { cooperativeAssignment, stickyAssignment, type Holder } from './assignor.ts'

/** Members that each claim some partitions. With `conflicts`, some are claimed twice, or no longer exist. */
function someMembers(random: Random, partitions: number, conflicts: boolean): Holder[] {
  const members = Array.from({ length: 1 + random.integer(4) }, (_, i) => ({
    id: `member-${random.integer(1000)}-${i}`,
    holds: [] as number[],
  }))
  for (let number = 0; number < partitions + (conflicts ? 1 : 0); number++) {
    if (random.uniform() < 0.3) continue
    members[random.integer(members.length)].holds.push(number)
    if (conflicts && random.uniform() < 0.1) members[random.integer(members.length)].holds.push(number)
  }
  return members
}

/** The most partitions that any balanced division leaves where they are, found by trying all divisions. */
function mostKept(members: readonly Holder[], partitions: number): number {
  const sizes = members.map(() => 0)
  const largest = Math.ceil(partitions / members.length)
  const least = Math.floor(partitions / members.length)
  const from = (number: number): number => {
    if (number === partitions) return sizes.every((size) => size >= least) ? 0 : -Infinity
    let best = -Infinity
    for (const [i, { holds }] of members.entries()) {
      if (sizes[i] === largest) continue
      sizes[i]++
      best = Math.max(best, (holds.includes(number) ? 1 : 0) + from(number + 1))
      sizes[i]--
    }
    return best
  }
  return from(0)
}

function expectDivision(shares: ReadonlyMap<string, number[]>, partitions: number): void {
  const sizes = [...shares.values()].map((numbers) => numbers.length)
  expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1)
  expect([...shares.values()].flat().toSorted((a, b) => a - b)).toEqual(
    Array.from({ length: partitions }, (_, number) => number),
  )
}

test(
  'every partition has one owner, ' +
    'shares differ by at most one, ' +
    'and no other division leaves more where it is',
  () => {
    const random = randomStream(3)
    for (let round = 0; round < 300; round++) {
      const partitions = 1 + random.integer(6)
      const members = someMembers(random, partitions, false)
      const shares = stickyAssignment(members, partitions)
      expectDivision(shares, partitions)
      const kept = members.flatMap(({ id, holds }) => holds.filter((number) => shares.get(id)?.includes(number))).length
      expect(kept).toBe(mostKept(members, partitions))
      expect(stickyAssignment(members.toReversed(), partitions)).toEqual(shares)
    }
  },
)

test('what is claimed twice, or is no partition, changes nothing of that', () => {
  const random = randomStream(4)
  for (let round = 0; round < 300; round++) {
    const partitions = 1 + random.integer(40)
    expectDivision(stickyAssignment(someMembers(random, partitions, true), partitions), partitions)
  }
})

test(
  'rounds of giving up and handing over: nobody is given what another has, ' +
    'two rounds are enough, and only what must move moves',
  () => {
    const random = randomStream(5)
    for (let round = 0; round < 300; round++) {
      const partitions = 1 + random.integer(12)
      const start = someMembers(random, partitions, false)
      const target = stickyAssignment(start, partitions)
      let members = start
      for (let step = 0; step < 2; step++) {
        const given = cooperativeAssignment(members, partitions)
        for (const { id } of members) {
          const others = new Set(members.filter((other) => other.id !== id).flatMap(({ holds }) => holds))
          expect(given.get(id)?.filter((number) => others.has(number))).toEqual([])
        }
        members = members.map(({ id }) => ({ id, holds: given.get(id) ?? [] }))
      }
      expect(new Map(members.map(({ id, holds }) => [id, holds.length]))).toEqual(
        new Map([...target].map(([id, numbers]) => [id, numbers.length])),
      )
      expectDivision(new Map(members.map(({ id, holds }) => [id, [...holds]])), partitions)
      const stayed = start.flatMap(({ id, holds }) =>
        holds.filter((number) => members.find((member) => member.id === id)?.holds.includes(number)),
      ).length
      const least = start.flatMap(({ id, holds }) => holds.filter((number) => target.get(id)?.includes(number))).length
      expect(stayed).toBe(least)
    }
  },
)

test('members and partitions of the usual kinds', () => {
  type Case = [members: Holder[], partitions: number, shares: Record<string, number[]>]
  const sticky: Case[] = [
    [[{ id: 'a', holds: [] }], 3, { a: [0, 1, 2] }],
    [
      [
        { id: 'a', holds: [0, 1, 2] },
        { id: 'b', holds: [] },
      ],
      3,
      { a: [0, 1], b: [2] },
    ],
    [
      [
        { id: 'a', holds: [] },
        { id: 'b', holds: [0] },
      ],
      1,
      { a: [], b: [0] },
    ],
  ]
  for (const [members, partitions, shares] of sticky) {
    expect(stickyAssignment(members, partitions)).toEqual(new Map(Object.entries(shares)))
  }
  const cooperative: Case = [
    [
      { id: 'a', holds: [0, 1, 2] },
      { id: 'b', holds: [] },
    ],
    3,
    { a: [0, 1], b: [] },
  ]
  const [members, partitions, shares] = cooperative
  expect(cooperativeAssignment(members, partitions)).toEqual(new Map(Object.entries(shares)))
})
