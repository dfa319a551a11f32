/** A layer: `x · weights + biases`, followed by max(0, ·) if `relu`. */
export interface Dense {
  inputs: number
  outputs: number
  /** Row-major `inputs × outputs`, float32. */
  weights: Float32Array
  biases: Float32Array
  relu: boolean
}

/** Brings columns to one scale: `(x − mean) · inverse`, clipped to ±10. A missing value becomes 0, the mean. */
export interface Scaling {
  mean: Float64Array
  /** 1 / standard deviation. 0 for a column that does not vary, which makes the network ignore it. */
  inverse: Float64Array
}

/** Outliers are clipped at this many standard deviations from the mean. */
export const FARTHEST = 10
/** Infinities count as the largest float32, since Infinity times an inverse of 0 would be NaN. */
export const LARGEST = 3.402_823_466_385_288_6e38

/**
 * Mean and inverse deviation of each column of `x` (row-major, `width` wide), without missing values and infinities.
 */
export function fitScaling(x: Float32Array, width: number): Scaling {
  const mean = new Float64Array(width)
  const inverse = new Float64Array(width)
  for (let column = 0; column < width; column++) {
    let [count, centre, squares] = [0, 0, 0]
    for (let at = column; at < x.length; at += width) {
      if (!Number.isFinite(x[at])) continue
      const distance = x[at] - centre
      centre += distance / ++count
      squares += distance * (x[at] - centre)
    }
    mean[column] = centre
    inverse[column] = squares > 0 ? 1 / Math.sqrt(squares / count) : 0
  }
  return { mean, inverse }
}

/** The rows as a network reads them, in float64. */
export function scale({ mean, inverse }: Scaling, x: Float32Array): Float64Array {
  const width = mean.length
  return Float64Array.from(x, (value, at) => {
    const column = at % width
    return Number.isNaN(value) ? 0 : between((between(value, LARGEST) - mean[column]) * inverse[column], FARTHEST)
  })
}

function between(value: number, limit: number): number {
  return Math.min(limit, Math.max(-limit, value))
}

/**
 * The outputs of the layers for scaled rows. Weights are float32, as they were learned; sums are float64. Two orders of
 * adding up the same sum then differ so little that rounding to float32 at the end hides it. So a graph gives the same
 * score in any batch.
 */
export function forward(layers: Dense[], scaled: Float64Array): Float64Array {
  return layers.reduce((x, layer) => applyDense(layer, x), scaled)
}

function applyDense({ inputs, outputs, weights, biases, relu }: Dense, x: Float64Array): Float64Array {
  const rows = x.length / inputs
  const y = new Float64Array(rows * outputs)
  for (let row = 0; row < rows; row++) {
    const own = y.subarray(row * outputs, (row + 1) * outputs)
    own.set(biases)
    for (let input = 0; input < inputs; input++) {
      const value = x[row * inputs + input]
      if (value === 0) continue
      for (let output = 0, at = input * outputs; output < outputs; output++) own[output] += value * weights[at++]
    }
    if (relu) for (let output = 0; output < outputs; output++) own[output] = Math.max(0, own[output])
  }
  return y
}
