import { expect, test } from 'vitest'
import { randomStream } from '../../datasets/random/random.ts'
import { fittedShift } from './shift.ts'

const sigmoid = (margin: number): number => 1 / (1 + Math.exp(-margin))

/** Rows whose labels follow their log-odds. */
function drawn(rows: number, seed: number): { odds: Float32Array; y: Uint8Array } {
  const random = randomStream(seed)
  const odds = Float32Array.from({ length: rows }, () => random.normal(-3, 2))
  return { odds, y: Uint8Array.from(odds, (margin) => (random.uniform() < sigmoid(margin) ? 1 : 0)) }
}

test.each([0.1, 1, 30, 1e6])('from margins that hold the whole weight %d all of it is taken', (weight) => {
  const { odds, y } = drawn(50_000, 1)
  const shift = fittedShift(
    odds.map((margin) => margin + Math.log(weight)),
    y,
  )
  expect(Math.abs(shift + Math.log(weight))).toBeLessThan(0.05)
})

test.each([
  [
    [-3, 0, 2, 5],
    [0, 0, 1, 1],
  ],
  [
    [0, 0, 0],
    [1, 0, 0],
  ],
  [
    [-90, 90],
    [0, 1],
  ],
  [
    [90, -90],
    [0, 1],
  ],
  [
    [1e30, -1e30, 3],
    [1, 0, 0],
  ],
])('the probabilities of %j add up to the frauds of %j', (margins, labels) => {
  const y = Uint8Array.from(labels)
  const shift = fittedShift(Float32Array.from(margins), y)
  const sum = margins.reduce((total, margin) => total + sigmoid(margin + shift), 0)
  expect(sum).toBeCloseTo(
    labels.reduce((total, label) => total + label, 0),
    6,
  )
})
