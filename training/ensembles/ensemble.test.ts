import { expect, test } from 'vitest'
import { randomStream } from '../../datasets/random/random.ts'
import { fitEncoder } from '../fit/encoder.ts'
import type { Report } from '../fit/report.ts'
import { binTraining, binWith, type Bins } from '../growing/binning.ts'
import { drawRoom, drawRows } from '../growing/row-draw.ts'
import { createArena } from '../kernel/arena.ts'
import type { KernelKind } from '../kernel/module.ts'
import { twinKernel } from '../kernel/twin.ts'
import { averagePrecision } from '../metrics/metrics.ts'
import { plantedSet } from '../testing/planted-set.ts'
import { depthOf } from '../testing/tree-depth.ts'
import { gainImportance, treeScores, type Trees } from '../trees/tree.ts'
import { boostingParams, fitBoosting, sampleSorted } from './boosting.ts'
import { boosting, forest, type FittedTrees } from './estimator.ts'
import { fitForest, forestParams } from './forest.ts'

const proceed: Report = () => true

/**
 * Rows whose fraud rate follows a tree of depth 2: v0 <= 10 ? (v1 <= 5 ? .02 : .3) : (v2 <= 14 ? .6 : .95). v3 means
 * nothing.
 */
function plantedTree(rows: number): { x: Float32Array; y: Uint8Array } {
  const random = randomStream(11)
  const x = Float32Array.from({ length: rows * 4 }, () => random.integer(21))
  const rate = (at: number): number => (x[at] <= 10 ? (x[at + 1] <= 5 ? 0.02 : 0.3) : x[at + 2] <= 14 ? 0.6 : 0.95)
  return { x, y: Uint8Array.from({ length: rows }, (_, row) => (random.uniform() < rate(row * 4) ? 1 : 0)) }
}

/** Splits of a tree of depth 2: root, left, right. */
function splitsOf(trees: Trees, root: number): [feature: number, threshold: number][] {
  return [root, trees.left[root], trees.left[root] + 1].map((node) => [trees.feature[node], trees.threshold[node]])
}

test('a planted tree is recovered split by split, by boosting and by a forest that sees all features', async () => {
  const { x, y } = plantedTree(20_000)
  const bins = binTraining(x, 4, y)
  const planted = [
    [0, 10.5],
    [1, 5.5],
    [2, 14.5],
  ]
  const boosted = await fitBoosting(
    bins,
    y,
    boostingParams.parse({ rounds: 1, max_depth: 2, learning_rate: 1, l2: 0, subsample: 1, colsample: 1 }),
    0,
    proceed,
  )
  expect(splitsOf(boosted, 0)).toEqual(planted)
  const forest = await fitForest(bins, y, forestParams.parse({ trees: 5, max_depth: 2, max_features: 4 }), 0, proceed)
  for (const root of forest.roots) expect(splitsOf(forest, root)).toEqual(planted)
  const leaves = Array.from(forest.value.slice(0, 7))
    .filter((value) => value > 0)
    .sort((a, b) => a - b)
  for (const [i, rate] of [0.02, 0.3, 0.6, 0.95].entries()) expect(Math.abs(leaves[i] - rate)).toBeLessThan(0.03)
})

test('a round at margin 0 steps to 4 (share − ½) in each leaf: the Newton step of the logistic loss', async () => {
  const { x, y } = plantedTree(5000)
  const bins = binTraining(x, 4, y)
  const trees = await fitBoosting(
    bins,
    y,
    boostingParams.parse({ rounds: 1, max_depth: 1, learning_rate: 0.5, l2: 0, subsample: 1, colsample: 1 }),
    0,
    proceed,
  )
  const [feature, cut] = [trees.feature[0], trees.cut[0]]
  for (const side of [0, 1]) {
    const labels = y.filter((_, row) => (bins.columns[feature][row] <= cut ? 0 : 1) === side)
    const share = labels.reduce((a, b) => a + b, 0) / labels.length
    expect(trees.value[trees.left[0] + side]).toBeCloseTo(0.5 * 4 * (share - 0.5), 5)
  }
})

test('a weight of frauds counts each of them so many times', async () => {
  const { x, y } = plantedTree(5000)
  const bins = binTraining(x, 4, y)
  const trees = await fitBoosting(
    bins,
    y,
    boostingParams.parse({
      rounds: 1,
      max_depth: 1,
      learning_rate: 1,
      l2: 0,
      subsample: 1,
      colsample: 1,
      scale_pos_weight: 7,
    }),
    0,
    proceed,
  )
  for (const side of [0, 1]) {
    const labels = y.filter((_, row) => (bins.columns[trees.feature[0]][row] <= trees.cut[0] ? 0 : 1) === side)
    const frauds = 7 * labels.reduce((a, b) => a + b, 0)
    expect(trees.value[trees.left[0] + side]).toBeCloseTo(
      4 * (frauds / (frauds + labels.filter((label) => label === 0).length) - 0.5),
      4,
    )
  }
})

/** How often the score falls and rises as one feature is swept upwards while the other features of a row stay. */
function movesOf(trees: Trees, x: Float32Array, width: number, feature: number): { falls: number; rises: number } {
  const moves = { falls: 0, rises: 0 }
  for (let row = 0; row < 100; row++) {
    const values = Array.from({ length: 60 }, (_, step) => step / 10 - 3)
    const swept = Float32Array.from(
      values.flatMap((value) => Array.from({ length: width }, (_, f) => (f === feature ? value : x[row * width + f]))),
    )
    const scores = treeScores(trees, swept, width)
    for (let step = 1; step < scores.length; step++) {
      if (scores[step] < scores[step - 1]) moves.falls++
      if (scores[step] > scores[step - 1]) moves.rises++
    }
  }
  return moves
}

test.each([0, 6])(
  'a monotone feature moves the score one way only, by depth and by leaf (max_leaves %i)',
  async (leaves) => {
    const set = plantedSet({ rows: 4000, features: 4, frauds: 400 }, 6)
    const bins = binTraining(set.x, 4, set.y)
    const fit = (constraints: Record<string, number>) =>
      fitBoosting(
        bins,
        set.y,
        boostingParams.parse({ rounds: 30, learning_rate: 0.3, max_leaves: leaves, ...constraints }),
        1,
        proceed,
        { names: set.names },
      )
    const [free, up, down] = [
      await fit({}),
      await fit({ 'monotone.v0': 1, 'monotone.v1': -1 }),
      await fit({ 'monotone.v0': -1 }),
    ]
    expect(movesOf(free, set.x, 4, 0).falls).toBeGreaterThan(50)
    expect(movesOf(up, set.x, 4, 0)).toEqual({ falls: 0, rises: expect.any(Number) })
    expect(movesOf(up, set.x, 4, 1).rises).toBe(0)
    expect(movesOf(up, set.x, 4, 0).rises).toBeGreaterThan(50)
    expect(movesOf(down, set.x, 4, 0).rises).toBe(0)
  },
)

test('missing values go where their labels lead', async () => {
  const random = randomStream(12)
  const y = Uint8Array.from({ length: 4000 }, () => (random.uniform() < 0.2 ? 1 : 0))
  // In v0 frauds are high, and in v1 low. In both, frauds are missing more often than not.
  const x = Float32Array.from({ length: 8000 }, (_, at) =>
    random.uniform() < (y[at >> 1] === 1 ? 0.6 : 0.05)
      ? Number.NaN
      : random.normal(y[at >> 1] === 1 ? (at % 2 === 0 ? 2 : -2) : 0, 1),
  )
  const bins = binTraining(x, 2, y)
  const boosted = await fitBoosting(
    bins,
    y,
    boostingParams.parse({ rounds: 1, max_depth: 2, subsample: 1, colsample: 1 }),
    0,
    proceed,
  )
  const grown = await fitForest(bins, y, forestParams.parse({ trees: 1, max_depth: 2, max_features: 2 }), 0, proceed)
  for (const trees of [boosted, grown]) {
    const splits = Array.from(trees.feature.keys()).filter(
      (node) => trees.feature[node] >= 0 && Number.isFinite(trees.threshold[node]),
    )
    expect(splits.length).toBeGreaterThan(1)
    for (const node of splits) expect([node, trees.missingLeft[node]]).toEqual([node, trees.feature[node]])
  }
})

test('half the rounds and then the other half give what all at once give, with and without watched rows', async () => {
  const set = plantedSet({ rows: 3000, features: 5, frauds: 150, missing: 0.1, categories: 20 }, 7)
  for (const [estimator, size] of [
    [boosting, 'rounds'],
    [forest, 'trees'],
  ] as const) {
    const values: number[] = []
    const fit = (count: number, base?: FittedTrees) =>
      estimator.fit(
        set,
        estimator.params({ [size]: count, watch_share: 0.3 }),
        3,
        (_, value) => values.push(value) > 0,
        base,
      )
    const whole = await fit(20)
    const half = await fit(10)
    expect((await fit(10, half)).trees).toEqual(whole.trees)
    expect(values.slice(20)).toEqual(values.slice(0, 20))
    await expect(
      estimator.fit({ ...set, names: set.names.toReversed() }, estimator.params({}), 3, proceed, whole),
    ).rejects.toThrow('reads other features')
    await expect(
      estimator.fit(set, estimator.params({}), 3, proceed, { ...whole, leaves: estimator === forest ? 'sum' : 'mean' }),
    ).rejects.toThrow('of another estimator')
  }
})

test('the out-of-bag score judges each row by the trees that did not draw it', async () => {
  const set = plantedSet({ rows: 1500, features: 4, frauds: 100 }, 8)
  const bins = binTraining(set.x, 4, set.y)
  const values: number[] = []
  const trees = await fitForest(
    bins,
    set.y,
    forestParams.parse({ trees: 7, oob: 1 }),
    4,
    (_, value) => values.push(value) > 0,
  )
  const [votes, count] = [new Float64Array(1500), new Float64Array(1500)]
  trees.roots.forEach((root, tree) => {
    const weight = bootstrap(4, tree + 1, 1500)
    const scores = treeScores({ ...trees, roots: Int32Array.of(root) }, set.x, 4)
    for (let row = 0; row < 1500; row++) {
      if (weight[row] > 0) continue
      votes[row] += scores[row]
      count[row]++
    }
  })
  const judged = Array.from(count.keys()).filter((row) => count[row] > 0)
  const naive = averagePrecision(
    Float32Array.from(judged, (row) => votes[row] / count[row]),
    Uint8Array.from(judged, (row) => set.y[row]),
  )
  expect(values.length).toBe(7)
  expect(values[6]).toBeCloseTo(naive, 6)
  expect(values[6]).toBeGreaterThan(values[0])
})

test(
  'more categories than bins: ' +
    'ranks are binned as numbers are, ' +
    'and a forest without a limit on depth still ends',
  async () => {
    const set = plantedSet({ rows: 6000, features: 1, frauds: 300, categories: 900 }, 13)
    const model = await forest.fit(
      set,
      forest.params({ trees: 3, min_samples_leaf: 1, max_features: 2, min_category_rows: 1 }),
      0,
      proceed,
    )
    expect(model.encoder[0].names.length).toBeGreaterThan(300)
    expect(new Set(model.trees.feature)).toEqual(new Set([-1, 0, 1]))
    expect(depthOf(model.trees)).toBeGreaterThan(12)
  },
)

test(
  'categories are ranked by gradient statistics: sum of gradients over sum of hessians, ' +
    'smoothed, at the overall rate',
  () => {
    const set = plantedSet({ rows: 3000, features: 0, frauds: 300, categories: 30 }, 14)
    const [{ names, ranks }] = fitEncoder(set, { minRows: 1, unknown: 'missing' })
    const [column] = set.categorical
    const rate = 0.1
    const statistic = names.map((name) => {
      const labels = set.y.filter((_, row) => column.names[set.x[row]] === name)
      const [gradient, hessian] = [
        labels.reduce((sum, label) => sum + rate - label, 0),
        labels.length * rate * (1 - rate),
      ]
      return -gradient / (hessian + 20 * rate * (1 - rate))
    })
    const byStatistic = Array.from(names.keys()).sort((a, b) => statistic[a] - statistic[b])
    expect(byStatistic.every((at, i) => i === 0 || ranks[at] >= ranks[byStatistic[i - 1]])).toBe(true)
  },
)

/**
 * How often each row is drawn for a tree. Each row takes 16 bits of a draw, the lower half first, and compares them
 * with the cumulative Poisson chances of 0, 1, 2 …
 */
function bootstrap(seed: number, tree: number, rows: number): Uint8Array {
  const random = randomStream(seed, tree)
  const halves = Array.from({ length: Math.ceil(rows / 2) }, () => random.integer(2 ** 32)).flatMap((bits) => [
    bits % 65_536,
    Math.floor(bits / 65_536),
  ])
  return Uint8Array.from(halves.slice(0, rows), (half) => {
    let k = 0
    for (let term = Math.exp(-1), sum = term; half / 65_536 >= sum; sum += term) term /= ++k
    return k
  })
}

test('a row is drawn as often as a bootstrap of many rows draws it', () => {
  const weight = bootstrap(1, 1, 100_000)
  for (const [k, chance] of [0.3679, 0.3679, 0.1839, 0.0613].entries())
    expect(weight.filter((drawn) => drawn === k).length / 100_000).toBeCloseTo(chance, 2)
})

/** Gini impurity of some rows times their weight, twice. A split lowers its sum. */
function impurity(rows: number[], y: Uint8Array, weight: Uint8Array): number {
  const [genuine, fraud] = [0, 1].map((label) =>
    rows.reduce((sum, row) => sum + (y[row] === label ? weight[row] : 0), 0),
  )
  return genuine + fraud === 0 ? 0 : genuine + fraud - (genuine ** 2 + fraud ** 2) / (genuine + fraud)
}

/**
 * What is wrong with a node and all nodes below it. Leaves must hold their share of frauds, and a split must be the
 * best of all cuts of all features.
 */
function faults(
  trees: Trees,
  node: number,
  rows: number[],
  bins: Bins,
  y: Uint8Array,
  weight: Uint8Array,
  least: number,
): string[] {
  const weigh = (some: number[]): number => some.reduce((sum, row) => sum + weight[row], 0)
  const part = (feature: number, cut: number): number[][] =>
    [true, false].map((left) => rows.filter((row) => bins.columns[feature][row] <= cut === left))
  const gainOf = (feature: number, cut: number): number => {
    const sides = part(feature, cut)
    return sides.some((side) => weigh(side) < least)
      ? -1
      : impurity(rows, y, weight) - sides.reduce((sum, side) => sum + impurity(side, y, weight), 0)
  }
  const best = Math.max(
    ...bins.cuts.flatMap((cuts, feature) => Array.from(cuts.keys()).map((cut) => gainOf(feature, cut))),
  )
  const [feature, cut] = [trees.feature[node], trees.cut[node]]
  if (feature < 0) {
    const share = weigh(rows.filter((row) => y[row] === 1)) / weigh(rows)
    return [
      ...(Math.abs(trees.value[node] - share) > 1e-6 ? [`leaf ${node}: ${trees.value[node]}, not ${share}`] : []),
      ...(share > 0 && share < 1 && best > -1 ? [`leaf ${node} can gain ${best}`] : []),
    ]
  }
  const wrong = [trees.gain[node], gainOf(feature, cut)]
    .filter((gain) => Math.abs(gain - best) > 1e-9)
    .map((gain) => `node ${node} gains ${gain}, not ${best}`)
  return [
    ...wrong,
    ...part(feature, cut).flatMap((side, index) =>
      faults(trees, trees.left[node] + index, side, bins, y, weight, least),
    ),
  ]
}

test.each([1, 2, 3])('forest trees are exact greedy Gini trees on their bootstrap (seed %i)', async (seed) => {
  const random = randomStream(seed)
  const x = Float32Array.from({ length: 120 * 3 }, () => random.integer(12))
  const y = Uint8Array.from({ length: 120 }, (_, row) => (random.uniform() < x[row * 3] / 15 ? 1 : 0))
  const bins = binTraining(x, 3, y)
  const trees = await fitForest(
    bins,
    y,
    forestParams.parse({ trees: 3, max_features: 3, min_samples_leaf: seed }),
    seed,
    proceed,
  )
  const found = Array.from(trees.roots).flatMap((root, tree) => {
    const weight = bootstrap(seed, tree + 1, 120)
    return faults(
      trees,
      root,
      Array.from({ length: 120 }, (_, row) => row).filter((row) => weight[row] > 0),
      bins,
      y,
      weight,
      seed,
    )
  })
  expect(found).toEqual([])
  expect(trees.feature.length).toBeGreaterThan(30)
})

test('the same seed gives the same trees, another seed others', async () => {
  const set = plantedSet({ rows: 3000, features: 8, frauds: 60 }, 1)
  const bins = binTraining(set.x, 8, set.y)
  for (const fit of [
    (seed: number) => fitBoosting(bins, set.y, boostingParams.parse({ rounds: 10 }), seed, proceed),
    (seed: number) => fitForest(bins, set.y, forestParams.parse({ trees: 10 }), seed, proceed),
  ]) {
    const [one, same, other] = [await fit(7), await fit(7), await fit(8)]
    expect(same).toEqual(one)
    expect(other).not.toEqual(one)
  }
})

test('models do not depend on the number of threads, nor on which kernel is used', async () => {
  const set = plantedSet({ rows: 30_000, features: 9, frauds: 400, missing: 0.05 }, 9)
  const later = plantedSet({ rows: 30_000, features: 9, frauds: 400, missing: 0.05 }, 10)
  const bins = binTraining(set.x, 9, set.y)
  const watch = { bins: binWith(bins, later.x, later.rows), y: later.y }
  const fitAll = async (threads: number, kernel: KernelKind) => {
    const values: number[] = []
    const report: Report = (round, value) => {
      // Gives the workers time to join, since a fit does not wait for them.
      if (round === 1 && threads > 1) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 400)
      return values.push(value) > 0
    }
    const boosted = await fitBoosting(
      bins,
      set.y,
      boostingParams.parse({ rounds: 6, min_child_weight: 1, threads }),
      5,
      report,
      { kernel, watch },
    )
    const grown = await fitForest(bins, set.y, forestParams.parse({ trees: 4, oob: 1, threads }), 5, report, { kernel })
    return [boosted, grown, values]
  }
  const one = await fitAll(1, 'compiled')
  for (const threads of [2, 3]) expect(await fitAll(threads, 'compiled')).toEqual(one)
  for (const threads of [1, 2]) expect(await fitAll(threads, 'twin')).toEqual(one)
})

test('tree t of a forest does not depend on how many there are', async () => {
  const set = plantedSet({ rows: 1000, features: 6, frauds: 40 }, 2)
  const bins = binTraining(set.x, 6, set.y)
  const [three, five] = [
    await fitForest(bins, set.y, forestParams.parse({ trees: 3 }), 1, proceed),
    await fitForest(bins, set.y, forestParams.parse({ trees: 5 }), 1, proceed),
  ]
  expect(five.value.slice(0, three.value.length)).toEqual(three.value)
})

test('reports come a round with the watched average precision, and early stopping keeps the best round', async () => {
  const set = plantedSet({ rows: 4000, features: 6, frauds: 120 }, 3)
  const later = plantedSet({ rows: 4000, features: 6, frauds: 120 }, 4)
  const bins = binTraining(set.x, 6, set.y)
  const watch = { bins: binWith(bins, later.x, later.rows), y: later.y }
  const values: number[] = []
  const params = boostingParams.parse({ rounds: 300, learning_rate: 0.3, early_stopping_rounds: 10, watch_share: 0.5 })
  const trees = await fitBoosting(bins, set.y, params, 0, (round, value) => values.push(value) === round, { watch })
  const best = values.indexOf(Math.max(...values)) + 1
  expect(values.length).toBe(best + 10)
  expect(trees.roots.length).toBe(best)
  expect(averagePrecision(treeScores(trees, later.x, 6), later.y)).toBe(Math.max(...values))
})

test('importance is the share of gain, and finds the features that matter', async () => {
  const { x, y } = plantedTree(5000)
  const trees = await fitForest(
    binTraining(x, 4, y),
    y,
    forestParams.parse({ trees: 10, max_depth: 2, max_features: 4 }),
    0,
    proceed,
  )
  const importance = gainImportance(trees, 4)
  expect(importance.reduce((a, b) => a + b)).toBeCloseTo(1, 12)
  expect(importance[0]).toBeGreaterThan(0.5)
  expect(importance[3]).toBe(0)
})

test(
  'rows are drawn with their share, in front and rising, ' +
    'all others behind them and falling, ' +
    'at least one drawn',
  () => {
    for (const share of [0.8, 0.3, 1e-6]) {
      const arena = createArena()
      const rows = arena.ints(20_001)
      const count = drawRows(
        twinKernel(arena.memory),
        randomStream(3),
        drawRoom(arena, arena.ints(20_001)),
        share,
        rows,
      )
      expect(rows.toSorted()).toEqual(Int32Array.from(rows.keys()))
      expect(
        rows.every((row, at) => at === 0 || at === count || (at < count ? row > rows[at - 1] : row < rows[at - 1])),
      ).toBe(true)
      expect(Math.abs(count / 20_001 - share)).toBeLessThan(0.02)
      expect(count).toBeGreaterThan(0)
    }
  },
)

test('samples are rising, different and as many as asked for', () => {
  const random = randomStream(1)
  const seen = new Float64Array(20)
  for (let i = 0; i < 4000; i++) {
    const sample = sampleSorted(random, 20, 5)
    expect(sample.length === 5 && sample.every((value, at) => at === 0 || value > sample[at - 1])).toBe(true)
    for (const value of sample) seen[value]++
  }
  expect(Math.min(...seen)).toBeGreaterThan(850)
  expect(Math.max(...seen)).toBeLessThan(1150)
  expect(Array.from(sampleSorted(random, 3, 9))).toEqual([0, 1, 2])
})
