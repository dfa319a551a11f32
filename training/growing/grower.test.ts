import { expect, test } from 'vitest'
import { randomStream } from '../../datasets/random/random.ts'
import { openCrew, soloCrew } from '../kernel/crew.ts'
import { kernelModule, openKernel } from '../kernel/module.ts'
import { depthOf } from '../testing/tree-depth.ts'
import type { Trees } from '../trees/tree.ts'
import { binTraining, type Bins, MISSING } from './binning.ts'
import type { Units } from './gradient.ts'
import { createGrower } from './grower.ts'
import { BINS, createHistograms, histogramLength, packRows } from './histogram.ts'
import { partRows, type RowLists } from './row-lists.ts'
import { type GrowthRules, LAST_CUT } from './splitting.ts'
import { addTree } from './tree-sums.ts'

const module = await kernelModule('compiled')

/** Values on a coarse grid, so that ties and empty bins abound. */
function gridMatrix(
  seed: number,
  rows: number,
  features: number,
  values: number,
): { x: Float32Array; y: Uint8Array; bins: Bins } {
  const random = randomStream(seed)
  const x = Float32Array.from({ length: rows * features }, () => random.integer(values))
  const y = Uint8Array.from({ length: rows }, (_, row) =>
    random.uniform() < (x[row * features] > values / 2 ? 0.4 : 0.1) ? 1 : 0,
  )
  return { x, y, bins: binTraining(x, features, y) }
}

/** Hessian and gradient of each row, whole numbers. */
function randomPairs(seed: number, bins: Bins): Int32Array {
  const random = randomStream(seed)
  const pairs = bins.arena.ints(2 * bins.rows)
  pairs.forEach((_, at) => {
    pairs[at] = at % 2 === 0 ? random.integer(1e6) : random.normal(0, 1e6)
  })
  return pairs
}

const UNITS: Units = { gradient: 2e-6, hessian: 1e-6 }

function listsOf({ arena, rows }: Bins): RowLists {
  return [arena.ints(rows), arena.ints(rows)]
}

function allRows({ arena, rows }: Bins): Int32Array {
  const all = arena.ints(rows)
  all.forEach((_, row) => {
    all[row] = row
  })
  return all
}

test.each([1, 2, 3, 5, 8, 17])(
  'a histogram of %i features holds the naive sums, and parent minus child is the sibling',
  (features) => {
    const { bins } = gridMatrix(features, 500, features, 40)
    const pairs = randomPairs(features, bins)
    const crew = soloCrew(openKernel(module, bins.arena.memory))
    const packed = packRows(bins, crew)
    const rows = bins.arena.ints(500)
    rows.set(Int32Array.from({ length: 500 }, (_, row) => (row * 7) % 500))
    const histograms = createHistograms(packed, pairs, crew, [], () => bins.arena.ints(histogramLength(packed)))
    const naive = new Int32Array(2 * features * BINS)
    for (let row = 0; row < 500; row++) {
      for (let f = 0; f < features; f++)
        for (const part of [0, 1]) naive[2 * (f * BINS + bins.columns[f][row]) + part] += pairs[2 * row + part]
    }
    const [whole] = histograms.sum(rows, 0, 500)
    expect(Array.from(whole.subarray(0, naive.length))).toEqual(Array.from(naive))
    const [part] = histograms.sum(rows, 0, 123)
    histograms.subtract(whole, part)
    histograms.give(part)
    expect(whole).toEqual(histograms.sum(rows, 123, 500)[0])
  },
)

test.each([1, 2, 3])(
  '%i threads part rows few and many, listed or all, missing left and right, and leave the others alone',
  async (threads) => {
    const random = randomStream(threads)
    const { bins } = gridMatrix(threads, 40_000, 1, 9)
    const column = bins.columns[0]
    column.forEach((_, row) => {
      column[row] = random.uniform() < 0.2 ? MISSING : random.integer(MISSING)
    })
    await using crew = await openCrew(bins.arena, threads, 'compiled')
    await crew.joined
    const [listed, into] = [allRows(bins).reverse(), bins.arena.ints(40_000)]
    for (const [start, end] of [
      [0, 40_000],
      [3, 39_000],
      [10, 200],
      [7, 7],
    ]) {
      for (const [cut, missingLeft] of [
        [0, false],
        [100, true],
        [100, false],
        [240, false],
        [LAST_CUT, true],
      ] as const) {
        for (const rows of [undefined, listed]) {
          into.fill(-1)
          const middle = partRows(crew, column, { cut, missingLeft }, rows, into, start, end)
          const goesLeft = (row: number): boolean => (column[row] === MISSING ? missingLeft : column[row] <= cut)
          const some = Array.from({ length: end - start }, (_, i) => rows?.[start + i] ?? start + i).sort(
            (a, b) => a - b,
          )
          expect(Array.from(into.slice(start, middle).sort())).toEqual(some.filter(goesLeft))
          expect(Array.from(into.slice(middle, end).sort())).toEqual(some.filter((row) => !goesLeft(row)))
          expect([into[end] ?? -1, into[start - 1] ?? -1]).toEqual([-1, -1])
        }
      }
    }
  },
)

interface NaiveNode {
  split?: [feature: number, cut: number, missingLeft: number]
  value?: number
  children?: NaiveNode[]
}

/**
 * Exact greedy growth: at every node every cut of every feature is tried, with missing values on either side, by
 * summing up the rows one by one.
 */
function growNaively(bins: Bins, pairs: Int32Array, rules: GrowthRules, rows: number[], depth: number): NaiveNode {
  const sum = (some: number[], part: number): number => some.reduce((sum, row) => sum + pairs[2 * row + part], 0)
  const sums = (some: number[]): [number, number] => [sum(some, 1) * UNITS.gradient, sum(some, 0) * UNITS.hessian]
  const shrunk = (some: number[]): number => Math.sign(sums(some)[0]) * Math.max(0, Math.abs(sums(some)[0]) - rules.l1)
  const score = (some: number[]): number => shrunk(some) ** 2 / (sums(some)[1] + rules.l2)
  const best = { gain: 1e-9, feature: -1, missingLeft: false, cuts: [] as number[], left: [] as number[] }
  for (let feature = 0; depth < rules.maxDepth && feature < bins.columns.length; feature++) {
    const column = bins.columns[feature]
    const missing = rows.filter((row) => column[row] === MISSING)
    for (const missingLeft of missing.length > 0 ? [false, true] : [false]) {
      for (let cut = 0; cut <= LAST_CUT; cut++) {
        const left = rows.filter((row) => (column[row] === MISSING ? missingLeft : column[row] <= cut))
        const right = rows.filter((row) => !left.includes(row))
        if (
          left.length === 0 ||
          right.length === 0 ||
          sums(left)[1] < rules.minChildWeight ||
          sums(right)[1] < rules.minChildWeight
        )
          continue
        if (missingLeft && left.length === missing.length) continue
        const gain = score(left) + score(right) - score(rows)
        const same = feature === best.feature && missingLeft === best.missingLeft && left.length === best.left.length
        if (same) best.cuts.push(cut)
        // Equal gains must not be told apart by the rounding of this formula.
        else if (gain > best.gain * (1 + 1e-12)) Object.assign(best, { gain, feature, missingLeft, cuts: [cut], left })
      }
    }
  }
  if (best.feature < 0) return { value: -shrunk(rows) / (sums(rows)[1] + rules.l2) }
  const right = rows.filter((row) => !best.left.includes(row))
  const cut = best.cuts.at(-1) === LAST_CUT ? LAST_CUT : Math.floor((best.cuts[0] + (best.cuts.at(-1) ?? 0)) / 2)
  const lone = rows.every((row) => bins.columns[best.feature][row] !== MISSING)
  const missingLeft = lone ? 2 * sum(best.left, 0) > sum(rows, 0) : best.missingLeft
  return {
    split: [best.feature, cut, missingLeft ? 1 : 0],
    children: [best.left, right].map((some) => growNaively(bins, pairs, rules, some, depth + 1)),
  }
}

function asNaive(trees: Trees, node: number): NaiveNode {
  if (trees.feature[node] < 0) return { value: trees.value[node] }
  return {
    split: [trees.feature[node], trees.cut[node], trees.missingLeft[node]],
    children: [0, 1].map((side) => asNaive(trees, trees.left[node] + side)),
  }
}

/** A tree as text, its leaves to five decimals. */
function printed({ split, value, children = [] }: NaiveNode): string {
  return split === undefined
    ? (value ?? Number.NaN).toFixed(5)
    : `(${split.join(' ')} ${children.map(printed).join(' ')})`
}

const RULES: GrowthRules = { maxDepth: 4, maxLeaves: 0, l1: 0, l2: 1, minChildWeight: 0 }

test.each([
  [1, { maxDepth: 3, minChildWeight: 1 }],
  [2, { maxDepth: 5, l2: 0, minChildWeight: 5 }],
  [3, { l2: 10 }],
  [4, { maxDepth: 0 }],
  [5, { l1: 3 }],
])('growth equals exact greedy growth, with values missing or not (seed %i)', (seed, change) => {
  const rules = { ...RULES, ...change }
  for (const missing of [0, 0.2]) {
    const random = randomStream(seed, 1)
    const { x, y } = gridMatrix(seed, 150, 4, 9)
    const bins = binTraining(
      x.map((value) => (random.uniform() < missing ? Number.NaN : value)),
      4,
      y,
    )
    const pairs = randomPairs(seed + 10, bins)
    const crew = soloCrew(openKernel(module, bins.arena.memory))
    const [margins, traversed] = [bins.arena.floats(150), bins.arena.floats(150)]
    const trees = createGrower(bins, packRows(bins, crew), pairs, listsOf(bins), crew, rules, 1).grow(
      UNITS,
      missing > 0 ? undefined : allRows(bins),
      Int32Array.of(0, 1, 2, 3),
      margins,
    )
    expect(printed(asNaive(trees, 0))).toBe(printed(growNaively(bins, pairs, rules, Array.from(allRows(bins)), 0)))
    addTree(crew, bins, trees, undefined, traversed)
    expect(margins).toEqual(traversed)
  }
})

test('features that were not drawn are not split on, and depth keeps its limit', () => {
  const { bins } = gridMatrix(5, 400, 6, 30)
  const crew = soloCrew(openKernel(module, bins.arena.memory))
  const grower = createGrower(bins, packRows(bins, crew), randomPairs(6, bins), listsOf(bins), crew, RULES, 0.1)
  const trees = grower.grow(UNITS, allRows(bins), Int32Array.of(1, 4), bins.arena.floats(400))
  expect(new Set(trees.feature)).toEqual(new Set([-1, 1, 4]))
  expect(depthOf(trees)).toBe(4)
})

test.each([1, 2, 5, 12])(
  'growth by leaf to %i leaves splits, of all nodes of the full tree, always the open one that gains most',
  (maxLeaves) => {
    const { bins } = gridMatrix(7, 600, 5, 40)
    const crew = soloCrew(openKernel(module, bins.arena.memory))
    const grown = (rules: GrowthRules): Trees =>
      createGrower(bins, packRows(bins, crew), randomPairs(8, bins), listsOf(bins), crew, rules, 0.1).grow(
        UNITS,
        allRows(bins),
        Int32Array.of(0, 1, 2, 3, 4),
        bins.arena.floats(600),
      )
    const full = grown({ ...RULES, maxDepth: 5 })
    const open = [0]
    const splits: string[] = []
    const nameOf = ({ feature, cut, gain }: Trees, node: number): string =>
      `${feature[node]} ${cut[node]} ${gain[node]}`
    while (splits.length < maxLeaves - 1) {
      const node = open.reduce((best, other) => (full.gain[other] > full.gain[best] ? other : best))
      splits.push(nameOf(full, node))
      open.splice(open.indexOf(node), 1, full.left[node], full.left[node] + 1)
    }
    const some = grown({ ...RULES, maxDepth: 5, maxLeaves })
    expect(
      Array.from(some.feature.keys())
        .filter((node) => some.feature[node] >= 0)
        .map((node) => nameOf(some, node))
        .sort(),
    ).toEqual(splits.sort())
  },
)
