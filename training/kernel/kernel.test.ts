import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { randomStream, type Random } from '../../datasets/random/random.ts'
import { poissonTimes } from '../growing/row-draw.ts'
import { plantedRows, plantedTrees } from '../testing/planted-trees.ts'
import { layBitTrees } from '../trees/bit-trees.ts'
import { layLadder } from '../trees/ladder.ts'
import { treeScores } from '../trees/tree.ts'
import { layWalkTrees } from '../trees/walk-trees.ts'
import { type Arena, createArena } from './arena.ts'
import { compile } from './build.ts'
import { BLOCK, FOUND_BYTES, type Kernel, NODE_FLOATS, NODE_WORDS, SEARCH } from './kernel.ts'
import { kernelModule, openKernel } from './module.ts'
import { CONVOY, MISSING_KEY } from './score.ts'

const module = await kernelModule('compiled')
const ROWS = 3 * BLOCK + 20

/**
 * Runs `work` with the compiled kernel and with its twin, on equal memories. Expects equal results and equal memories
 * after it, and returns the bytes of the memory.
 */
function expectTwins(seed: number, work: (kernel: Kernel, arena: Arena, random: Random) => number | void): Uint8Array {
  const [one, other] = [module, undefined].map((kind) => {
    const arena = createArena()
    const result = work(openKernel(kind, arena.memory), arena, randomStream(seed))
    return { result: typeof result === 'number' ? result : 0, bytes: new Uint8Array(arena.memory.buffer).slice() }
  })
  expect(one.result).toBe(other.result)
  expect(Buffer.compare(one.bytes, other.bytes)).toBe(0)
  return one.bytes
}

function filled<T extends Int32Array | Uint8Array | Float32Array>(array: T, value: (at: number) => number): T {
  for (let at = 0; at < array.length; at++) array[at] = value(at)
  return array
}

/** Rising row numbers, close together and far apart. */
function someRows(arena: Arena, random: Random): Int32Array {
  const rows = arena.ints(ROWS)
  let count = 0
  for (let row = 0; row < ROWS; row++) if (row < BLOCK || random.uniform() < 0.1) rows[count++] = row
  return rows.subarray(0, count)
}

test.each([2, 8, 14, 30, 32, 40])('addRows, addColumn, add and subtract: %i features', (stride) => {
  expectTwins(stride, ({ addRows, addColumn, add, subtract }, arena, random) => {
    const bins = filled(arena.bytes(ROWS * stride), () => random.integer(256))
    const pairs = filled(arena.ints(2 * ROWS), (at) =>
      at % 2 === 0 ? random.integer(60_000) : random.integer(120_000) - 60_000,
    )
    const rows = someRows(arena, random)
    const [one, other, column] = [arena.ints(512 * stride), arena.ints(512 * stride), arena.ints(512)]
    addRows(one.byteOffset, bins.byteOffset, stride, pairs.byteOffset, rows.byteOffset, 0, rows.length)
    addRows(other.byteOffset, bins.byteOffset, stride, pairs.byteOffset, rows.byteOffset, 5, 1000)
    addRows(one.byteOffset, bins.byteOffset, stride, pairs.byteOffset, 0, 7, 1003)
    addColumn(column.byteOffset, bins.byteOffset, pairs.byteOffset, rows.byteOffset, 3, rows.length)
    add(column.byteOffset, one.byteOffset, 0, 2048)
    subtract(one.byteOffset, other.byteOffset, 0, 2048 * stride)
  })
})

test('gradients and quantise, at margins from saturation to saturation and beyond', () => {
  for (const fraudWeight of [1, 0.3, 577.3]) {
    expectTwins(1, ({ gradients, quantise }, arena, random) => {
      const edges = [0, -0, 1e-30, 87, -87, 88, -88, 1e30, -1e30, Infinity, -Infinity, 0.5]
      const margins = filled(arena.floats(ROWS), (at) => edges[at] ?? random.normal(0, 10 ** (random.integer(4) - 1)))
      const labels = filled(arena.bytes(ROWS), () => random.integer(2))
      const [pairs, sums] = [arena.ints(2 * ROWS), arena.floats(2 * Math.ceil(ROWS / BLOCK))]
      gradients(pairs.byteOffset, margins.byteOffset, labels.byteOffset, fraudWeight, sums.byteOffset, 0, BLOCK)
      gradients(pairs.byteOffset, margins.byteOffset, labels.byteOffset, fraudWeight, sums.byteOffset, BLOCK, ROWS)
      const floats = new Float32Array(pairs.buffer, pairs.byteOffset, pairs.length)
      let furthest = 0
      for (let row = 0; row < ROWS; row++) {
        const [score, weight] = [1 / (1 + Math.exp(-margins[row])), labels[row] === 1 ? fraudWeight : 1]
        furthest = Math.max(
          furthest,
          Math.abs(floats[2 * row] / weight - score * (1 - score)),
          Math.abs(floats[2 * row + 1] / weight - score + labels[row]),
        )
      }
      expect(furthest).toBeLessThan(1e-6)
      floats.set([0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 1e9, -1e9])
      quantise(pairs.byteOffset, 1, 1, 0, 4)
      quantise(pairs.byteOffset, 3e4, 7e4, 4, ROWS)
      expect(Array.from(pairs.subarray(0, 8))).toEqual([0, 2, 2, 0, -2, -2, 1e9, -1e9])
    })
  }
})

test('divide, addLeaf, addLeaves and addTree, of rows listed and of all', () => {
  expectTwins(2, ({ divide, addLeaf, addLeaves, addTree }, arena, random) => {
    const columns = [0, 1].map(() => filled(arena.bytes(ROWS), () => random.integer(256)))
    const sums = filled(arena.floats(ROWS), () => random.normal(0, 1))
    const [list, into, nodes] = [someRows(arena, random), arena.ints(ROWS), arena.ints(5 * NODE_WORDS)]
    nodes.set([columns[0].byteOffset, 120, 1, 1, 0, 0, 0, 0, 0, 0, columns[1].byteOffset, 7, 0, 3, 0])
    for (const node of [1, 3, 4])
      new Float32Array(nodes.buffer, nodes.byteOffset)[NODE_WORDS * node + 4] = random.normal(0, 1)
    let left = 0
    for (const rows of [list.byteOffset, 0]) {
      addTree(sums.byteOffset, rows, nodes.byteOffset, 4, list.length)
      addLeaf(sums.byteOffset, rows, 0.1, 0, 100)
      addLeaves(sums.byteOffset, rows, columns[0].byteOffset, 99, 1, 0.1, -0.3, 2, list.length)
      left = 1e4 * left + divide(rows, into.byteOffset, columns[0].byteOffset, 100, 0, 0, 1000)
      left = 1e4 * left + divide(rows, into.byteOffset, columns[0].byteOffset, 101, 1, 1000, list.length)
    }
    return left
  })
})

test('assign, with and without cuts, at all edges of float32', () => {
  for (const count of [0, 1, 254]) {
    expectTwins(count, ({ assign }, arena, random) => {
      const edges = [0, -0, Infinity, -Infinity, Number.NaN, 1e-45, -1e-45, 3.4e38, -3.4e38]
      const [values, cuts] = [ROWS, count].map((length) =>
        filled(arena.floats(length), (at) => edges[at] ?? random.normal(0, 10 ** random.integer(3))),
      )
      cuts.set(cuts.filter((cut) => !Number.isNaN(cut)).sort())
      const [bins, begin] = [arena.bytes(ROWS), arena.bytes(1 << 16)]
      assign(bins.byteOffset, values.byteOffset, cuts.byteOffset, count, begin.byteOffset, 0, 4096)
      assign(bins.byteOffset, values.byteOffset, cuts.byteOffset, count, begin.byteOffset, 4096, ROWS)
    })
  }
})

test.each([1, 7, 30])('pack: %i columns', (features) => {
  expectTwins(features, ({ pack }, arena, random) => {
    const columns = Array.from({ length: features }, () => filled(arena.bytes(ROWS), () => random.integer(256)))
    const [addresses, packed] = [
      filled(arena.ints(features), (at) => columns[at].byteOffset),
      arena.bytes(ROWS * (features + 1)),
    ]
    pack(packed.byteOffset, features + 1, addresses.byteOffset, features, 0, 100)
    pack(packed.byteOffset, features + 1, addresses.byteOffset, features, 100, ROWS)
    for (let row = 0; row < ROWS; row += 97)
      expect(packed[row * (features + 1) + features - 1]).toBe(columns[features - 1][row])
  })
})

test('drawWords, drawBootstrap and drawRows: the words are those of the stream, which goes on behind them', () => {
  expectTwins(4, ({ drawBootstrap, drawRows, drawWords }, arena, random) => {
    const [state, bits, sums] = [arena.ints(4), arena.ints(ROWS), arena.ints(2)]
    state.set(random.state())
    const again = randomStream(0)
    again.resume(state)
    drawWords(state.byteOffset, bits.byteOffset, 0, 700)
    drawWords(state.byteOffset, bits.byteOffset, 700, ROWS)
    for (const word of bits) expect(word >>> 0).toBe(again.integer(2 ** 32))
    expect([...state]).toEqual(again.state())
    const labels = filled(arena.bytes(ROWS), () => random.integer(2))
    const [pairs, rows] = [arena.ints(2 * ROWS), arena.ints(ROWS)]
    const count = drawBootstrap(
      bits.byteOffset,
      poissonTimes(arena).byteOffset,
      labels.byteOffset,
      pairs.byteOffset,
      rows.byteOffset,
      sums.byteOffset,
      0,
      ROWS - 1,
    )
    // Counted again from the pairs. Each row is drawn once on average, and not at all with chance 1/e.
    const weights = pairs.filter((_, at) => at % 2 === 0)
    expect([count, ...sums]).toEqual([
      weights.filter((weight) => weight > 0).length,
      weights.reduce((sum, weight) => sum + weight, 0),
      weights.reduce((sum, weight, row) => sum + weight * labels[row], 0),
    ])
    expect(sums[0] / ROWS).toBeCloseTo(1, 1)
    expect(count / ROWS).toBeCloseTo(1 - Math.exp(-1), 1)
    const drawn = [1, 40_000, 65_536].map((below) => drawRows(bits.byteOffset, below, rows.byteOffset, 0, ROWS))
    return drawn.reduce((sum, one) => 1e5 * sum + one, count)
  })
})

/** A histogram as of some rows: some bins are in use, and hessians are never negative. */
function someHistogram(arena: Arena, random: Random, features: number, missing: boolean): Int32Array {
  const histogram = arena.ints(512 * features)
  for (let feature = 0; feature < features; feature++) {
    const share = random.uniform()
    for (let bin = 0; bin < (missing ? 256 : 255); bin++) {
      if (random.uniform() < share)
        histogram.set([random.integer(60_000), random.integer(120_000) - 60_000], 512 * feature + 2 * bin)
    }
  }
  return histogram
}

function totals(histogram: Int32Array, feature: number): [hessian: number, gradient: number] {
  const own = Array.from(histogram.subarray(512 * feature, 512 * (feature + 1)))
  return [0, 1].map((part) => own.filter((_, at) => at % 2 === part).reduce((sum, value) => sum + value, 0)) as [
    number,
    number,
  ]
}

test.each([
  ['plain', {}],
  ['of siblings, in parts, with missing values', { extra: 2, siblings: true, missing: true }],
  ['with l1 and heavy children', { l1: 2000, least: 300, missing: true }],
  ['with directions and bounds', { siblings: true, monotone: true, lower: -0.3, upper: 0.2, missing: true }],
  ['where nothing gains', { leastGain: 1e30, siblings: true }],
])(
  'search %s',
  (
    _,
    given: {
      extra?: number
      siblings?: boolean
      missing?: boolean
      monotone?: boolean
      l1?: number
      least?: number
      lower?: number
      upper?: number
      leastGain?: number
    },
  ) => {
    const {
      extra = 0,
      siblings = false,
      missing = false,
      monotone = false,
      l1 = 0,
      least = 0,
      lower = -Infinity,
      upper = Infinity,
      leastGain = 1e-9,
    } = given
    expectTwins(extra, ({ search, add }, arena, random) => {
      const list = filled(arena.ints(5), (at) => [0, 1, 3, 4, 6][at])
      const directions = arena.bytes(7)
      directions.set([0, 1, 255, 255, 1, 0, 0])
      const some = (): Int32Array => someHistogram(arena, random, 7, missing)
      const [small, large, parts] = [some(), some(), Array.from({ length: extra }, some)]
      const whole = arena.ints(512 * 7)
      for (const histogram of [small, ...parts]) add(whole.byteOffset, histogram.byteOffset, 0, 2048 * 7)
      add(large.byteOffset, whole.byteOffset, 0, 2048 * 7)
      const addresses = filled(arena.ints(Math.max(extra, 1)), (at) => parts[at]?.byteOffset ?? 0)
      const task = arena.ints(2 * SEARCH.floats)
      const found = arena.ints((10 * FOUND_BYTES) / 4)
      task.set([
        list.byteOffset,
        monotone ? directions.byteOffset : 0,
        addresses.byteOffset,
        extra,
        small.byteOffset,
        siblings ? large.byteOffset : 0,
        found.byteOffset,
      ])
      const doubles = new Float64Array(task.buffer, task.byteOffset, SEARCH.floats)
      doubles.set([1e-3, 2e-3, l1 * 1e-3, 1, least, leastGain], SEARCH.units)
      doubles.set([...totals(whole, 3), lower, upper, 0.5], SEARCH.nodes)
      doubles.set([...totals(large, 3), lower, upper, 0.25], SEARCH.nodes + NODE_FLOATS)
      search(task.byteOffset, 0, 2)
      search(task.byteOffset, 2, 5)
      const gains = new Float64Array(found.buffer, found.byteOffset, 30).filter((_, at) => at % 3 === 0)
      expect(gains.some((gain) => gain > leastGain)).toBe(leastGain < 1)
    })
  },
)

test('a source that does not compile says where', async () => {
  await expect(
    compile({ kernel: "export * from './other'", other: 'export function add(a: i32): i32 { return b }' }),
  ).rejects.toThrow(/AssemblyScript: .*'b'.*other/s)
})

test(
  'the kernel is made when missing, made again when its source is newer, ' +
    'and without a compiler it says what to run',
  () => {
    const [root, project] = [mkdtempSync(join(tmpdir(), 'fd-kernel-')), resolve(import.meta.dirname, '../..')]
    for (const folder of ['configs', 'training/kernel']) mkdirSync(join(root, folder), { recursive: true })
    for (const file of [
      'package.json',
      'configs/user-error.ts',
      'training/kernel/build.ts',
      ...readdirSync(import.meta.dirname)
        .filter((name) => name.endsWith('.as'))
        .map((name) => `training/kernel/${name}`),
    ])
      copyFileSync(join(project, file), join(root, file))
    const output = join(root, 'training', 'kernel', 'kernel.wasm')
    const build = (): string =>
      spawnSync(process.execPath, [join(root, 'training', 'kernel', 'build.ts')], { encoding: 'utf8' }).stderr
    expect(build()).toMatch(
      /training\/kernel\/kernel\.wasm is missing and cannot be made: .*assemblyscript.*\. Run: npm ci/s,
    )
    writeFileSync(output, 'old')
    utimesSync(output, 1, 1)
    expect(build()).toMatch(
      new RegExp(
        String.raw`training/kernel/kernel\.wasm is older than its sources, training/kernel/\*\.as, ` +
          String.raw`and cannot be made: .*\. Run: npm ci`,
        's',
      ),
    )
    symlinkSync(join(project, 'node_modules'), join(root, 'node_modules'))
    expect(build()).not.toContain('UserError')
    expect(readFileSync(output).subarray(1, 4).toString()).toBe('asm')
    rmSync(root, { recursive: true })
  },
)

test('orderKeys: keys are ordered as the values are, and every NaN has the greatest', () => {
  expectTwins(3, ({ orderKeys }, arena, random) => {
    const edges = Float32Array.from([-Infinity, -3.4e38, -1, -1e-45, -0, 0, 1e-45, 1, 3.4e38, Infinity])
    const values = filled(arena.floats(1024), (at) => edges[at] ?? random.normal(0, 10 ** (random.integer(80) - 40)))
    new Int32Array(values.buffer, values.byteOffset).set([0x7f800001, 0x7fffffff, -1, -0x7fffff], 512)
    const keys = arena.ints(1024)
    orderKeys(keys.byteOffset, values.byteOffset, 0, 516)
    expect([...keys.subarray(0, edges.length)]).toEqual([...keys.subarray(0, edges.length)].toSorted((a, b) => a - b))
    expect(new Set(keys.subarray(0, edges.length)).size).toBe(edges.length)
    expect([...keys.subarray(512, 516)]).toEqual([MISSING_KEY, MISSING_KEY, MISSING_KEY, MISSING_KEY])
    const order = Int32Array.from({ length: 512 }, (_, at) => at).sort((a, b) => keys[a] - keys[b])
    for (let i = 1; i < 512; i++) expect(values[order[i - 1]] <= values[order[i]]).toBe(true)
    orderKeys(values.byteOffset, values.byteOffset, 516, 1024)
  })
})

test.each([
  [1, 1],
  [2, 3],
  [5, 300],
  [3, 5000],
  [1, 40_000],
])(
  'markRanks and gatherMasks, %i features of %i thresholds: of each, the rows above it, with the missing or without',
  (features, count) => {
    expectTwins(4, ({ gatherMasks, markRanks, orderKeys }, arena, random) => {
      const values = filled(arena.floats(CONVOY * features), (at) =>
        at % 9 === 0 ? NaN : at % 11 === 0 ? Infinity : random.normal(0, 10),
      )
      const keys = arena.ints(values.length)
      orderKeys(keys.byteOffset, values.byteOffset, 0, values.length)
      const records: number[] = []
      const lists: { thresholds: number[]; feature: number; side: number; masks: Uint8Array; record: number[] }[] = []
      for (let feature = 0; feature < features; feature++) {
        // The thresholds of some features lie close together. A third of them are keys that rows have too.
        const spread = feature % 2 === 0 ? 10 : 1e-4
        const thresholds = Array.from({ length: count }, (_, i) =>
          i % 3 === 0 ? keys[random.integer(CONVOY) * features + feature] : keyOf(random.normal(0, spread)),
        ).filter((key) => key !== MISSING_KEY)
        if (thresholds.length === 0) thresholds.push(0)
        const ladder = layLadder(arena, thresholds)
        records.push(4 * feature, ...ladder.record)
        for (const side of [0, 1]) {
          const masks = arena.bytes(16 * ladder.rankOf.size)
          lists.push({
            thresholds: [...ladder.rankOf.keys()],
            feature,
            side,
            masks,
            record: [ladder.marks, masks.byteOffset, masks.length, side],
          })
        }
      }
      const [ladders, gathered] = [arena.ints(records.length), arena.ints(4 * lists.length)]
      ladders.set(records)
      gathered.set(lists.flatMap(({ record }) => record))
      // Twice, as for one convoy after another.
      for (let round = 0; round < 2; round++) {
        markRanks(ladders.byteOffset, keys.byteOffset, 4 * features, 0, features)
        gatherMasks(gathered.byteOffset, 0, lists.length)
      }
      for (const { thresholds, feature, side, masks } of lists) {
        for (const at of [0, thresholds.length >> 1, thresholds.length - 1]) {
          for (let row = 0; row < CONVOY; row++) {
            const key = keys[row * features + feature]
            const above = key === MISSING_KEY ? side === 0 : key > thresholds[at]
            expect((masks[16 * at + (row & 15)] >> (row >> 4)) & 1).toBe(above ? 1 : 0)
          }
        }
      }
    })
  },
)

function keyOf(value: number): number {
  const [bits] = new Int32Array(Float32Array.of(value + 0).buffer)
  return bits < 0 ? bits ^ 0x7fffffff : bits
}

test.each([
  { nodes: 0 },
  { nodes: 1 },
  { nodes: 20 },
  { nodes: 255 },
  { nodes: 256 },
  { nodes: 700 },
  { nodes: 40, lopsided: true },
])('addByBits and addByWalk add the same leaves: %j', (shape) => {
  expectTwins(5, (kernel, arena, random) => {
    const trees = plantedTrees({ trees: 12, features: 5, ...shape }, random)
    const x = plantedRows(CONVOY, 5, random)
    const [rows, some, others] = [arena.floats(x.length), arena.floats(CONVOY), arena.floats(CONVOY)]
    rows.set(x)
    kernel.orderKeys(rows.byteOffset, rows.byteOffset, 0, rows.length)
    const keys = Int32Array.from(trees.threshold, keyOf)
    layBitTrees(arena, trees, keys, 5)(kernel, rows.byteOffset, some.byteOffset)
    layWalkTrees(arena, trees, keys, 5)(kernel, rows.byteOffset, others.byteOffset)
    expect(some).toEqual(others)
    expect(some).toEqual(treeScores(trees, x, 5))
  })
})
