import { expect, test } from 'vitest'
import { randomStream } from '../../datasets/random/random.ts'
import { binTraining, binWith, findCuts, MISSING } from './binning.ts'

const NONE = new Int32Array(0)
const EDGES = [0, -0, Infinity, -Infinity, Number.NaN, 1e-45, -1e-45, 3.4e38, -3.4e38, 1, 1 + 2 ** -23]

/** Values of all magnitudes and signs, with ties and every edge of float32. */
function wildValues(seed: number, count: number): Float32Array {
  const random = randomStream(seed)
  return Float32Array.from({ length: count }, (_, i) => {
    if (i < EDGES.length) return EDGES[i]
    const wide = random.normal(0, 1) * 10 ** (random.integer(60) - 30)
    return random.uniform() < 0.3 ? Math.round(random.normal(0, 3)) : wide
  })
}

test.each([1, 2, 3, 4])('bins count the cuts below a value, as a naive loop counts them (seed %i)', (seed) => {
  const values = wildValues(seed, 3000)
  const random = randomStream(seed, 1)
  const {
    cuts: [cuts],
    columns,
  } = binTraining(
    values,
    1,
    Uint8Array.from(values, () => (random.uniform() < 0.05 ? 1 : 0)),
  )
  const naive = Array.from(values, (value) =>
    Number.isNaN(value) ? MISSING : cuts.filter((cut) => value > cut).length,
  )
  expect(cuts.length).toBeGreaterThan(150)
  expect(Array.from(columns[0])).toEqual(naive)
})

test('bin <= b says exactly x <= cuts[b], on the training rows and on others', () => {
  const fitted = binTraining(wildValues(5, 2000), 1, new Uint8Array(2000).fill(1, 0, 100))
  const others = wildValues(6, 500)
  const {
    cuts: [cuts],
    columns: [bins],
  } = binWith(fitted, others, others.length)
  const wrong = Array.from(others).flatMap((value, row) =>
    Array.from(cuts.keys()).filter((cut) => bins[row] <= cut !== value <= cuts[cut]),
  )
  expect(wrong).toEqual([])
})

test('cuts rise strictly, are at most 254 and float32', () => {
  const values = wildValues(7, 100_000)
  const cuts = findCuts(
    values,
    Int32Array.from({ length: 2500 }, (_, i) => 500 + i),
    0,
  )
  expect(cuts.length).toBeLessThanOrEqual(254)
  expect(Array.from(cuts).every((cut, i) => i === 0 || cut > cuts[i - 1])).toBe(true)
  expect(Array.from(cuts).map(Math.fround)).toEqual(Array.from(cuts))
})

test(
  'few distinct values: a cut at every midpoint; ' +
    'a constant: none; ' +
    'missing: the last bin, and no cut of its own',
  () => {
    expect(Array.from(findCuts(Float32Array.of(3, 1, 2, 2, 10), NONE, 0))).toEqual([1.5, 2.5, 6.5])
    expect(Array.from(findCuts(Float32Array.of(7, 7, 7), Int32Array.of(0), 0))).toEqual([])
    const withMissing = Float32Array.of(1, Number.NaN, 2)
    const { cuts, columns } = binTraining(withMissing, 1, Uint8Array.of(0, 1, 1))
    expect(Array.from(cuts[0])).toEqual([1.5])
    expect(Array.from(columns[0])).toEqual([0, MISSING, 1])
    expect(Array.from(findCuts(Float32Array.of(Number.NaN, Number.NaN), Int32Array.of(0, 1), 2))).toEqual([])
  },
)

test('neighbouring floats without a midpoint are cut at the lower one', () => {
  const [low, high] = [1, 1 + 2 ** -23]
  expect(Array.from(findCuts(Float32Array.of(low, high), NONE, 0))).toEqual([low])
})

test('frauds in the tail get bins of their own', () => {
  const random = randomStream(8)
  const y = new Uint8Array(20_000).fill(1, 0, 60)
  const values = Float32Array.from(y, (label) =>
    label === 1 ? 10 + random.uniform() : random.uniform() + (random.uniform() < 0.001 ? 10 : 0),
  )
  const tailBins = (labels: Uint8Array): number =>
    new Set(binTraining(values, 1, labels).columns[0].subarray(0, 60)).size
  expect(tailBins(y)).toBeGreaterThan(50)
  expect(tailBins(new Uint8Array(y.length))).toBeLessThan(5)
})

test('a row-major matrix is binned column by column', () => {
  const { columns, cuts, rows } = binTraining(Float32Array.of(1, 30, 2, 20, 3, 10), 2, Uint8Array.of(0, 1, 0))
  expect(rows).toBe(3)
  expect(cuts.map((own) => Array.from(own))).toEqual([
    [1.5, 2.5],
    [15, 25],
  ])
  expect(columns.map((own) => Array.from(own))).toEqual([
    [0, 1, 2],
    [2, 1, 0],
  ])
})
