import { encoderNodes } from '../fit/encoder-graph.ts'
import { type Attribute, attribute, type GraphNode, type GraphPart } from '../graph/proto.ts'
import type { TreeModel } from './model.ts'
import type { Trees } from './tree.ts'

/**
 * The sum of leaves, or their mean, as ONNX nodes that read `features` and `categories` and write `output`: categories
 * become ranks (LabelEncoder), then the trees run (TreeEnsembleRegressor).
 *
 * A missing number takes the branch that training learned. The graph says which one:
 * `nodes_missing_value_tracks_true` is 1 for the true branch, the left one. A link is a node of its own, since ONNX
 * Runtime ignores the regressor's `post_transform`.
 */
export function treeGraph(model: TreeModel, output: string): GraphPart {
  const encoding = encoderNodes(model)
  const ensemble: GraphNode = {
    opType: 'TreeEnsembleRegressor',
    domain: 'ai.onnx.ml',
    input: [encoding.output],
    output: [output],
    attribute: [
      attribute.int('n_targets', 1),
      attribute.string('aggregate_function', model.link === 'mean' ? 'AVERAGE' : 'SUM'),
      attribute.string('post_transform', 'NONE'),
      ...treeAttributes(model.trees, encoding.position),
    ],
  }
  return { constants: encoding.constants, nodes: [...encoding.nodes, ensemble] }
}

/** How ONNX names a node: by its tree, and by its number within that tree. Both arrays are indexed by node. */
interface NodeIds {
  tree: Int32Array
  /** Counted from 0 in each tree. */
  own: Int32Array
}

/** `position` is the column of the encoded matrix, by column of the input. */
function treeAttributes(trees: Trees, position: number[]): Attribute[] {
  const ids = nodeIds(trees)
  return [...nodeAttributes(trees, ids, position), ...targetAttributes(trees, ids)]
}

function nodeIds({ roots, feature }: Trees): NodeIds {
  const tree = new Int32Array(feature.length)
  for (let node = 0, current = 0; node < feature.length; node++) {
    if (current + 1 < roots.length && roots[current + 1] === node) current++
    tree[node] = current
  }
  return { tree, own: tree.map((owner, node) => node - roots[owner]) }
}

/** All nodes, leaves included: an attribute of inner nodes is 0 at leaves. */
function nodeAttributes(trees: Trees, { tree, own }: NodeIds, position: number[]): Attribute[] {
  const { feature, threshold, missingLeft, left } = trees
  const atInner = (of: (node: number) => number): Float64Array =>
    Float64Array.from(feature, (by, node) => (by < 0 ? 0 : of(node)))
  const columns = atInner((node) => position[feature[node]])
  const modes = Array.from(feature, (by) => (by < 0 ? 'LEAF' : 'BRANCH_LEQ'))
  const [trueChildren, falseChildren] = [0, 1].map((side) => atInner((node) => own[left[node] + side]))
  return [
    attribute.ints('nodes_treeids', tree),
    attribute.ints('nodes_nodeids', own),
    attribute.ints('nodes_featureids', columns),
    attribute.floats('nodes_values', threshold),
    attribute.strings('nodes_modes', modes),
    attribute.ints('nodes_truenodeids', trueChildren),
    attribute.ints('nodes_falsenodeids', falseChildren),
    attribute.ints('nodes_missing_value_tracks_true', missingLeft),
  ]
}

/** The leaves carry the targets: here one each, the leaf's value. */
function targetAttributes({ feature, value }: Trees, { tree, own }: NodeIds): Attribute[] {
  const leaves = Array.from(feature.keys()).filter((node) => feature[node] < 0)
  const atLeaves = (values: ArrayLike<number>): number[] => leaves.map((node) => values[node])
  return [
    attribute.ints('target_treeids', atLeaves(tree)),
    attribute.ints('target_nodeids', atLeaves(own)),
    attribute.ints('target_ids', new Uint8Array(leaves.length)),
    attribute.floats('target_weights', atLeaves(value)),
  ]
}
