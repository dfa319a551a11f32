import { expect, test } from 'vitest'
import { randomStream } from '../../datasets/random/random.ts'
import { type Dense, fitScaling, forward, scale } from './network.ts'

test(
  'scaling leaves out what is missing or infinite, ' +
    'holds outliers at ten deviations ' +
    'and does not read a constant',
  () => {
    const x = Float32Array.from([1, 5, Number.NaN, 3, 5, 2, Number.NaN, 5, Infinity, 5, 5, 4])
    const scaling = fitScaling(x, 3)
    expect([...scaling.mean]).toEqual([3, 5, 3])
    expect(scaling.inverse[0]).toBeCloseTo(1 / Math.sqrt(8 / 3), 12)
    expect(scaling.inverse[1]).toBe(0)
    expect(scaling.inverse[2]).toBeCloseTo(1, 12)
    expect([
      ...scale(scaling, Float32Array.of(3, 7, -Infinity, Number.NaN, Infinity, 3.4e38, 1e9, Number.NaN, 2)),
    ]).toEqual([0, 0, -10, 0, 0, 10, 10, 0, -1])
    expect([...scale(fitScaling(new Float32Array(4).fill(Number.NaN), 2), Float32Array.of(1, 2))]).toEqual([0, 0])
  },
)

test('scaled columns have mean 0 and deviation 1', () => {
  const random = randomStream(1)
  const x = Float32Array.from({ length: 3000 }, (_, at) =>
    random.normal(at % 3 === 0 ? 1e6 : 5, at % 3 === 1 ? 1e-3 : 20),
  )
  const scaled = scale(fitScaling(x, 3), x)
  for (let column = 0; column < 3; column++) {
    const own = [...scaled].filter((_, at) => at % 3 === column)
    expect(own.reduce((sum, value) => sum + value, 0) / own.length).toBeCloseTo(0, 9)
    expect(own.reduce((sum, value) => sum + value * value, 0) / own.length).toBeCloseTo(1, 9)
  }
})

test('layers are plain sums of products', () => {
  const random = randomStream(2)
  const layer = (inputs: number, outputs: number, relu: boolean): Dense => ({
    inputs,
    outputs,
    relu,
    weights: Float32Array.from({ length: inputs * outputs }, () => random.normal(0, 1)),
    biases: Float32Array.from({ length: outputs }, () => random.normal(0, 1)),
  })
  const layers = [layer(5, 4, true), layer(4, 3, true), layer(3, 2, false)]
  const x = Float64Array.from({ length: 50 }, () => random.normal(0, 1))
  const made = forward(layers, x)
  for (let row = 0; row < 10; row++) {
    let values = [...x.subarray(row * 5, row * 5 + 5)]
    for (const { outputs, weights, biases, relu } of layers) {
      values = Array.from({ length: outputs }, (_, output) => {
        const sum = values.reduce(
          (total, value, input) => total + value * weights[input * outputs + output],
          biases[output],
        )
        return relu ? Math.max(0, sum) : sum
      })
    }
    values.forEach((value, output) => expect(made[row * 2 + output]).toBeCloseTo(value, 12))
  }
})
