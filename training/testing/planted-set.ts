import { randomStream } from '../../datasets/random/random.ts'
import type { TrainingSet } from '../../features/backfill/training-set.ts'

/** Shape of a planted set. */
export interface PlantedShape {
  rows: number
  features: number
  frauds: number
  /** Share of the numbers that are missing. Default: 0. */
  missing?: number
  /**
   * Number of categories of one more column, the last. Higher numbered ones are riskier. Default: 0, no such column.
   */
  categories?: number
}

/** The name of a category in a planted set, which tells nothing of its rank. Not all of them are ASCII. */
export function plantedName(category: number): string {
  return `${['m', 'é', '店', '🛒'][category % 4]}${(category * 7_919) % 9_973}`
}

/**
 * A seeded set for tests and benchmarks. Features are normal, and every third one is shifted for frauds, each less than
 * the one before. A third of the frauds look genuine. There is a row a minute, on 50 cards.
 */
export function plantedSet(shape: PlantedShape, seed: number): TrainingSet {
  const { rows, features, frauds, missing = 0, categories = 0 } = shape
  const random = randomStream(seed)
  const width = features + (categories > 0 ? 1 : 0)
  const x = new Float32Array(rows * width)
  const y = new Uint8Array(rows)
  for (let placed = 0; placed < frauds;) {
    const row = random.integer(rows)
    placed += 1 - y[row]
    y[row] = 1
  }
  for (let row = 0, at = 0; row < rows; row++) {
    const leans = y[row] === 1 && random.uniform() < 2 / 3 ? 1 : 0
    for (let feature = 0; feature < features; feature++) {
      const value = random.normal(feature % 3 === 0 ? (leans * 3) / (1 + feature / 6) : 0, 1)
      x[at++] = missing > 0 && random.uniform() < missing ? Number.NaN : value
    }
    if (categories > 0) x[at++] = Math.max(random.integer(categories), leans * random.integer(categories))
  }
  return {
    names: Array.from({ length: width }, (_, feature) => `v${feature}`),
    categorical:
      categories > 0
        ? [{ feature: features, names: Array.from({ length: categories }, (_, i) => plantedName(i)) }]
        : [],
    rows,
    x,
    y,
    time: Float64Array.from({ length: rows }, (_, row) => row * 60_000),
    ids: Float64Array.from({ length: rows }, (_, row) => row),
    cards: Float64Array.from({ length: rows }, () => random.integer(50)),
  }
}
