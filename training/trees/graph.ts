import type { CategoryRanks } from '../fit/encoder.ts'
import { INPUT } from '../fit/fitted-model.ts'
import { attribute, type GraphNode, type GraphPart } from '../graph/proto.ts'
import type { TreeModel } from './model.ts'
import type { Trees } from './tree.ts'

const ML = 'ai.onnx.ml'

/**
 * The sum of leaves, or their mean, as nodes that read `features` and write `output`: category codes to ranks
 * (LabelEncoder), trees (TreeEnsembleRegressor).
 *
 * Missing numbers take the branch that training learned, and the graph says which (`nodes_missing_value_tracks_true`: 1 left,
 * the true branch). A link is a node of its own, since ONNX Runtime ignores the regressor's `post_transform`.
 */
export function treeGraph(model: TreeModel, output: string): GraphPart {
  const encoding = encoderNodes(model)
  const ensemble: GraphNode = {
    opType: 'TreeEnsembleRegressor',
    domain: ML,
    input: [encoding.output],
    output: [output],
    attribute: [
      attribute.int('n_targets', 1),
      attribute.string('aggregate_function', model.link === 'mean' ? 'AVERAGE' : 'SUM'),
      attribute.string('post_transform', 'NONE'),
      ...nodeAttributes(model.trees, encoding.position),
    ],
  }
  return { constants: encoding.constants, nodes: [...encoding.nodes, ensemble] }
}

interface Encoding extends GraphPart {
  /** Name of the matrix the trees read. */
  output: string
  /** Column of that matrix by column of the input. */
  position: number[]
}

/** Numbers are gathered first, then each category column is gathered, ranked and appended, so the trees' columns move. */
export function encoderNodes({ names, encoder }: Pick<TreeModel, 'names' | 'encoder'>): Encoding {
  const numeric = names
    .map((_, feature) => feature)
    .filter((feature) => !encoder.some((ranks) => ranks.feature === feature))
  if (encoder.length === 0) return { nodes: [], constants: [], output: INPUT, position: numeric }
  const order = [...numeric, ...encoder.map((ranks) => ranks.feature)]
  const blocks = encoder.map(rankNodes)
  const gathered =
    numeric.length === 0
      ? []
      : [
          {
            output: 'numbers',
            nodes: [gather('numbers', 'numeric')],
            constants: [{ name: 'numeric', type: 'int64' as const, values: numeric }],
          },
        ]
  const all = [...gathered, ...blocks]
  const concat: GraphNode = {
    opType: 'Concat',
    input: all.map((block) => block.output),
    output: ['encoded'],
    attribute: [attribute.int('axis', 1)],
  }
  return {
    nodes: [...all.flatMap((block) => block.nodes), concat],
    constants: all.flatMap((block) => block.constants),
    output: 'encoded',
    position: names.map((_, feature) => order.indexOf(feature)),
  }
}

function rankNodes({ feature, codes, ranks, unknown }: CategoryRanks): GraphPart & { output: string } {
  const [column, code, rank] = [`column_${feature}`, `code_${feature}`, `rank_${feature}`]
  const encoder: GraphNode = {
    opType: 'LabelEncoder',
    domain: ML,
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

/** Nodes in the ensemble's own numbering, counted from 0 within each tree; leaves carry the targets. */
function nodeAttributes(
  { roots, feature, threshold, missingLeft, left, value }: Trees,
  position: number[],
): ReturnType<(typeof attribute)[keyof typeof attribute]>[] {
  const nodes = feature.length
  const tree = new Int32Array(nodes)
  for (let node = 0, current = 0; node < nodes; node++) {
    if (current + 1 < roots.length && roots[current + 1] === node) current++
    tree[node] = current
  }
  const own = tree.map((owner, node) => node - roots[owner])
  const inner = (of: (node: number) => number): Float64Array =>
    Float64Array.from(feature, (by, node) => (by < 0 ? 0 : of(node)))
  const leaves = Array.from(feature.keys()).filter((node) => feature[node] < 0)
  const child = (side: number) => inner((node) => own[left[node] + side])
  return [
    attribute.ints('nodes_treeids', tree),
    attribute.ints('nodes_nodeids', own),
    attribute.ints(
      'nodes_featureids',
      inner((node) => position[feature[node]]),
    ),
    attribute.floats('nodes_values', threshold),
    attribute.strings(
      'nodes_modes',
      Array.from(feature, (by) => (by < 0 ? 'LEAF' : 'BRANCH_LEQ')),
    ),
    attribute.ints('nodes_truenodeids', child(0)),
    attribute.ints('nodes_falsenodeids', child(1)),
    attribute.ints('nodes_missing_value_tracks_true', missingLeft),
    attribute.ints(
      'target_treeids',
      leaves.map((node) => tree[node]),
    ),
    attribute.ints(
      'target_nodeids',
      leaves.map((node) => own[node]),
    ),
    attribute.ints('target_ids', new Uint8Array(leaves.length)),
    attribute.floats(
      'target_weights',
      leaves.map((node) => value[node]),
    ),
  ]
}
