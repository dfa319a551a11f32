import { attribute, type GraphNode, type GraphPart } from '../graph/proto.ts'
import type { CategoryRanks } from './encoder.ts'
import { CATEGORIES, INPUT } from './fitted-model.ts'

/** A model's input columns, and the dictionaries of those that hold categories. */
export interface EncodedColumns {
  /** Columns of the input, in order. */
  names: string[]
  encoder: CategoryRanks[]
}

/** The nodes that replace categories by the model's numbers for them, as `encode` does. */
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
 * The numeric columns are gathered first. Then each column of names is gathered from the second input, looked up and
 * appended. So columns move: `position` says where to. The columns of `features` that hold categories are not read.
 */
export function encoderNodes({ names, encoder }: EncodedColumns): Encoding {
  const categorical = encoder.map((ranks) => ranks.feature)
  const numeric = Array.from(names.keys()).filter((feature) => !categorical.includes(feature))
  if (encoder.length === 0) return { nodes: [], constants: [], output: INPUT, position: numeric }
  const order = [...numeric, ...categorical]
  const blocks = [
    ...(numeric.length === 0 ? [] : [numericBlock(numeric)]),
    ...encoder.map((ranks, at) => rankBlock(ranks, at)),
  ]
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
    nodes: [gather(INPUT, 'numeric', 'numbers')],
    constants: [{ name: 'numeric', type: 'int64', values: columns }],
  }
}

/** Column `at` of the names as numbers. `LabelEncoder` gives `default_float` for any name that it does not list. */
function rankBlock({ names, ranks, unknown }: CategoryRanks, at: number): Block {
  const [column, name, rank] = [`column_${at}`, `name_${at}`, `rank_${at}`]
  const encoder: GraphNode = {
    opType: 'LabelEncoder',
    domain: 'ai.onnx.ml',
    input: [name],
    output: [rank],
    attribute: [
      attribute.strings('keys_strings', names),
      attribute.floats('values_floats', ranks),
      attribute.float('default_float', unknown),
    ],
  }
  return {
    output: rank,
    nodes: [gather(CATEGORIES, column, name), encoder],
    constants: [{ name: column, type: 'int64', values: [at] }],
  }
}

function gather(matrix: string, columns: string, output: string): GraphNode {
  return { opType: 'Gather', input: [matrix, columns], output: [output], attribute: [attribute.int('axis', 1)] }
}
