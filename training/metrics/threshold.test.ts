import { expect, test } from 'vitest'
import { alertThreshold } from './threshold.ts'

const scores = Float32Array.of(0.5, 0.125, 0.75, 0.25, 1)

test('the budget is of the days between the first and the last row', () => {
  expect(alertThreshold(scores, 1, 1)).toBe(1)
  expect(alertThreshold(scores, 3, 1)).toBe(0.5)
  expect(alertThreshold(scores, 0.25, 8)).toBe(0.75)
})

test('a budget of every row alerts every row', () => {
  expect(alertThreshold(scores, 1, 4)).toBe(0.25)
  expect(alertThreshold(scores, 1, 5)).toBe(0.125)
  expect(alertThreshold(scores, 1, 99)).toBe(0.125)
})

test('the scores stay in the order of their rows', () => {
  alertThreshold(scores, 1, 2)
  expect([...scores]).toEqual([0.5, 0.125, 0.75, 0.25, 1])
})

test('when the highest tie is too large the threshold is the next float above it, whatever its sign', () => {
  const bits = (value: number): number => new Int32Array(Float32Array.of(value).buffer)[0]
  const tied = (score: number): number => bits(alertThreshold(Float32Array.of(score, score, score), 1, 1))
  expect(tied(0.5)).toBe(bits(0.5) + 1)
  expect(tied(0)).toBe(1)
  expect(tied(-0)).toBe(1)
  expect(tied(-0.5)).toBe(bits(-0.5) - 1)
})

test('no scores have no threshold', () => {
  expect(() => alertThreshold(Float32Array.of(), 1, 1)).toThrow('No scores')
})
