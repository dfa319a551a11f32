import { logisticLink, type Link } from '../fit/link.ts'

/** Slope and offset of `1 / (1 + exp(−(slope · margin + offset)))`. */
export interface Sigmoid {
  slope: number
  offset: number
}

const ITERATIONS = 100

/**
 * The sigmoid of largest likelihood on labelled margins (Platt 1999), found by Newton's method with halved steps (Lin,
 * Lin and Weng 2007). The targets stay one row short of certainty: `(frauds + 1) / (frauds + 2)` for a fraud, and
 * `1 / (genuine + 2)` for a genuine row. The method works on standardised margins, so that their scale does not matter.
 */
export function fitSigmoid(margins: Float32Array, y: Uint8Array): Sigmoid {
  const centre = margins.reduce((sum, margin) => sum + margin, 0) / margins.length
  const spread = Math.sqrt(margins.reduce((sum, margin) => sum + (margin - centre) ** 2, 0) / margins.length)
  if (spread === 0) return { slope: 0, offset: 0 }
  const z = Float64Array.from(margins, (margin) => (margin - centre) / spread)
  const frauds = y.reduce((sum, label) => sum + label, 0)
  const targets = Float64Array.from(y, (label) =>
    label === 1 ? (frauds + 1) / (frauds + 2) : 1 / (y.length - frauds + 2),
  )
  let best: Sigmoid = { slope: 0, offset: Math.log((frauds + 1) / (y.length - frauds + 1)) }
  let loss = lossOf(z, targets, best)
  for (let iteration = 0; iteration < ITERATIONS; iteration++) {
    const step = newtonStep(z, targets, best)
    let rate = 1
    let next = best
    let nextLoss = Infinity
    for (; rate > 1e-10 && !(nextLoss <= loss); rate /= 2) {
      next = { slope: best.slope + rate * step.slope, offset: best.offset + rate * step.offset }
      nextLoss = lossOf(z, targets, next)
    }
    const done = !(loss - nextLoss > 1e-12 * loss)
    if (nextLoss <= loss) [best, loss] = [next, nextLoss]
    if (done) break
  }
  return { slope: best.slope / spread, offset: best.offset - (best.slope * centre) / spread }
}

function lossOf(z: Float64Array, targets: Float64Array, { slope, offset }: Sigmoid): number {
  let loss = 0
  for (let row = 0; row < z.length; row++) {
    const t = slope * z[row] + offset
    // log(1 + exp(t)) − target · t, without overflow.
    loss += Math.max(t, 0) + Math.log1p(Math.exp(-Math.abs(t))) - targets[row] * t
  }
  return loss
}

function newtonStep(z: Float64Array, targets: Float64Array, { slope, offset }: Sigmoid): Sigmoid {
  // The small start on the diagonal keeps the matrix regular when the sigmoid is saturated everywhere.
  let [slopeSlope, slopeOffset, offsetOffset, bySlope, byOffset] = [1e-12, 0, 1e-12, 0, 0]
  for (let row = 0; row < z.length; row++) {
    const p = 1 / (1 + Math.exp(-(slope * z[row] + offset)))
    const [difference, weight] = [targets[row] - p, p * (1 - p)]
    bySlope += difference * z[row]
    byOffset += difference
    slopeSlope += weight * z[row] * z[row]
    slopeOffset += weight * z[row]
    offsetOffset += weight
  }
  const determinant = slopeSlope * offsetOffset - slopeOffset * slopeOffset
  return {
    slope: (offsetOffset * bySlope - slopeOffset * byOffset) / determinant,
    offset: (slopeSlope * byOffset - slopeOffset * bySlope) / determinant,
  }
}

/** The sigmoid as a link. Slope, offset and every step are rounded to float32, as the nodes of the graph round them. */
export function sigmoidLink(sigmoid: Sigmoid): Link {
  const [slope, offset] = [Math.fround(sigmoid.slope), Math.fround(sigmoid.offset)]
  return {
    scores: (margins) => logisticLink.scores(margins.map((margin) => Math.fround(margin * slope) + offset)),
    graph(margin, output) {
      const logistic = logisticLink.graph('calibrated_margin', output)
      return {
        constants: [
          { name: 'slope', type: 'float', values: [slope] },
          { name: 'offset', type: 'float', values: [offset] },
          ...logistic.constants,
        ],
        nodes: [
          { opType: 'Mul', input: [margin, 'slope'], output: ['scaled_margin'] },
          { opType: 'Add', input: ['scaled_margin', 'offset'], output: ['calibrated_margin'] },
          ...logistic.nodes,
        ],
      }
    },
  }
}
