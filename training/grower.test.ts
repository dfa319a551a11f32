import { expect, test } from 'vitest'
import { randomStream } from '../datasets/random.ts'
import { binTraining, type Bins } from './binning.ts'
import { createGrower, partition } from './grower.ts'
import { addRows, BINS, emptyHistogram, type GradientPairs, packGradients, packRows, PAIR, subtract } from './histogram.ts'
import type { GrowthRules } from './splitting.ts'
import { treeBuilder } from './tree-builder.ts'
import { depthOf, type Trees } from './tree.ts'

/** Values on a coarse grid, so that ties and empty bins abound. */
function gridMatrix(seed: number, rows: number, features: number, values: number): { x: Float32Array; y: Uint8Array; bins: Bins } {
  const random = randomStream(seed)
  const x = Float32Array.from({ length: rows * features }, () => random.integer(values))
  const y = Uint8Array.from({ length: rows }, (_, row) => (random.uniform() < (x[row * features] > values / 2 ? 0.4 : 0.1) ? 1 : 0))
  return { x, y, bins: binTraining(x, features, y) }
}

function randomPairs(seed: number, rows: number): GradientPairs {
  const random = randomStream(seed)
  const units = { pairs: new Float64Array(rows), gradientUnit: 1, hessianUnit: 1 }
  const gradient = Float64Array.from({ length: rows }, () => random.normal(0, 1))
  const hessian = Float64Array.from({ length: rows }, () => random.uniform())
  packGradients(gradient, hessian, units)
  return units
}

test.each([1, 2, 3, 5, 8])('a histogram of %i features holds the naive sums, and parent minus child is the sibling', (features) => {
  const { bins } = gridMatrix(features, 500, features, 40)
  const { pairs } = randomPairs(features, 500)
  const packed = packRows(bins)
  const sumOf = (from: number, to: number): Float64Array => {
    const histogram = emptyHistogram(packed)
    addRows(histogram, packed, pairs, Int32Array.from({ length: 500 }, (_, row) => (row * 7) % 500), from, to)
    return histogram
  }
  const naive = new Float64Array(features * BINS)
  for (let row = 0; row < 500; row++) for (let f = 0; f < features; f++) naive[f * BINS + bins.columns[f][row]] += pairs[row]
  const whole = sumOf(0, 500)
  expect(whole.subarray(0, naive.length)).toEqual(naive)
  subtract(whole, sumOf(0, 123))
  expect(whole).toEqual(sumOf(123, 500))
})

test('pairs keep gradient and hessian to half a unit, and their sums are exact in any order', () => {
  const random = randomStream(3)
  const gradient = Float64Array.from({ length: 10_000 }, () => random.normal(0, 1) ** 3)
  const hessian = gradient.map((value) => Math.abs(value) / 10)
  const units = { pairs: new Float64Array(10_000), gradientUnit: 1, hessianUnit: 1 }
  packGradients(gradient, hessian, units)
  const { pairs, gradientUnit, hessianUnit } = units
  const decoded = Array.from(pairs, (pair) => [Math.floor(pair / PAIR) * gradientUnit, (pair - Math.floor(pair / PAIR) * PAIR) * hessianUnit])
  expect(decoded.every(([g, h], row) => Math.abs(g - gradient[row]) <= gradientUnit * 0.500001 && Math.abs(h - hessian[row]) <= hessianUnit * 0.500001)).toBe(true)
  const exact = pairs.reduce((sum, pair) => sum + BigInt(pair), 0n)
  expect(BigInt(pairs.reduce((sum, pair) => sum + pair, 0))).toBe(exact)
  expect(BigInt(pairs.toReversed().reduce((sum, pair) => sum + pair, 0))).toBe(exact)
})

test('partition is stable and in place', () => {
  const rows = Int32Array.of(9, 0, 1, 2, 3, 4, 9)
  const middle = partition(Uint8Array.of(5, 1, 6, 2, 3), 3, rows, 1, 6, new Int32Array(7))
  expect([middle, Array.from(rows)]).toEqual([4, [9, 1, 3, 4, 0, 2, 9]])
})

interface NaiveNode {
  split?: [feature: number, cut: number]
  value?: number
  children?: NaiveNode[]
}

/** Exact greedy growth: every cut of every feature is tried on every node by summing its rows up one by one. */
function growNaively(bins: Bins, units: GradientPairs, rules: GrowthRules, rows: number[], depth: number): NaiveNode {
  const sums = (some: number[]): [number, number] => {
    const gradients = some.map((row) => Math.floor(units.pairs[row] / PAIR))
    const hessians = some.map((row, i) => units.pairs[row] - gradients[i] * PAIR)
    return [gradients.reduce((a, b) => a + b, 0) * units.gradientUnit, hessians.reduce((a, b) => a + b, 0) * units.hessianUnit]
  }
  const score = (some: number[]): number => sums(some)[0] ** 2 / (sums(some)[1] + rules.l2)
  const best = { gain: 1e-9, feature: -1, cuts: [] as number[], left: [] as number[] }
  for (let feature = 0; depth < rules.maxDepth && feature < bins.columns.length; feature++) {
    for (let cut = 0; cut < bins.cuts[feature].length; cut++) {
      const left = rows.filter((row) => bins.columns[feature][row] <= cut)
      const right = rows.filter((row) => bins.columns[feature][row] > cut)
      if (left.length === 0 || right.length === 0 || sums(left)[1] < rules.minChildWeight || sums(right)[1] < rules.minChildWeight) continue
      const gain = score(left) + score(right) - score(rows)
      if (feature === best.feature && left.length === best.left.length) best.cuts.push(cut)
      // Formulas that round differently must not decide between equal gains.
      else if (gain > best.gain * (1 + 1e-12)) Object.assign(best, { gain, feature, cuts: [cut], left })
    }
  }
  const [gradient, hessian] = sums(rows)
  if (best.feature < 0) return { value: -gradient / (hessian + rules.l2) }
  const right = rows.filter((row) => !best.left.includes(row))
  const cut = Math.floor((best.cuts[0] + (best.cuts.at(-1) ?? 0)) / 2)
  return { split: [best.feature, cut], children: [best.left, right].map((some) => growNaively(bins, units, rules, some, depth + 1)) }
}

function asNaive(trees: Trees, node: number): NaiveNode {
  if (trees.feature[node] < 0) return { value: trees.value[node] }
  return { split: [trees.feature[node], trees.cut[node]], children: [0, 1].map((side) => asNaive(trees, trees.left[node] + side)) }
}

/** A tree as text, its leaves to five decimals. */
function printed({ split, value, children = [] }: NaiveNode): string {
  return split === undefined ? (value ?? Number.NaN).toFixed(5) : `(${split.join('<=')} ${children.map(printed).join(' ')})`
}

test.each([
  [1, { maxDepth: 3, l2: 1, minChildWeight: 1 }],
  [2, { maxDepth: 5, l2: 0, minChildWeight: 5 }],
  [3, { maxDepth: 4, l2: 10, minChildWeight: 0 }],
  [4, { maxDepth: 0, l2: 1, minChildWeight: 0 }],
])('growth equals exact greedy growth (seed %i)', (seed, rules) => {
  const { bins } = gridMatrix(seed, 150, 4, 9)
  const units = randomPairs(seed + 10, 150)
  const builder = treeBuilder(bins.cuts)
  const all = Int32Array.from({ length: 150 }, (_, row) => row)
  const margins = new Float32Array(150)
  createGrower(bins, packRows(bins), rules, 1).grow(builder, units, all.slice(), Int32Array.of(0, 1, 2, 3), margins)
  const trees = builder.finish()
  expect(printed(asNaive(trees, 0))).toBe(printed(growNaively(bins, units, rules, Array.from(all), 0)))
  const traversed = new Float32Array(150)
  builder.addNewest(bins, traversed)
  expect(margins).toEqual(traversed)
})

test('features that were not drawn are not split on, and depth keeps its limit', () => {
  const { bins } = gridMatrix(5, 400, 6, 30)
  const builder = treeBuilder(bins.cuts)
  const rules = { maxDepth: 4, l2: 1, minChildWeight: 0 }
  createGrower(bins, packRows(bins), rules, 0.1).grow(builder, randomPairs(6, 400), Int32Array.from({ length: 400 }, (_, row) => row), Int32Array.of(1, 4), new Float32Array(400))
  const trees = builder.finish()
  expect(new Set(trees.feature)).toEqual(new Set([-1, 1, 4]))
  expect(depthOf(trees)).toBe(4)
})
