import { expect, test } from 'vitest'
import { randomStream } from '../../datasets/random/random.ts'
import { boosting, forest } from '../ensembles/estimator.ts'
import { fitIsolation, isolationParams } from '../ensembles/isolation.ts'
import { plantedSet } from '../testing/planted-set.ts'
import { plantedRows, type PlantedTrees, plantedTrees } from '../testing/planted-trees.ts'
import { depthOf } from '../testing/tree-depth.ts'
import { treeScorer } from './scorer.ts'
import { treeScores, type Trees } from './tree.ts'

const isolate = (x: Float32Array, features: number, given: object = {}) =>
  fitIsolation(x, features, isolationParams.parse({ trees: 30, ...given }), 1, () => true)

/** Expects of the compiled scorer the scores of the plain walk, to the last bit. */
async function expectScores(trees: Trees, x: Float32Array, features: number): Promise<void> {
  expect((await treeScorer(trees, features))(x)).toEqual(treeScores(trees, x, features))
}

/** Inner nodes of the largest tree. */
function largestOf({ roots, feature }: Trees): number {
  return Math.max(
    ...Array.from(roots, (root, tree) => feature.subarray(root, roots[tree + 1]).filter((by) => by >= 0).length),
  )
}

test.each([
  [1, 0],
  [2, 0.3],
  [7, 0],
  [7, 0.2],
  [40, 0.1],
])(
  'isolation, %d features, %d of the numbers missing: the scores of the plain walk, however many rows',
  async (features, missing) => {
    const set = plantedSet({ rows: 5001, features, frauds: 50, missing }, 1)
    const trees = await isolate(set.x, features)
    expect(new Set(trees.threshold).size).toBeGreaterThan(256)
    const score = await treeScorer(trees, features)
    const whole = treeScores(trees, set.x, features)
    for (const rows of [5001, ...Array.from({ length: 130 }, (_, count) => count), 255, 256, 257])
      expect(score(set.x.subarray(0, rows * features))).toEqual(whole.subarray(0, rows))
  },
)

test.each([boosting, forest])(
  '$name sends missing values to both sides, by trees of 8 levels, of 9, and as deep as they grow',
  async (estimator) => {
    const set = plantedSet({ rows: 6000, features: 5, frauds: 900, missing: 0.2 }, 2)
    for (const [depth, least] of [
      [1, 1],
      [8, 8],
      [9, 9],
      [32, 13],
    ]) {
      const model = await estimator.fit(
        set,
        estimator.params({ max_depth: depth, ...(estimator === boosting && { rounds: 30, min_child_weight: 0 }) }),
        1,
        () => true,
      )
      expect(depthOf(model.trees)).toBeGreaterThanOrEqual(least)
      expect(depthOf(model.trees)).toBeLessThanOrEqual(depth)
      expect(new Set(model.trees.missingLeft)).toEqual(new Set([0, 1]))
      const wild = plantedSet({ rows: 1000, features: 5, frauds: 90, missing: 0.5 }, 3)
      await expectScores(model.trees, wild.x, 5)
      const sums = treeScores(model.trees, wild.x, 5)
      expect(model.margins(wild.x)).toEqual(estimator === forest ? sums.map((sum) => sum / 100) : sums)
    }
  },
)

test('values at a threshold, one float beside it, both zeros and infinities go the same way', async () => {
  const set = plantedSet({ rows: 2000, features: 3, frauds: 50 }, 2)
  set.x.forEach((value, at) => at % 5 === 0 && (set.x[at] = Math.round(value) / 4))
  const trees = await isolate(set.x, 3)
  const bits = [...new Int32Array(trees.threshold.buffer)].flatMap((bit) => [bit - 1, bit, bit + 1])
  const probes = [...new Float32Array(Int32Array.from(bits).buffer), 0, -0, Infinity, -Infinity, Number.NaN, 3.4e38]
  const x = Float32Array.from(
    probes.flatMap((probe, at) => [probe, probes[(at + 7) % probes.length], probes[(at * 5) % probes.length]]),
  )
  await expectScores(trees, x, 3)
})

const SHAPES: [string, PlantedTrees][] = [
  ['a single leaf each', { trees: 3, nodes: 0, features: 2 }],
  ['a split each', { trees: 5, nodes: 1, features: 1 }],
  ['leaves numbered by 8 bits, all of them', { trees: 20, nodes: 255, features: 12 }],
  ['leaves numbered by 9 bits', { trees: 20, nodes: 256, features: 12 }],
  ['as many nodes as are gone down bit by bit', { trees: 5, nodes: 1024, features: 3 }],
  ['a node more: trees that are walked', { trees: 5, nodes: 1025, features: 3 }],
  ['many nodes', { trees: 3, nodes: 20_000, features: 40 }],
  ['a long branch', { trees: 10, nodes: 60, features: 2, lopsided: true }],
  ['a very long branch', { trees: 4, nodes: 1500, features: 2, lopsided: true }],
]

test.each(SHAPES)('%s, with infinite thresholds and both zeros, and missing values to both sides', async (_, shape) => {
  const random = randomStream(4)
  const trees = plantedTrees(shape, random)
  expect(largestOf(trees)).toBe(shape.nodes)
  await expectScores(trees, plantedRows(500, shape.features, random), shape.features)
})

test('more nodes than share masks: the trees are taken in parts, in order', async () => {
  const random = randomStream(7)
  const trees = plantedTrees({ trees: 160, nodes: 1000, features: 1 }, random)
  await expectScores(trees, plantedRows(500, 1, random), 1)
})

test('NaN of any bits is missing; an infinity is not', async () => {
  const random = randomStream(5)
  const trees = plantedTrees({ trees: 20, nodes: 30, features: 1 }, random)
  const x = new Float32Array(
    Int32Array.of(0x7f800000, 0x7f800001, 0x7fffffff, 0x7fc00000, -0x800000, -0x7fffff, -1, -0x400000).buffer,
  )
  const scores = (await treeScorer(trees, 1))(x)
  expect(scores).toEqual(treeScores(trees, x, 1))
  expect(new Set(scores).size).toBe(3)
})

test('some of the trees score by themselves, and scorers do not disturb each other', async () => {
  const random = randomStream(6)
  const trees = plantedTrees({ trees: 9, nodes: 20, features: 4 }, random)
  const some = { ...trees, roots: Int32Array.of(trees.roots[7], trees.roots[2]) }
  const x = plantedRows(300, 4, random)
  const [all, two] = [await treeScorer(trees, 4), await treeScorer(some, 4)]
  for (let round = 0; round < 2; round++) {
    expect(all(x)).toEqual(treeScores(trees, x, 4))
    expect(two(x)).toEqual(treeScores(some, x, 4))
  }
})
