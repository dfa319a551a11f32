import { expect, test } from 'vitest'
import { randomStream, type Random } from '../../datasets/random/random.ts'
import { subset } from '../../features/backfill/training-set.ts'
import { modelScores, toOnnx } from '../fit/fitted-model.ts'
import { Pruned } from '../fit/report.ts'
import { averagePrecision } from '../metrics/metrics.ts'
import { expectParity, verifyOnnx } from '../testing/parity.ts'
import { plantedSet } from '../testing/planted-set.ts'
import type { Trees } from '../trees/tree.ts'
import { fitIsolation, isolation, isolationParams, searchDepth } from './isolation.ts'

const proceed = () => true

/** A tree grown in the plain way on the same draws: by recursion, with rows as arrays. */
type Naive = { value: number } | { feature: number; threshold: number; sides: [Naive, Naive] }

function growNaive(
  rows: number[][],
  depth: number,
  limit: number,
  norm: number,
  order: number[],
  random: Random,
): Naive {
  const leaf = { value: Math.fround(-(depth + searchDepth(rows.length)) / norm) }
  if (depth === limit || rows.length === 1) return leaf
  for (let i = 0; i < order.length; i++) {
    const other = i + random.integer(order.length - i)
    ;[order[i], order[other]] = [order[other], order[i]]
    const feature = order[i]
    const present = rows.map((row) => row[feature]).filter((value) => !Number.isNaN(value))
    const [least, greatest] = [Math.min(...present), Math.max(...present)]
    if (present.length === 0 || (least === greatest && present.length === rows.length)) continue
    const drawn = Math.fround(least + (greatest - least) * random.uniform())
    const threshold = drawn < greatest ? drawn : least
    const goesLeft = (row: number[]): boolean => row[feature] <= threshold
    const left = growNaive(rows.filter(goesLeft), depth + 1, limit, norm, order, random)
    return {
      feature,
      threshold,
      sides: [
        left,
        growNaive(
          rows.filter((row) => !goesLeft(row)),
          depth + 1,
          limit,
          norm,
          order,
          random,
        ),
      ],
    }
  }
  return leaf
}

function read(trees: Trees, node: number): Naive {
  if (trees.feature[node] < 0) return { value: trees.value[node] }
  return {
    feature: trees.feature[node],
    threshold: trees.threshold[node],
    sides: [read(trees, trees.left[node]), read(trees, trees.left[node] + 1)],
  }
}

test.each([0, 0.3])(
  'trees are those of the plain recursion on the same draws, with %d of the numbers missing',
  async (missing) => {
    const set = plantedSet({ rows: 300, features: 4, frauds: 10, missing }, 1)
    const trees = await fitIsolation(set.x, 4, isolationParams.parse({ trees: 20, sample_size: 64 }), 9, proceed)
    for (const [tree, root] of trees.roots.entries()) {
      const random = randomStream(9, tree + 1)
      const drawn: number[] = []
      for (let last = 300 - 64; last < 300; last++) {
        const row = random.integer(last + 1)
        drawn.push(drawn.includes(row) ? last : row)
      }
      const rows = drawn.map((row) => [...set.x.subarray(row * 4, row * 4 + 4)])
      expect(read(trees, root)).toEqual(growNaive(rows, 0, 6, searchDepth(64), [0, 1, 2, 3], random))
    }
  },
)

test.each([{ missing: 0 }, { missing: 0.2 }, { categories: 30 }, { missing: 0.2, categories: 300 }])(
  'ONNX Runtime gives the scores to 1e-6: %j',
  async (extra) => {
    const set = plantedSet({ rows: 4000, features: 6, frauds: 60, ...extra }, 2)
    const model = await isolation.fit(set, isolation.params({}), 1, proceed)
    expectParity(await verifyOnnx(model, toOnnx(model), set))
    const wild = plantedSet({ rows: 1000, features: 6, frauds: 60, ...extra, missing: 0.5 }, 3)
    wild.x.set([Infinity, -Infinity, -0, 3.4e38, Number.NaN, 0])
    expectParity(await verifyOnnx(model, toOnnx(model), wild))
    const scores = modelScores(model, set.x, set.categorical)
    expect(Math.min(...scores)).toBeGreaterThan(0.3)
    expect(Math.max(...scores)).toBeLessThan(1)
  },
)

test('what lies far out scores highest, and what is rare among categories', async () => {
  const set = plantedSet({ rows: 5000, features: 3, frauds: 20, categories: 4 }, 4)
  set.y.forEach((fraud, row) => fraud === 1 && set.x.fill(12, row * 4, row * 4 + 3))
  const [{ names }] = set.categorical
  const rare = names.push('rare') - 1
  for (let row = 0; row < 5; row++) set.x[4 * row * 900 + 3] = rare
  const model = await isolation.fit(set, isolation.params({ sample_size: 2048 }), 1, proceed)
  expect(averagePrecision(modelScores(model, set.x, set.categorical), set.y)).toBeGreaterThan(0.95)
  const [usual, seldom] = modelScores(model, Float32Array.of(0, 0, 0, 0, 0, 0, 0, 1), [
    { feature: 3, names: [names[0], names[rare]] },
  ])
  expect(seldom).toBeGreaterThan(usual)
})

test('labels are not looked at; the same seed gives the same bytes, another seed others', async () => {
  const set = plantedSet({ rows: 500, features: 3, frauds: 20, categories: 5 }, 5)
  const fit = async (y: Uint8Array, seed: number) =>
    toOnnx(await isolation.fit({ ...set, y }, isolation.params({ trees: 10 }), seed, proceed))
  const bytes = await fit(set.y, 1)
  expect(await fit(new Uint8Array(500), 1)).toEqual(bytes)
  expect(await fit(set.y, 2)).not.toEqual(bytes)
})

test('tree t does not depend on how many there are', async () => {
  const set = plantedSet({ rows: 500, features: 5, frauds: 20 }, 6)
  const [three, five] = [
    await fitIsolation(set.x, 5, isolationParams.parse({ trees: 3 }), 1, proceed),
    await fitIsolation(set.x, 5, isolationParams.parse({ trees: 5 }), 1, proceed),
  ]
  expect(five.value.slice(0, three.value.length)).toEqual(three.value)
})

test('no row and one row are refused; rows all alike, missing or infinite, score as the middle, one half', async () => {
  const set = plantedSet({ rows: 100, features: 2, frauds: 20 }, 7)
  const fit = (some: typeof set) => isolation.fit(some, isolation.params({ trees: 5 }), 1, proceed)
  await expect(fit(subset(set, new Int32Array(0)))).rejects.toThrow('there are no rows to fit on')
  await expect(fit(subset(set, Int32Array.of(3)))).rejects.toThrow('there is one to fit on')
  for (const value of [7, Number.NaN, Infinity, -Infinity]) {
    const model = await fit({ ...set, x: new Float32Array(200).fill(value) })
    expect(new Set(modelScores(model, set.x, set.categorical))).toEqual(new Set([0.5]))
  }
  const infinite = await fit({
    ...set,
    x: set.x.map((value, at) => (at % 7 === 0 ? Infinity : at % 11 === 0 ? -Infinity : value)),
  })
  expect(modelScores(infinite, set.x).every((score) => score > 0 && score < 1)).toBe(true)
  expect(infinite.trees.threshold.every(Number.isFinite)).toBe(true)
})

test('reports come a tree and may prune', async () => {
  const set = plantedSet({ rows: 100, features: 2, frauds: 20 }, 8)
  const rounds: number[] = []
  const pruned = await isolation
    .fit(set, isolation.params({ trees: 9 }), 1, (round) => rounds.push(round) < 4)
    .catch((error: unknown) => error)
  expect(pruned).toBeInstanceOf(Pruned)
  expect(rounds).toEqual([1, 2, 3, 4])
})
