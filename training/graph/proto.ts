import protobuf from 'protobufjs'

/** ONNX IR version 8 with opsets 17 and ai.onnx.ml 3. Every ONNX Runtime since 1.12 reads them. */
const IR_VERSION = 8
const OPSETS = [
  { domain: '', version: 17 },
  { domain: 'ai.onnx.ml', version: 3 },
]
/** Element types by ONNX's numbers. */
const TYPES = { float: 1, int64: 7, double: 11 }
const STRING = 8

/** The messages of onnx.proto3 that a scoring graph needs, by their published field numbers. */
const root = protobuf.Root.fromJSON({
  nested: {
    Model: message({
      irVersion: ['int64', 1],
      producerName: ['string', 2],
      producerVersion: ['string', 3],
      graph: ['Graph', 7],
      opsetImport: ['Opset[]', 8],
      metadataProps: ['Entry[]', 14],
    }),
    Opset: message({ domain: ['string', 1], version: ['int64', 2] }),
    Entry: message({ key: ['string', 1], value: ['string', 2] }),
    Graph: message({
      node: ['Node[]', 1],
      name: ['string', 2],
      initializer: ['Tensor[]', 5],
      input: ['ValueInfo[]', 11],
      output: ['ValueInfo[]', 12],
    }),
    Node: message({
      input: ['string[]', 1],
      output: ['string[]', 2],
      name: ['string', 3],
      opType: ['string', 4],
      attribute: ['Attribute[]', 5],
      domain: ['string', 7],
    }),
    Attribute: message({
      name: ['string', 1],
      f: ['float', 2],
      i: ['int64', 3],
      s: ['bytes', 4],
      floats: ['float[]', 7],
      ints: ['int64[]', 8],
      strings: ['bytes[]', 9],
      type: ['int32', 20],
    }),
    Tensor: message({
      dims: ['int64[]', 1],
      dataType: ['int32', 2],
      floatData: ['float[]', 4],
      int64Data: ['int64[]', 7],
      name: ['string', 8],
      doubleData: ['double[]', 10],
    }),
    ValueInfo: message({ name: ['string', 1], type: ['Type', 2] }),
    Type: message({ tensorType: ['TensorType', 1] }),
    TensorType: message({ elemType: ['int32', 1], shape: ['Shape', 2] }),
    Shape: message({ dim: ['Dimension[]', 1] }),
    Dimension: message({ dimValue: ['int64', 1], dimParam: ['string', 2] }),
  },
})
const modelType = root.lookupType('Model')

function message(fields: Record<string, [type: string, id: number]>): protobuf.IType {
  const entries = Object.entries(fields).map(([name, [type, id]]) => [
    name,
    type.endsWith('[]') ? { rule: 'repeated', type: type.slice(0, -2), id } : { type, id },
  ])
  return { edition: 'proto3', fields: Object.fromEntries(entries) }
}

export interface Attribute {
  name: string
  type: number
}

/** A node of a graph. Only an operator outside the domain ai.onnx names its domain. */
export interface GraphNode {
  opType: string
  domain?: string
  input: string[]
  output: string[]
  attribute?: Attribute[]
}

/** A tensor that is part of the graph. */
export interface Constant {
  name: string
  type: keyof typeof TYPES
  /** Row-major. */
  values: ArrayLike<number>
  /** Default: one dimension, as long as the values; [] is a scalar. */
  dims?: number[]
}

/** Some nodes and the constants they read. The nodes are sorted: each comes after those that make its inputs. */
export interface GraphPart {
  constants: Constant[]
  nodes: GraphNode[]
}

/** A graph with inputs `[N, width]` and one float output `[N, 1]`, for any N. */
export interface ScoringGraph extends GraphPart {
  name: string
  inputs: { name: string; type: 'float' | 'string'; width: number }[]
  output: { name: string }
  metadata: Record<string, string>
}

const utf8 = new TextEncoder()
type Numbers = ArrayLike<number> & Iterable<number>

/** Attributes as ONNX types them. */
export const attribute = {
  int: (name: string, i: number) => ({ name, i, type: 2 }),
  string: (name: string, text: string) => ({ name, s: utf8.encode(text), type: 3 }),
  float: (name: string, f: number) => ({ name, f, type: 1 }),
  floats: (name: string, floats: Numbers) => ({ name, floats: [...floats], type: 6 }),
  ints: (name: string, ints: Numbers) => ({ name, ints: [...ints], type: 7 }),
  strings: (name: string, texts: string[]) => ({ name, strings: texts.map((text) => utf8.encode(text)), type: 8 }),
}

/** The bytes of an ONNX model. The same graph gives the same bytes. */
export function encodeGraph({ name, inputs, output, constants, nodes, metadata }: ScoringGraph): Uint8Array {
  const model = {
    irVersion: IR_VERSION,
    producerName: 'fd',
    opsetImport: OPSETS,
    metadataProps: Object.entries(metadata).map(([key, value]) => ({ key, value })),
    graph: {
      name,
      node: nodes.map((node, index) => ({ ...node, name: `${index}_${node.opType}` })),
      initializer: constants.map(tensor),
      input: inputs.map((input) => valueInfo(input.name, input.type, input.width)),
      output: [valueInfo(output.name, 'float', 1)],
    },
  }
  const problem = modelType.verify(model)
  if (problem !== null) throw new Error(`ONNX graph "${name}": ${problem}`)
  return modelType.encode(model).finish()
}

function tensor({ name, type, values, dims = [values.length] }: Constant): object {
  return { name, dataType: TYPES[type], dims, [`${type}Data`]: Array.from(values) }
}

function valueInfo(name: string, type: 'float' | 'string', width: number): object {
  const elemType = type === 'string' ? STRING : TYPES.float
  return {
    name,
    type: { tensorType: { elemType, shape: { dim: [{ dimParam: 'N' }, { dimValue: width }] } } },
  }
}
