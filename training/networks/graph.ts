import { encoderNodes } from '../fit/encoder-graph.ts'
import type { CategoryRanks } from '../fit/encoder.ts'
import { attribute, type Constant, type GraphNode, type GraphPart } from '../graph/proto.ts'
import { FARTHEST, LARGEST, type Dense, type Scaling } from './network.ts'

/** A graph under construction, whose numbers are float64. */
export interface DoubleGraph extends GraphPart {
  /** Adds a node and returns the name of its output. Numbers among the inputs become float64 constants. */
  add(opType: string, inputs: (string | Constants)[], output: string, attributes?: GraphNode['attribute']): string
}

/** Numbers of a constant tensor. `dims` is its shape; without it, the tensor has one dimension. */
export interface Constants {
  values: ArrayLike<number>
  dims?: number[]
}

/** An empty graph. */
export function doubleGraph(): DoubleGraph {
  const constants: Constant[] = []
  const nodes: GraphNode[] = []
  return {
    constants,
    nodes,
    add(opType, inputs, output, attributes) {
      const names = inputs.map((input, at) => {
        if (typeof input === 'string') return input
        const name = `${output}_${at}`
        constants.push({ name, type: 'double', ...input })
        return name
      })
      nodes.push({ opType, input: names, output: [output], ...(attributes ? { attribute: attributes } : {}) })
      return output
    },
  }
}

/** Adds nodes that bring the columns of `matrix` (float32) to one scale, in float64. Returns their output's name. */
export function scaleNodes(graph: DoubleGraph, { mean, inverse }: Scaling, matrix: string): string {
  const scalar = (value: number): Constants => ({ values: [value], dims: [] })
  const clip = (input: string, limit: number, output: string): string =>
    graph.add('Clip', [input, scalar(-limit), scalar(limit)], output)
  const missing = graph.add('IsNaN', [matrix], 'missing')
  const finite = clip(graph.add('Cast', [matrix], 'double', [attribute.int('to', 11)]), LARGEST, 'finite')
  const centred = graph.add('Sub', [finite, { values: mean }], 'centred')
  const scaled = graph.add('Mul', [centred, { values: inverse }], 'scaled')
  return graph.add('Where', [missing, scalar(0), clip(scaled, FARTHEST, 'held')], 'inputs')
}

/** Adds the nodes of the layers, in float64. Returns their output's name. */
export function layerNodes(graph: DoubleGraph, layers: Dense[], input: string): string {
  return layers.reduce((x, { inputs, outputs, weights, biases, relu }, at) => {
    const product = graph.add('MatMul', [x, { values: weights, dims: [inputs, outputs] }], `product_${at}`)
    const sum = graph.add('Add', [product, { values: biases }], `sum_${at}`)
    return relu ? graph.add('Relu', [sum], `hidden_${at}`) : sum
  }, input)
}

/** Adds the last node, from float64 to float32, which rounds as `Math.fround` does. */
export function castToFloat(graph: DoubleGraph, double: string, output: string): GraphPart {
  graph.add('Cast', [double], output, [attribute.int('to', 1)])
  return graph
}

/** Adds nodes that turn categories into numbers and keep the order of the columns. Returns their output's name. */
export function encodedNodes(graph: DoubleGraph, names: string[], encoder: CategoryRanks[]): string {
  const { constants, nodes, output, position } = encoderNodes({ names, encoder })
  graph.constants.push(...constants)
  graph.nodes.push(...nodes)
  if (encoder.length === 0) return output
  graph.constants.push({ name: 'positions', type: 'int64', values: position })
  return graph.add('Gather', [output, 'positions'], 'ordered', [attribute.int('axis', 1)])
}
