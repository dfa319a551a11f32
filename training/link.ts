import type { GraphPart } from './onnx-proto.ts'

/** From a model's margin, any finite float32, to its score in [0, 1]. Never falling, so that the order of the rows stays. */
export interface Link {
  scores(margins: Float32Array): Float32Array
  /** The same as nodes that read `margin` and write `output`, both float32 [N, 1]. */
  graph(margin: string, output: string): GraphPart
}

/** 1 / (1 + exp(−margin)). */
export const logisticLink: Link = {
  scores: (margins) => margins.map((margin) => 1 / (1 + Math.exp(-margin))),
  graph: (margin, output) => ({ constants: [], nodes: [{ opType: 'Sigmoid', input: [margin], output: [output] }] }),
}
