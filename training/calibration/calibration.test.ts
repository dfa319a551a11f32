import { expect, test } from 'vitest'
import { randomStream } from '../../datasets/random/random.ts'
import { subset, type TrainingSet } from '../../features/backfill/training-set.ts'
import { trainCandidate } from '../candidate.ts'
import { estimatorNames, findEstimator } from '../catalog.ts'
import { modelScores, toOnnx, type FittedModel } from '../fit/fitted-model.ts'
import { logisticLink } from '../fit/link.ts'
import { averagePrecision } from '../metrics/metrics.ts'
import { expectedCalibrationError, logLoss } from '../metrics/reliability.ts'
import { verifyOnnx } from '../testing/parity.ts'
import { plantedSet } from '../testing/planted-set.ts'
import { calibrate, partCalibration } from './calibration.ts'
import { fitIsotonic, isotonicLink } from './isotonic.ts'
import { fitSigmoid, sigmoidLink } from './platt.ts'

const proceed = () => true

/** Margins, and labels that are fraud with probability σ(1.7 m − 2). */
function plantedMargins(rows: number, seed: number): { margins: Float32Array; y: Uint8Array } {
  const random = randomStream(seed)
  const margins = Float32Array.from({ length: rows }, () => random.normal(-1, 1.5))
  return {
    margins,
    y: Uint8Array.from(margins, (margin) => (random.uniform() < 1 / (1 + Math.exp(2 - 1.7 * margin)) ? 1 : 0)),
  }
}

/**
 * Isotonic regression by its minimax formula: the largest, over starts, of the least, over ends, of the mean in
 * between.
 */
function minimax(values: number[], weights: number[]): number[] {
  const mean = (from: number, to: number): number => {
    let [sum, weight] = [0, 0]
    for (let i = from; i <= to; i++) [sum, weight] = [sum + values[i], weight + weights[i]]
    return sum / weight
  }
  return values.map((_, i) =>
    Math.max(
      ...values
        .slice(0, i + 1)
        .map((_one, from) => Math.min(...values.slice(i).map((_other, to) => mean(from, i + to)))),
    ),
  )
}

test.each([1, 2, 3])(
  'isotonic blocks are those of the minimax formula, ties and the two added rows included (seed %i)',
  (seed) => {
    const random = randomStream(seed)
    const margins = Float32Array.from({ length: 90 }, () => random.integer(25) / 8)
    const y = Uint8Array.from(margins, (margin) => (random.uniform() < margin / 4 ? 1 : 0))
    const distinct = [...new Set(margins)].sort((a, b) => a - b)
    const rowsOf = distinct.map((margin) => [...margins.keys()].filter((row) => margins[row] === margin))
    const weights = rowsOf.map((rows, i) => rows.length + (i === 0 ? 1 : 0) + (i === distinct.length - 1 ? 1 : 0))
    const frauds = rowsOf.map((rows, i) => rows.reduce((sum, row) => sum + y[row], 0) + (i === 0 ? 1 : 0))
    const fitted = minimax(frauds, weights).map((value) => Number(value.toFixed(9)))
    const shares = [...new Set(fitted)]
    const centres = shares.map((share) => {
      const own = [...fitted.keys()].filter((i) => fitted[i] === share)
      const weight = own.reduce((sum, i) => sum + weights[i], 0)
      return own.reduce((sum, i) => sum + weights[i] * distinct[i], 0) / weight
    })
    const { knots, blocks } = fitIsotonic(margins, y)
    expect(blocks).toBe(shares.length)
    for (const [i, share] of shares.entries()) {
      const at = knots.margins.indexOf(Math.fround(centres[i]))
      expect(at).toBeGreaterThanOrEqual(0)
      expect(knots.probabilities[at]).toBeCloseTo(share, 6)
    }
    expect([knots.margins[0], knots.margins.at(-1)]).toEqual([distinct[0], distinct.at(-1)])
  },
)

test('a perfect order stays away from 0 and 1 by the rule of succession, and the line rises throughout', () => {
  const margins = Float32Array.of(1, 2, 3, 4, 5, 6)
  const { knots } = fitIsotonic(margins, Uint8Array.of(0, 0, 0, 1, 1, 1))
  expect([...knots.probabilities]).toEqual([0.125, 0.25, 0.75, 0.875])
  expect([...knots.margins]).toEqual([1, 1.75, 5.25, 6])
  const scores = isotonicLink(knots).scores(Float32Array.of(-100, 1, 1.75, 3.5, 5.25, 6, 100))
  expect([...scores]).toEqual([0.125, 0.125, 0.25, 0.5, 0.75, 0.875, 0.875])
})

test.each([1, 2, 3])('the line never falls, to the last bit around every knot (seed %i)', (seed) => {
  const { margins, y } = plantedMargins(5000, seed)
  const { knots } = fitIsotonic(margins, y)
  const bits = Int32Array.from(new Int32Array(knots.margins.buffer)).toSorted()
  const beside = Float32Array.from(
    [...bits].flatMap((bit) =>
      Array.from({ length: 41 }, (_, i) => new Float32Array(Int32Array.of(bit + i - 20).buffer)[0]),
    ),
  )
  const probes = Float32Array.from([...beside, ...margins]).sort()
  const scores = isotonicLink(knots).scores(probes)
  expect(scores.every((score, i) => score > 0 && score < 1 && (i === 0 || score >= scores[i - 1]))).toBe(true)
  expect(new Set(isotonicLink(knots).scores(margins)).size).toBeGreaterThan(0.95 * new Set(margins).size)
})

test('Platt finds the planted sigmoid, whatever the scale of the margins, and the gradient is 0 there', () => {
  const { margins, y } = plantedMargins(50_000, 4)
  const { slope, offset } = fitSigmoid(margins, y)
  expect(slope).toBeCloseTo(1.7, 1)
  expect(offset).toBeCloseTo(-2, 1)
  const scaled = fitSigmoid(
    margins.map((margin) => 1000 * margin + 5000),
    y,
  )
  expect(scaled.slope * 1000).toBeCloseTo(slope, 3)
  const frauds = y.reduce((sum, label) => sum + label, 0)
  const residual = (row: number): number =>
    (y[row] === 1 ? (frauds + 1) / (frauds + 2) : 1 / (y.length - frauds + 2)) -
    1 / (1 + Math.exp(-(slope * margins[row] + offset)))
  const gradient = [0, 0]
  for (const row of margins.keys())
    [gradient[0], gradient[1]] = [gradient[0] + residual(row), gradient[1] + residual(row) * margins[row]]
  expect(Math.max(...gradient.map(Math.abs))).toBeLessThan(1e-3)
})

test('Platt ends on a perfect order, where the likelihood alone has no maximum', () => {
  const { slope, offset } = fitSigmoid(Float32Array.of(-2, -1, 1, 2), Uint8Array.of(0, 0, 1, 1))
  const scores = sigmoidLink({ slope, offset }).scores(Float32Array.of(-2, -1, 1, 2))
  expect(scores[1] + scores[2]).toBeCloseTo(1, 6)
  expect(scores[0]).toBeLessThan(scores[1])
  expect(scores[0]).toBeGreaterThan(0.1)
})

test('either method makes probabilities of margins that are none', () => {
  const [{ margins, y }, later] = [plantedMargins(20_000, 5), plantedMargins(20_000, 6)]
  const links = { isotonic: isotonicLink(fitIsotonic(margins, y).knots), platt: sigmoidLink(fitSigmoid(margins, y)) }
  const before = logisticLink.scores(later.margins)
  for (const link of Object.values(links)) {
    const after = link.scores(later.margins)
    expect(expectedCalibrationError(after, later.y)).toBeLessThan(0.015)
    expect(expectedCalibrationError(after, later.y)).toBeLessThan(expectedCalibrationError(before, later.y) / 4)
    expect(logLoss(after, later.y)).toBeLessThan(logLoss(before, later.y))
    expect(averagePrecision(after, later.y)).toBeCloseTo(averagePrecision(before, later.y), 3)
  }
})

const set = plantedSet({ rows: 6000, features: 6, frauds: 300, missing: 0.05, categories: 12 }, 1)
const FEW = {
  boosting: { rounds: 30 },
  forest: { trees: 20 },
  isolation: { trees: 20 },
  'ml-random-forest': { trees: 2, max_depth: 2 },
  neural: { epochs: 3 },
  autoencoder: { epochs: 3 },
}
const cases = estimatorNames().flatMap((estimator) =>
  (['isotonic', 'platt'] as const).map((method) => ({ estimator, method })),
)

test.each(cases)(
  '$estimator with $method: the graph gives the scores, on rows of the fit and on wild ones, and keeps the order',
  async ({ estimator: name, method }) => {
    const estimator = findEstimator(name)
    const { fitted, slice } = partCalibration(set, { method, share: 0.3 })
    const plain = await estimator.fit(
      fitted,
      estimator.params(name in FEW ? FEW[name as keyof typeof FEW] : {}),
      1,
      proceed,
    )
    const model = calibrate(plain, method, slice)
    const wild = plantedSet({ rows: 2000, features: 6, frauds: 300, missing: 0.5, categories: 50 }, 2)
    wild.x.set([Infinity, -Infinity, 0, -0, 3.4e38, Number.NaN])
    const tolerance = method === 'isotonic' ? 0 : 1e-6
    for (const rows of [set, wild]) {
      const { absolute, relative } = await verifyOnnx(model, toOnnx(model), rows)
      expect(absolute).toBeLessThanOrEqual(tolerance)
      expect(relative).toBeLessThanOrEqual(100 * tolerance)
    }
    const [before, after] = [plain.margins(slice.x, slice.categorical), modelScores(model, slice.x, slice.categorical)]
    const order = [...before.keys()].sort((a, b) => before[a] - before[b])
    expect(order.every((row, i) => i === 0 || after[row] >= after[order[i - 1]])).toBe(true)
    expect(averagePrecision(after, slice.y)).toBeCloseTo(averagePrecision(before, slice.y), 4)
  },
)

test(
  'a calibrated candidate says how its scores were before and after, ' +
    'and takes its threshold ' +
    'from the calibrated',
  async () => {
    const request = {
      estimator: 'forest',
      params: { trees: 30 },
      split: { kind: 'ordered', trainShare: 0.7 },
      seed: 1,
      alertsPerDay: 20,
    } as const
    const plain = await trainCandidate(set, request, proceed)
    const candidate = await trainCandidate(
      set,
      { ...request, calibration: { method: 'isotonic', share: 0.25 } },
      proceed,
    )
    expect(plain.metrics).not.toHaveProperty('uncalibrated_log_loss')
    expect(candidate.metrics).toMatchObject({ train_rows: 3150, calibration_rows: 1050, test_rows: 1800 })
    expect(candidate.metrics.log_loss).toBeLessThan(candidate.metrics.uncalibrated_log_loss)
    expect(candidate.metrics.brier_score).toBeLessThan(candidate.metrics.uncalibrated_brier_score + 0.002)
    expect(candidate.metrics.onnx_parity).toBe(0)
    expect(candidate.holdout.digest).toBe(plain.holdout.digest)
    expect(candidate.holdout.scores).toContain(candidate.threshold)
  },
)

test('a slice without a fraud, and scores that do not rise with fraud, are refused with what to do', () => {
  const few: TrainingSet = { ...set, y: set.y.map((label, row) => (row < 5000 ? label : 0)) }
  expect(() => partCalibration(few, { method: 'platt', share: 0.1 })).toThrow(
    'No fraud in the 600 latest training rows, which calibrate (--calibration-share 0.1). Give a larger share',
  )
  const upside: FittedModel = {
    names: set.names,
    margins: (x) => Float32Array.from({ length: x.length / set.names.length }, (_, row) => -small.y[row]),
    graph: () => ({ constants: [], nodes: [] }),
  }
  const small = subset(
    set,
    Int32Array.from({ length: 500 }, (_, row) => row),
  )
  for (const method of ['isotonic', 'platt'] as const) {
    expect(() => calibrate(upside, method, small)).toThrow('do not rise with fraud')
    expect(() => calibrate({ ...upside, margins: () => new Float32Array(500) }, method, small)).toThrow(
      'do not rise with fraud',
    )
  }
})
