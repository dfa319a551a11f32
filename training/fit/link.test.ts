import { expect, test } from 'vitest'
import { onnxScores } from '../graph/scores.ts'
import { INPUT, toOnnx, type FittedModel } from './fitted-model.ts'
import { exponentialLink, logisticLink, type Link } from './link.ts'

/** A model whose margin is its one feature. */
function bare(link: Link): FittedModel {
  const nodes = (output: string) => [{ opType: 'Identity', input: [INPUT], output: [output] }]
  return { names: ['x'], margins: (x) => x, graph: (output) => ({ constants: [], nodes: nodes(output) }), link }
}

/** `count` neighbouring float32 numbers, rising from `from`. */
function neighbours(from: number, count: number): Float32Array {
  const floats = Float32Array.of(from)
  const [bits] = new Int32Array(floats.buffer)
  // The bits of a negative float fall as it rises.
  return new Float32Array(Int32Array.from({ length: count }, (_, i) => bits + (from < 0 ? -i : i)).buffer)
}

test.each([-80, -30, -16, -8, -4, -1, -0.1, 0.1, 1, 4, 8, 16, 30, 80])(
  'the served score never falls where the margin rises, and is right to a millionth of itself, from %d on',
  async (from) => {
    const margins = neighbours(from, 40_000)
    const served = await onnxScores(toOnnx(bare(logisticLink)), margins, 1)
    const exact = Float64Array.from(margins, (margin) => 1 / (1 + Math.exp(-margin)))
    let [falls, worst] = [0, 0]
    for (let i = 0; i < served.length; i++) {
      if (i > 0 && served[i] < served[i - 1]) falls++
      worst = Math.max(worst, Math.abs(served[i] / exact[i] - 1))
    }
    expect({ falls, right: worst < 1e-6 }, String(worst)).toEqual({ falls: 0, right: true })
  },
)

test('margins without bounds have scores of 0 and 1', async () => {
  const margins = Float32Array.of(-3.4e38, -200, 200, 3.4e38)
  expect([...(await onnxScores(toOnnx(bare(logisticLink)), margins, 1))]).toEqual([0, 0, 1, 1])
  const below = Float32Array.of(-3.4e38, -1, 0)
  expect([...(await onnxScores(toOnnx(bare(exponentialLink)), below, 1))]).toEqual([0, 0.5, 1])
})
