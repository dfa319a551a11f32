import type { GraphPart } from '../graph/proto.ts'

/**
 * Turns a model's margin, any finite float32, into its score in [0, 1]. A link never falls, so the order of the rows
 * stays.
 */
export interface Link {
  scores(margins: Float32Array): Float32Array
  /** The same as ONNX nodes that read `margin` and write `output`, both float32 [N, 1]. */
  graph(margin: string, output: string): GraphPart
}

const LN2 = Math.fround(Math.LN2)

/**
 * 1 / (1 + exp(−margin)).
 *
 * In the graph it is these four steps, and not the node Sigmoid: ONNX Runtime approximates that one by a fraction of
 * polynomials, which falls in places where the margin rises, and at a margin of −16 gives twice the score. A monotone
 * constraint would not hold for the score, and small scores would be noise.
 */
export const logisticLink: Link = shiftedLink(0)

/**
 * The logistic link of margins plus `shift`. The odds against fraud are multiplied by exp(−shift), which keeps the
 * margin as it is: float32 sums of large numbers would lose digits. With a shift of 0 the graph has no such node.
 */
export function shiftedLink(shift: number): Link {
  const factor = Math.fround(Math.exp(-shift))
  const one: GraphPart['constants'] = [{ name: 'one', type: 'float', values: [1], dims: [1] }]
  if (factor === 1) {
    return {
      scores: (margins) => margins.map((margin) => 1 / (1 + Math.exp(-margin))),
      graph: (margin, output) => ({ constants: one, nodes: logisticNodes(margin, 'odds_against', output) }),
    }
  }
  return {
    scores: (margins) => margins.map((margin) => 1 / (1 + factor * Math.exp(-margin))),
    graph: (margin, output) => ({
      constants: [...one, { name: 'shift', type: 'float', values: [factor], dims: [1] }],
      nodes: logisticNodes(margin, 'shifted_odds', output).toSpliced(2, 0, {
        opType: 'Mul',
        input: ['odds_against', 'shift'],
        output: ['shifted_odds'],
      }),
    }),
  }
}

/** exp(−margin) is `odds_against`; the last two nodes take `odds` for it. */
function logisticNodes(margin: string, odds: string, output: string): GraphPart['nodes'] {
  return [
    { opType: 'Neg', input: [margin], output: ['negative_margin'] },
    { opType: 'Exp', input: ['negative_margin'], output: ['odds_against'] },
    { opType: 'Add', input: [odds, 'one'], output: ['all_odds'] },
    { opType: 'Div', input: ['one', 'all_odds'], output: [output] },
  ]
}

/** 2^margin, for margins of 0 at most. */
export const exponentialLink: Link = {
  scores: (margins) => margins.map((margin) => Math.exp(Math.fround(margin * LN2))),
  graph: (margin, output) => ({
    constants: [{ name: 'ln2', type: 'float', values: [LN2], dims: [1] }],
    nodes: [
      { opType: 'Mul', input: [margin, 'ln2'], output: ['exponent'] },
      { opType: 'Exp', input: ['exponent'], output: [output] },
    ],
  }),
}
