import { expect, test } from 'vitest'
import { randomStream } from '../../datasets/random/random.ts'
import type { TrainingSet } from '../../features/backfill/training-set.ts'
import { formerCategoryCode } from '../../features/view/category.ts'
import { estimatorNames, findEstimator } from '../catalog.ts'
import { onnxScores } from '../graph/scores.ts'
import { expectParity } from '../testing/parity.ts'
import { countCategories, MOST_CATEGORIES, mostFrequent } from './encoder.ts'
import { modelScores, signatureOf, toOnnx } from './fitted-model.ts'
import { largestDifference } from './graph-parity.ts'

/** Shares of fraud at merchants that are bad, and at all others. */
const [BAD, GOOD] = [0.87, 0.04]

/** Rows of a number that says a little and of merchants, of which `bad` says which are. */
function merchantSet(merchants: string[], bad: (merchant: number) => boolean, rows: number): TrainingSet {
  const random = randomStream(3)
  const x = new Float32Array(rows * 2)
  const y = new Uint8Array(rows)
  for (let row = 0; row < rows; row++) {
    const merchant = random.integer(merchants.length)
    y[row] = random.uniform() < (bad(merchant) ? BAD : GOOD) ? 1 : 0
    x.set([random.normal(y[row], 1), merchant], 2 * row)
  }
  return {
    names: ['v', 'merchant'],
    categorical: [{ feature: 1, names: merchants }],
    rows,
    x,
    y,
    time: Float64Array.from({ length: rows }, (_, row) => row * 60_000),
    ids: Float64Array.from({ length: rows }, (_, row) => row),
  }
}

/** Two names whose codes of 24 bits are the same. */
function collidingPair(): [string, string] {
  const seen = new Map<number, string>()
  for (let i = 0; ; i++) {
    const [name, other] = [`merchant ${i}`, seen.get(formerCategoryCode(`merchant ${i}`))]
    if (other !== undefined) return [other, name]
    seen.set(formerCategoryCode(name), name)
  }
}

const PAIR = collidingPair()
/** 40 merchants, of which 5 are bad. The colliding two are the first bad one and the last good one. */
const MERCHANTS = [PAIR[0], 'Bäckerei', '東京店', '🛒', 'x'.repeat(256)]
for (let i = MERCHANTS.length; i < 39; i++) MERCHANTS.push(`shop ${i}`)
MERCHANTS.push(PAIR[1])
const [BAD_ONE, GOOD_ONE] = PAIR
const set = merchantSet(MERCHANTS, (merchant) => merchant < 5, 3000)
const FEW: Record<string, Record<string, number>> = { neural: { epochs: 30 }, 'ml-random-forest': { trees: 5 } }
const fit = (name: string) => findEstimator(name).fit(set, findEstimator(name).params(FEW[name] ?? {}), 1, () => true)

/** A mean of scores over the numbers between −2 and 2, by merchant. */
async function meanScores(bytes: Uint8Array, merchants: string[]): Promise<Record<string, number>> {
  const numbers = Array.from({ length: 41 }, (_, at) => (at - 20) / 10)
  const x = Float32Array.from(merchants.flatMap((_, merchant) => numbers.flatMap((number) => [number, merchant])))
  const scores = await onnxScores(bytes, x, 2, [{ feature: 1, names: merchants }])
  return Object.fromEntries(
    merchants.map((merchant, i) => [
      merchant,
      scores.subarray(i * 41, (i + 1) * 41).reduce((sum, score) => sum + score, 0) / 41,
    ]),
  )
}

test.each(estimatorNames())(
  '%s: a merchant never seen scores as an ordinary one, and the graph is the trainer’s twin on every name',
  async (name) => {
    const model = await fit(name)
    const bytes = toOnnx(model)
    const unseen = ['nowhere', '', 'shop', ' shop 7', 'Shop 7', '__proto__', 'x'.repeat(255)]
    const means = await meanScores(bytes, [...MERCHANTS, ...unseen])
    expect(new Set(unseen.map((merchant) => means[merchant])).size).toBe(1)
    const ordinary = MERCHANTS.slice(5).map((merchant) => means[merchant])
    expect(means['nowhere']).toBeLessThan(Math.max(...ordinary) + 0.05)
    // Without labels a detector knows none of them to be bad.
    const apart = name === 'isolation' || name === 'autoencoder' ? -1 : 0.3
    expect(means[BAD_ONE]).toBeGreaterThan(Math.max(means['nowhere'], means[GOOD_ONE]) + apart)
    const names = [...MERCHANTS, ...unseen]
    const x = Float32Array.from({ length: 2 * names.length + 2 }, (_, at) => (at % 2 === 0 ? 0.5 : at >> 1))
    x[x.length - 1] = Number.NaN
    const wild = [{ feature: 1, names }]
    expectParity(largestDifference(modelScores(model, x, wild), await onnxScores(bytes, x, 2, wild)))
  },
)

test('20,000 merchants train, though some share 24 bits; one never seen scores near the base rate', async () => {
  const merchants = Array.from({ length: 20_000 }, (_, i) => `merchant ${i}`)
  expect(new Set(merchants.map(formerCategoryCode)).size).toBeLessThan(merchants.length)
  const large = merchantSet(merchants, (merchant) => merchant % 10 === 0, 100_000)
  const base = large.y.reduce((sum, label) => sum + label, 0) / large.rows
  for (const name of ['boosting', 'forest']) {
    const estimator = findEstimator(name)
    const params = estimator.params({ min_category_rows: 5, ...(name === 'forest' ? { trees: 20 } : { rounds: 60 }) })
    const bytes = toOnnx(await estimator.fit(large, params, 1, () => true))
    const bad = merchants.filter((_, merchant) => merchant % 10 === 0).slice(0, 100)
    const { nowhere, ...means } = await meanScores(bytes, [...bad, 'nowhere'])
    expect(Math.abs(nowhere - base)).toBeLessThan(0.1)
    expect(Object.values(means).reduce((sum, mean) => sum + mean, 0) / bad.length).toBeGreaterThan(nowhere + 0.2)
  }
})

test('a dictionary keeps the most frequent names, of equally frequent ones the first, in any order', () => {
  const counts = Array.from({ length: MOST_CATEGORIES + 2 }, (_, i) => ({
    name: String(i).padStart(6, '0'),
    rows: i === 0 ? 1 : 2,
    frauds: 0,
  }))
  const kept = mostFrequent(counts, 1)
  expect([kept.length, kept[0].name, kept.at(-1)?.name]).toEqual([MOST_CATEGORIES, '000001', '065536'])
  expect(mostFrequent(counts.toReversed(), 1)).toEqual(kept)
  expect(mostFrequent(counts, 3)).toEqual([])
  expect(countCategories(set, set.categorical[0]).reduce((sum, { rows }) => sum + rows, 0)).toBe(set.rows)
})

test('what a graph with categories reads stands in its signature; without categories it reads one tensor', () => {
  expect(signatureOf(set.names, set.categorical).categories).toEqual({
    name: 'categories',
    dtype: 'string',
    shape: [-1, 1],
  })
  expect(signatureOf(set.names)).not.toHaveProperty('categories')
})
