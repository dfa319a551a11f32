import type { Signature } from '../registry/model-card.ts'
import type { CategoryRanks } from './encoder.ts'
import { attribute, encodeGraph, type GraphNode, type IntConstant } from './onnx-proto.ts'
import type { TreeModel } from './tree-model.ts'
import type { Trees } from './tree.ts'

const INPUT = 'features'
const OUTPUT = 'score'
const ML = 'ai.onnx.ml'

/** Input `features` float32 [N, width], output `score` float32 [N, 1]. */
export function signatureOf(names: string[]): Signature {
  return {
    features: names,
    input: { name: INPUT, dtype: 'float32', shape: [-1, names.length] },
    outputs: [{ name: OUTPUT, dtype: 'float32', shape: [-1, 1] }],
  }
}

/**
 * The model as one ONNX graph: category codes to ranks (LabelEncoder), trees (TreeEnsembleRegressor), link.
 *
 * Missing numbers take the branch that training learned, and the graph says which (`nodes_missing_value_tracks_true`: 1 left,
 * the true branch). The logistic link is a Sigmoid node, since ONNX Runtime ignores the
 * regressor's `post_transform`. `metadata_props` name the features, one a line.
 */
export function toOnnx(model: TreeModel): Uint8Array {
  const encoding = encoderNodes(model)
  const sum = model.link === 'mean' ? OUTPUT : 'margin'
  const ensemble: GraphNode = {
    opType: 'TreeEnsembleRegressor',
    domain: ML,
    input: [encoding.output],
    output: [sum],
    attribute: [
      attribute.int('n_targets', 1),
      attribute.string('aggregate_function', model.link === 'mean' ? 'AVERAGE' : 'SUM'),
      attribute.string('post_transform', 'NONE'),
      ...nodeAttributes(model.trees, encoding.position),
    ],
  }
  const link: GraphNode[] = model.link === 'mean' ? [] : [{ opType: 'Sigmoid', input: [sum], output: [OUTPUT] }]
  return encodeGraph({
    name: 'score',
    input: { name: INPUT, width: model.names.length },
    output: { name: OUTPUT },
    constants: encoding.constants,
    nodes: [...encoding.nodes, ensemble, ...link],
    metadata: { producer: 'fd', features: model.names.join('\n') },
  })
}

interface Encoding {
  nodes: GraphNode[]
  constants: IntConstant[]
  /** Name of the matrix the trees read. */
  output: string
  /** Column of that matrix by column of the input. */
  position: number[]
}

/** Numbers are gathered first, then each category column is gathered, ranked and appended, so the trees' columns move. */
function encoderNodes({ names, encoder }: TreeModel): Encoding {
  const numeric = names.map((_, feature) => feature).filter((feature) => !encoder.some((ranks) => ranks.feature === feature))
  if (encoder.length === 0) return { nodes: [], constants: [], output: INPUT, position: numeric }
  const order = [...numeric, ...encoder.map((ranks) => ranks.feature)]
  const blocks = encoder.map(rankNodes)
  const gathered = numeric.length === 0 ? [] : [{ output: 'numbers', nodes: [gather('numbers', 'numeric')], constants: [{ name: 'numeric', values: numeric }] }]
  const all = [...gathered, ...blocks]
  const concat: GraphNode = { opType: 'Concat', input: all.map((block) => block.output), output: ['encoded'], attribute: [attribute.int('axis', 1)] }
  return {
    nodes: [...all.flatMap((block) => block.nodes), concat],
    constants: all.flatMap((block) => block.constants),
    output: 'encoded',
    position: names.map((_, feature) => order.indexOf(feature)),
  }
}

function rankNodes({ feature, codes, ranks, unknown }: CategoryRanks): { output: string; nodes: GraphNode[]; constants: IntConstant[] } {
  const [column, code, rank] = [`column_${feature}`, `code_${feature}`, `rank_${feature}`]
  const encoder: GraphNode = {
    opType: 'LabelEncoder',
    domain: ML,
    input: [code],
    output: [rank],
    attribute: [attribute.floats('keys_floats', codes), attribute.floats('values_floats', ranks), attribute.float('default_float', unknown)],
  }
  return { output: rank, nodes: [gather(code, column), encoder], constants: [{ name: column, values: [feature] }] }
}

function gather(output: string, columns: string): GraphNode {
  return { opType: 'Gather', input: [INPUT, columns], output: [output], attribute: [attribute.int('axis', 1)] }
}

/** Nodes in the ensemble's own numbering, counted from 0 within each tree; leaves carry the targets. */
function nodeAttributes({ roots, feature, threshold, missingLeft, left, value }: Trees, position: number[]): ReturnType<(typeof attribute)[keyof typeof attribute]>[] {
  const nodes = feature.length
  const tree = new Int32Array(nodes)
  for (let node = 0, current = 0; node < nodes; node++) {
    if (current + 1 < roots.length && roots[current + 1] === node) current++
    tree[node] = current
  }
  const own = tree.map((owner, node) => node - roots[owner])
  const inner = (of: (node: number) => number): Float64Array => Float64Array.from(feature, (by, node) => (by < 0 ? 0 : of(node)))
  const leaves = Array.from(feature.keys()).filter((node) => feature[node] < 0)
  const child = (side: number) => inner((node) => own[left[node] + side])
  return [
    attribute.ints('nodes_treeids', tree),
    attribute.ints('nodes_nodeids', own),
    attribute.ints('nodes_featureids', inner((node) => position[feature[node]])),
    attribute.floats('nodes_values', threshold),
    attribute.strings('nodes_modes', Array.from(feature, (by) => (by < 0 ? 'LEAF' : 'BRANCH_LEQ'))),
    attribute.ints('nodes_truenodeids', child(0)),
    attribute.ints('nodes_falsenodeids', child(1)),
    attribute.ints('nodes_missing_value_tracks_true', missingLeft),
    attribute.ints('target_treeids', leaves.map((node) => tree[node])),
    attribute.ints('target_nodeids', leaves.map((node) => own[node])),
    attribute.ints('target_ids', new Uint8Array(leaves.length)),
    attribute.floats('target_weights', leaves.map((node) => value[node])),
  ]
}
