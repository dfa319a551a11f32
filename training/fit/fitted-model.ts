import type { Signature } from '../../registry/model-card.ts'
import { encodeGraph, type GraphPart } from '../graph/proto.ts'
import type { Link } from './link.ts'

const OUTPUT = 'score'

/** Name of a scoring graph's input. */
export const INPUT = 'features'

/**
 * What an estimator makes, whatever it is made of. A score is `link(margin)`: the two are kept apart so that calibration
 * is another link on the same margins, read before the bends of a sigmoid have cost them bits.
 */
export interface FittedModel {
  /** Columns of the matrix it reads, in order. */
  names: string[]
  /** One float32 a row of `x` (row-major, `names.length` wide), larger for the more suspicious: the trainer's own. */
  margins(x: Float32Array): Float32Array
  /** The same as nodes of an ONNX graph that read `features` [N, width] and write `output` [N, 1]. */
  graph(output: string): GraphPart
  /** Absent: the margin is in [0, 1] and is the score. */
  link?: Link
  /** Share of what all splits gained, by feature; absent where nothing was split for gain. */
  gain?: Float64Array
}

/** Scores of the rows of `x` (row-major, `names.length` wide), in [0, 1]: the trainer's own, which the graph must give too. */
export function modelScores(model: FittedModel, x: Float32Array): Float32Array {
  const margins = model.margins(x)
  return model.link === undefined ? margins : model.link.scores(margins)
}

/** Input `features` float32 [N, width], output `score` float32 [N, 1]. */
export function signatureOf(names: string[]): Signature {
  return {
    features: names,
    input: { name: INPUT, dtype: 'float32', shape: [-1, names.length] },
    outputs: [{ name: OUTPUT, dtype: 'float32', shape: [-1, 1] }],
  }
}

/** The model as the bytes of one ONNX graph, margin and link. `metadata_props` name the features, one a line. */
export function toOnnx(model: FittedModel): Uint8Array {
  const margin = model.graph(model.link === undefined ? OUTPUT : 'margin')
  const link = model.link?.graph('margin', OUTPUT) ?? { constants: [], nodes: [] }
  return encodeGraph({
    name: 'score',
    input: { name: INPUT, width: model.names.length },
    output: { name: OUTPUT },
    constants: [...margin.constants, ...link.constants],
    nodes: [...margin.nodes, ...link.nodes],
    metadata: { producer: 'fd', features: model.names.join('\n') },
  })
}
