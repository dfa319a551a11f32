import { expect, test } from 'vitest'
import { randomStream } from '../../datasets/random/random.ts'
import { boostingParams, fitBoosting } from '../ensembles/boosting.ts'
import { fitForest, forestParams } from '../ensembles/forest.ts'
import { binTraining } from '../growing/binning.ts'
import { plantedSet } from '../testing/planted-set.ts'
import { createArena } from './arena.ts'
import { collect, createBoard, offer } from './crew-board.ts'
import { openCrew, threadsFor } from './crew.ts'
import { sortFloats } from './float-sort.ts'

const ROWS = 40_000

test.each([1, 2, 3, 4])('%i threads do every row of a loop once, in parts that begin at the grain', async (threads) => {
  const arena = createArena()
  await using crew = await openCrew(arena, threads, 'compiled')
  await crew.joined
  const [sums, rows] = [arena.floats(ROWS), arena.ints(ROWS)]
  rows.forEach((_, row) => {
    rows[row] = row
  })
  for (const [start, end] of [
    [0, ROWS],
    [4096, ROWS - 3],
    [10, 11],
    [5, 5],
  ]) {
    sums.fill(0)
    const parts = crew.run('addLeaf', () => [sums.byteOffset, rows.byteOffset, 2], start, end, { grain: 512 })
    expect(sums.every((sum, row) => sum === (row >= start && row < end ? 2 : 0))).toBe(true)
    expect(parts.length).toBe(threads === 1 ? 1 : Math.max(1, Math.min(2 * threads, Math.floor((end - start) / 1024))))
    expect(parts.every(({ thread }) => thread >= 0 && thread < threads)).toBe(true)
    expect(
      parts.every((part, i) =>
        i === 0 ? part.start === start : part.start === parts[i - 1].end && (part.start - start) % 512 === 0,
      ),
    ).toBe(true)
    expect(parts[parts.length - 1].end).toBe(end)
  }
})

test('what a thread dies of is said, and the crew still ends', async () => {
  const arena = createArena()
  await using crew = await openCrew(arena, 2, 'compiled')
  await crew.joined
  const sums = arena.floats(ROWS)
  // Which thread takes which part is chance. Sooner or later the worker takes one, and its address is out of bounds.
  const runMany = (): void => {
    for (let run = 0; run < 10_000; run++)
      crew.run('addLeaf', (thread) => [sums.byteOffset, thread === 0 ? sums.byteOffset : 2 ** 31, 2], 0, ROWS)
  }
  expect(runMany).toThrow('A thread of the tree kernel failed: memory access out of bounds')
})

test('a part that is taken and never done is not waited for for ever', () => {
  const board = createBoard(2)
  offer(board, 'addLeaf', [[], []], 2, (part) => part)
  expect(() => collect(board, 2, 20)).toThrow('A thread of the tree kernel has not done its part within 0.02 s.')
})

test('threads are as many as asked for or as the machine has, and no more than rows can feed', () => {
  expect([threadsFor(3, 1e6), threadsFor(3, 17_000), threadsFor(3, 100), threadsFor(1, 1e6)]).toEqual([3, 2, 1, 1])
  expect(threadsFor(0, 1e6)).toBeGreaterThan(0)
})

test.each([1, 2])('a fit of %i threads that is pruned ends, and its memory is there for the next', async (threads) => {
  const set = plantedSet({ rows: 20_000, features: 4, frauds: 200 }, 1)
  const bins = binTraining(set.x, 4, set.y)
  const room = (): number => {
    using _scope = bins.arena.scope()
    return bins.arena.bytes(1).byteOffset
  }
  const before = room()
  const prune = (round: number): boolean => round < 3
  await expect(fitBoosting(bins, set.y, boostingParams.parse({ threads }), 0, prune)).rejects.toThrow(
    'Pruned after round 3',
  )
  await expect(fitForest(bins, set.y, forestParams.parse({ threads }), 0, prune)).rejects.toThrow(
    'Pruned after round 3',
  )
  expect(room()).toBe(before)
})

test('arrays of an arena are zero, apart and aligned, also where memory was used before', () => {
  const arena = createArena()
  const outer = arena.bytes(3).fill(7)
  for (let round = 0; round < 2; round++) {
    using _scope = arena.scope()
    const [floats, ints] = [arena.floats(50_000), arena.ints(7)]
    expect(floats.every((value) => value === 0) && ints.every((value) => value === 0)).toBe(true)
    expect([floats.byteOffset % 64, ints.byteOffset % 64]).toEqual([0, 0])
    floats.fill(1)
    ints.fill(2)
    expect([floats[49_999], ints[0], outer[2]]).toEqual([1, 2, 7])
  }
  expect(() => arena.bytes(5e9)).toThrow(
    "The training set needs 4.7 GiB while it is fitted, more than the tree kernel's 4 GiB",
  )
})

test.each([0, 1, 500, 20_000])('%i floats are sorted as the platform sorts them', (count) => {
  const random = randomStream(count)
  const edges = [0, -0, Infinity, -Infinity, 1e-45, -1e-45, 3.4e38, -3.4e38]
  const values = Float32Array.from(
    { length: count },
    (_, i) => edges[i] ?? Math.round(random.normal(0, 1) * 100) * 10 ** (random.integer(60) - 30),
  )
  const expected = values.toSorted()
  expect(sortFloats(values, new Uint32Array(count))).toEqual(expected)
  expect(values).toEqual(expected)
})
