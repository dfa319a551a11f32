import type { Trees } from '../trees/tree.ts'

/** Edges from the root to the deepest leaf of any tree; 0 when every tree is a single leaf. */
export function depthOf(trees: Trees): number {
  const depth = new Int32Array(trees.feature.length)
  let deepest = 0
  for (let node = 0; node < depth.length; node++) {
    deepest = Math.max(deepest, depth[node])
    // One pass in order is enough, since children come after their parent.
    if (trees.feature[node] >= 0) depth[trees.left[node]] = depth[trees.left[node] + 1] = depth[node] + 1
  }
  return deepest
}
