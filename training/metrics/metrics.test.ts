import { expect, test } from 'vitest'
import { randomStream } from '../../datasets/random/random.ts'
import { DAY } from '../../datasets/table/transaction.ts'
import { averagePrecision, cardPrecisionAtK, decisionsAt, recallAtFpr, rocAuc, type ScoredCards } from './metrics.ts'

/** Scores on a coarse grid, so that many tie. Negative scores and both zeros are among them. */
function scored(seed: number, rows: number): ScoredCards {
  const random = randomStream(seed)
  const y = Uint8Array.from({ length: rows }, (_, row) => (row < 3 || random.uniform() < 0.1 ? 1 : 0))
  const scores = Float32Array.from(y, (label) => Math.round(random.normal(label, 1) * 8) / 8)
  return {
    scores,
    y,
    time: Float64Array.from(y, () => random.integer(5) * DAY + random.integer(DAY)),
    cards: Float64Array.from(y, () => random.integer(40)),
  }
}

const seeds = [1, 2, 3, 4, 5, 6]
const rowsWhere = (count: number, keep: (row: number) => boolean): number[] =>
  Array.from({ length: count }, (_, row) => row).filter(keep)

test.each(seeds)('average precision equals the sum over thresholds by counting (seed %i)', (seed) => {
  const { scores, y } = scored(seed, 300)
  const frauds = y.reduce((a, b) => a + b, 0)
  let [expected, before] = [0, 0]
  for (const threshold of [...new Set(scores)].sort((a, b) => b - a)) {
    const alerts = rowsWhere(300, (row) => scores[row] >= threshold)
    const hits = alerts.filter((row) => y[row] === 1).length
    expected += ((hits - before) / frauds) * (hits / alerts.length)
    before = hits
  }
  expect(averagePrecision(scores, y)).toBeCloseTo(expected, 12)
})

test.each(seeds)('ROC AUC equals the share of pairs in order (seed %i)', (seed) => {
  const { scores, y } = scored(seed, 300)
  const [frauds, genuine] = [rowsWhere(300, (row) => y[row] === 1), rowsWhere(300, (row) => y[row] === 0)]
  const won = frauds.flatMap((fraud) =>
    genuine.map((other) => (scores[fraud] > scores[other] ? 1 : scores[fraud] === scores[other] ? 0.5 : 0)),
  )
  expect(rocAuc(scores, y)).toBeCloseTo(won.reduce((a: number, b) => a + b, 0) / won.length, 12)
})

test.each(seeds)('recall at a false positive rate equals the best over all thresholds (seed %i)', (seed) => {
  const { scores, y } = scored(seed, 300)
  for (const rate of [0, 0.01, 0.1, 0.5, 1]) {
    const recalls = [...scores].map((threshold) => {
      const rates = [0, 1].map(
        (label) =>
          rowsWhere(300, (row) => y[row] === label && scores[row] >= threshold).length /
          rowsWhere(300, (row) => y[row] === label).length,
      )
      return rates[0] <= rate ? rates[1] : 0
    })
    expect(recallAtFpr(scores, y, rate)).toBeCloseTo(Math.max(...recalls), 12)
  }
})

/** Card precision day by day, straight from its definition: a repeated search for the best card that is left. */
function naiveCardPrecision({ scores, y, time, cards }: ScoredCards, k: number): number {
  const found: unknown[] = []
  const precisions: number[] = []
  for (let day = 0; day < 5; day++) {
    const today = rowsWhere(y.length, (row) => Math.floor(time[row] / DAY) === day && !found.includes(cards[row]))
    if (rowsWhere(y.length, (row) => Math.floor(time[row] / DAY) === day).length === 0) continue
    const left = new Set(today.map((row) => cards[row]))
    const hits: unknown[] = []
    for (let checked = 0; checked < k && left.size > 0; checked++) {
      const best = [...left].reduce((one, other) => {
        const [a, b] = [one, other].map((card) =>
          Math.max(...today.filter((row) => cards[row] === card).map((row) => scores[row])),
        )
        return b > a || (b === a && other < one) ? other : one
      })
      left.delete(best)
      if (today.some((row) => cards[row] === best && y[row] === 1)) hits.push(best)
    }
    found.push(...hits)
    precisions.push(hits.length / k)
  }
  return precisions.reduce((a, b) => a + b, 0) / precisions.length
}

test.each(seeds)('card precision equals the definition by search (seed %i)', (seed) => {
  const set = scored(seed, 400)
  const named = { ...set, cards: Array.from(Float64Array.from(set.cards, Number), (card) => `card ${card}`) }
  for (const k of [1, 5, 20, 100]) {
    expect(cardPrecisionAtK(set, k)).toBeCloseTo(naiveCardPrecision(set, k), 12)
    expect(cardPrecisionAtK(named, k)).toBeCloseTo(naiveCardPrecision(named, k), 12)
  }
})

test('known values: a perfect order, a constant, the order of rows', () => {
  const y = Uint8Array.of(0, 1, 0, 1)
  expect(averagePrecision(Float32Array.of(0.1, 0.9, 0.2, 0.8), y)).toBe(1)
  expect(averagePrecision(new Float32Array(4), y)).toBe(0.5)
  expect(rocAuc(new Float32Array(4), y)).toBe(0.5)
  // scikit-learn's own example: average_precision_score([0, 0, 1, 1], [.1, .4, .35, .8]) is 0.83…
  expect(averagePrecision(Float32Array.of(0.1, 0.4, 0.35, 0.8), Uint8Array.of(0, 0, 1, 1))).toBeCloseTo(5 / 6, 12)
  expect(rocAuc(Float32Array.of(0, -0, -0, 0), y)).toBe(0.5)
})

test('decisions: a score at the threshold alerts; ratios of nothing are 0', () => {
  const y = Uint8Array.of(1, 0, 1, 0)
  expect(decisionsAt(Float32Array.of(0.5, 0.5, 0.4, 0.1), y, 0.5)).toEqual({
    alerts: 2,
    precision: 0.5,
    recall: 0.5,
    f1: 0.5,
  })
  expect(decisionsAt(new Float32Array(4), y, 1)).toEqual({ alerts: 0, precision: 0, recall: 0, f1: 0 })
})

test('a missing class and a NaN score are refused', () => {
  expect(() => averagePrecision(new Float32Array(2), new Uint8Array(2))).toThrow('No fraud among the 2 rows')
  expect(() => rocAuc(new Float32Array(2), Uint8Array.of(1, 1))).toThrow('No genuine transaction')
  expect(() => averagePrecision(Float32Array.of(Number.NaN, 1), Uint8Array.of(0, 1))).toThrow('Score of row 0 is NaN')
})

test('labels of another number than the scores are a mistake of the caller', () => {
  expect(() => averagePrecision(Float32Array.of(0.5, 0.25), Uint8Array.of(1))).toThrow('2 scores and 1 labels')
})

test('no rows have no day, so no card was checked', () => {
  expect(cardPrecisionAtK({ scores: Float32Array.of(), y: Uint8Array.of(), time: [], cards: [] }, 3)).toBe(0)
})
