import { expect, test } from 'vitest'
import { bitScores, bitTrees, type BitTrees } from './bit-trees.ts'
import { fitIsolation, isolationParams } from './isolation.ts'
import { plantedSet } from './planted-set.ts'
import { depthOf, treeScores, type Trees } from './tree.ts'

const isolate = (x: Float32Array, features: number, given: object = {}) => fitIsolation(x, features, isolationParams.parse({ trees: 30, ...given }), 1, () => true)

function bitsOf(trees: Trees, features: number): BitTrees {
  const made = bitTrees(trees, features)
  if (made === undefined) throw new Error('Not taken')
  return made
}

test.each([[1, 0], [2, 0.3], [7, 0], [7, 0.2], [40, 0.1]])('scores of %d features, %d of them missing, are those of the plain walk to the last bit', async (features, missing) => {
  const set = plantedSet({ rows: 5001, features, frauds: 50, missing }, 1)
  const trees = await isolate(set.x, features)
  const made = bitsOf(trees, features)
  for (const rows of [1, 2, 3, 4, 5, 2047, 2048, 2049, 5001]) {
    const x = set.x.subarray(0, rows * features)
    expect(bitScores(made, x)).toEqual(treeScores(trees, x, features))
  }
})

test('values at a threshold, one float beside it, both zeros and infinities go the same way', async () => {
  const set = plantedSet({ rows: 2000, features: 3, frauds: 50 }, 2)
  set.x.forEach((value, at) => at % 5 === 0 && (set.x[at] = Math.round(value) / 4))
  const trees = await isolate(set.x, 3)
  const bits = [...new Int32Array(trees.threshold.buffer)].flatMap((bit) => [bit - 1, bit, bit + 1])
  const probes = [...new Float32Array(Int32Array.from(bits).buffer), 0, -0, Infinity, -Infinity, Number.NaN, 3.4e38]
  const x = Float32Array.from(probes.flatMap((probe, at) => [probe, probes[(at + 7) % probes.length], probes[(at * 5) % probes.length]]))
  expect(bitScores(bitsOf(trees, 3), x)).toEqual(treeScores(trees, x, 3))
})

test('single leaves, and trees as deep as there may be', async () => {
  const constant = await isolate(new Float32Array(20).fill(3), 2)
  expect(bitScores(bitsOf(constant, 2), Float32Array.of(1, 2, 3, 4))).toEqual(treeScores(constant, Float32Array.of(1, 2, 3, 4), 2))
  const set = plantedSet({ rows: 3000, features: 2, frauds: 50 }, 3)
  const deep = await isolate(set.x, 2, { sample_size: 257 })
  expect(depthOf(deep)).toBe(9)
  expect(bitTrees(deep, 2)).toBeUndefined()
})
