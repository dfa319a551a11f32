import { expect, test } from 'vitest'
import { randomStream } from '../../datasets/random/random.ts'
import { brierScore, expectedCalibrationError, logLoss } from './reliability.ts'

test('known values', () => {
  const [scores, y] = [Float32Array.of(0.5, 0.25, 1, 0), Uint8Array.of(1, 0, 1, 0)]
  expect(brierScore(scores, y)).toBeCloseTo((0.25 + 0.0625) / 4, 12)
  expect(logLoss(scores, y)).toBeCloseTo((Math.log(2) - Math.log(0.75)) / 4, 12)
  expect(expectedCalibrationError(scores, y)).toBeCloseTo((0.5 + 0.25) / 4, 12)
})

test('a bin reaches from its lower edge to just below the next, and the last one includes 1', () => {
  // 15/16 and 1 share the last bin, where errors above and below cancel out. 14.5/16 lies in the bin before.
  expect(expectedCalibrationError(Float32Array.of(15 / 16, 1), Uint8Array.of(1, 0))).toBeCloseTo(15 / 32, 12)
  expect(expectedCalibrationError(Float32Array.of(15 / 16, 14.5 / 16), Uint8Array.of(1, 0))).toBeCloseTo(15.5 / 32, 12)
})

test('a wrong certainty costs much, not infinitely much', () => {
  expect(logLoss(Float32Array.of(0), Uint8Array.of(1))).toBeCloseTo(25 * Math.LN2, 9)
  expect(logLoss(Float32Array.of(1), Uint8Array.of(0))).toBeCloseTo(25 * Math.LN2, 9)
})

test('the calibration error is that of a plain count by bins', () => {
  const random = randomStream(1)
  const scores = Float32Array.from({ length: 2000 }, () => random.uniform() ** 2)
  const y = Uint8Array.from(scores, (score) => (random.uniform() < score ? 1 : 0))
  let error = 0
  for (let bin = 0; bin < 15; bin++) {
    const rows = [...scores.keys()].filter((row) => scores[row] >= bin / 15 && scores[row] < (bin + 1) / 15)
    const mean = (of: ArrayLike<number>): number => rows.reduce((sum, row) => sum + of[row], 0) / rows.length
    if (rows.length > 0) error += (rows.length / 2000) * Math.abs(mean(scores) - mean(y))
  }
  expect(expectedCalibrationError(scores, y)).toBeCloseTo(error, 10)
  expect(error).toBeLessThan(0.05)
  expect(
    expectedCalibrationError(
      scores.map((score) => score / 2),
      y,
    ),
  ).toBeGreaterThan(0.1)
})
