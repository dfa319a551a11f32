import type { CategoricalColumn } from '../../features/backfill/training-set.ts'
import type { Signature } from '../../registry/model-card.ts'
import { encodeGraph, type GraphPart } from '../graph/proto.ts'
import type { Link } from './link.ts'

const OUTPUT = 'score'

/** Name of a scoring graph's input. */
export const INPUT = 'features'
/** Name of the second input, of a graph that reads categories: their names as text, '' for a missing one. */
export const CATEGORIES = 'categories'

/**
 * What every estimator makes. A score is `link(margin)`. The two are kept apart so that calibration can put another
 * link on the same margins, which it reads before the flat ends of a sigmoid have cost them bits.
 */
export interface FittedModel {
  /** Names of the columns that the model reads, in order. */
  names: string[]
  /** The columns that hold categories, rising, and the names in the dictionary of each. Absent: none. */
  categorical?: readonly { feature: number; names: readonly string[] }[]
  /**
   * The trainer's own margins: one float32 for each row of `x` (row-major, `names.length` wide), larger for a more
   * suspicious row. `categorical` describes the columns of `x` that hold categories. Default: there are none.
   */
  margins(x: Float32Array, categorical?: CategoricalColumn[]): Float32Array
  /** The same as ONNX nodes that read `features` [N, width] and `categories`, and write `output` [N, 1]. */
  graph(output: string): GraphPart
  /** Absent: the margin lies in [0, 1] and is the score. */
  link?: Link
  /** Share of the gain of all splits, by feature. Absent for a model that does not split for gain. */
  gain?: Float64Array
}

/**
 * The trainer's own scores of the rows of `x` (row-major, `names.length` wide), in [0, 1]. The graph must give the
 * same.
 */
export function modelScores(model: FittedModel, x: Float32Array, categorical: CategoricalColumn[] = []): Float32Array {
  const margins = model.margins(x, categorical)
  return model.link === undefined ? margins : model.link.scores(margins)
}

/**
 * Signature of a scoring graph: input `features` float32 [N, width], output `score` float32 [N, 1]. A graph that reads
 * categories has a second input `categories`, text [N, categories], in the order of their columns. It does not read
 * those columns of `features`.
 */
export function signatureOf(names: string[], categorical: readonly unknown[] = []): Signature {
  return {
    features: names,
    input: { name: INPUT, dtype: 'float32', shape: [-1, names.length] },
    ...(categorical.length === 0
      ? {}
      : { categories: { name: CATEGORIES, dtype: 'string', shape: [-1, categorical.length] } }),
    outputs: [{ name: OUTPUT, dtype: 'float32', shape: [-1, 1] }],
  }
}

/** The bytes of one ONNX graph of margin and link. Its `metadata_props` name the features, one per line, and so the
 * categories. */
export function toOnnx(model: FittedModel): Uint8Array {
  const margin = model.graph(model.link === undefined ? OUTPUT : 'margin')
  const link = model.link?.graph('margin', OUTPUT) ?? { constants: [], nodes: [] }
  const { categorical = [], names } = model
  const categories = categorical.map(({ feature }) => names[feature])
  return encodeGraph({
    name: 'score',
    inputs: [
      { name: INPUT, type: 'float', width: names.length },
      ...(categories.length === 0 ? [] : [{ name: CATEGORIES, type: 'string' as const, width: categories.length }]),
    ],
    output: { name: OUTPUT },
    constants: [...margin.constants, ...link.constants],
    nodes: [...margin.nodes, ...link.nodes],
    metadata: {
      producer: 'fd',
      features: names.join('\n'),
      ...(categories.length === 0 ? {} : { categories: categories.join('\n') }),
    },
  })
}
