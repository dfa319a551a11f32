import { attribute, type GraphNode, type GraphPart } from '../graph/proto.ts'
import type { CategoryRanks } from './encoder.ts'
import { INPUT } from './fitted-model.ts'

/** A model's input columns, and the encoder of those that hold category codes. */
export interface EncodedColumns {
  /** Columns of the input, in order. */
  names: string[]
  encoder: CategoryRanks[]
}

/** The nodes that replace category codes by ranks, as `encode` does. */
export interface Encoding extends GraphPart {
  /** Name of the encoded matrix. */
  output: string
  /** Column of that matrix, by column of the input. */
  position: number[]
}

/** A part of the encoded matrix. */
interface Block extends GraphPart {
  output: string
}

/**
 * The ONNX nodes that read the graph's input and encode its categories. Without an encoder there are none, and
 * `output` is the input itself.
 *
 * The numeric columns are gathered first. Then each category column is gathered, ranked and appended. So columns
 * move: `position` says where to.
 */
export function encoderNodes({ names, encoder }: EncodedColumns): Encoding {
  const categorical = encoder.map((ranks) => ranks.feature)
  const numeric = Array.from(names.keys()).filter((feature) => !categorical.includes(feature))
  if (encoder.length === 0) return { nodes: [], constants: [], output: INPUT, position: numeric }
  const order = [...numeric, ...categorical]
  const blocks = [...(numeric.length === 0 ? [] : [numericBlock(numeric)]), ...encoder.map(rankBlock)]
  const concat: GraphNode = {
    opType: 'Concat',
    input: blocks.map((block) => block.output),
    output: ['encoded'],
    attribute: [attribute.int('axis', 1)],
  }
  return {
    nodes: [...blocks.flatMap((block) => block.nodes), concat],
    constants: blocks.flatMap((block) => block.constants),
    output: 'encoded',
    position: names.map((_, feature) => order.indexOf(feature)),
  }
}

function numericBlock(columns: number[]): Block {
  return {
    output: 'numbers',
    nodes: [gather('numbers', 'numeric')],
    constants: [{ name: 'numeric', type: 'int64', values: columns }],
  }
}

/** One category column as ranks. `LabelEncoder` gives `default_float` for any other code and for NaN. */
function rankBlock({ feature, codes, ranks, unknown }: CategoryRanks): Block {
  const [column, code, rank] = [`column_${feature}`, `code_${feature}`, `rank_${feature}`]
  const encoder: GraphNode = {
    opType: 'LabelEncoder',
    domain: 'ai.onnx.ml',
    input: [code],
    output: [rank],
    attribute: [
      attribute.floats('keys_floats', codes),
      attribute.floats('values_floats', ranks),
      attribute.float('default_float', unknown),
    ],
  }
  return {
    output: rank,
    nodes: [gather(code, column), encoder],
    constants: [{ name: column, type: 'int64', values: [feature] }],
  }
}

function gather(output: string, columns: string): GraphNode {
  return { opType: 'Gather', input: [INPUT, columns], output: [output], attribute: [attribute.int('axis', 1)] }
}
