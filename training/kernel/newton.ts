/** What pulls the steps of leaves towards 0. */
export interface Penalties {
  /** Taken from every gradient sum, towards 0. */
  l1: number
  /** Added to every hessian sum. */
  l2: number
}

/** Between which values a node's step may lie, so that monotone splits above it stay true. */
export interface Bounds {
  lower: number
  upper: number
}

/** The Newton step of rows with gradient sum `gradient` and hessian sum `hessian`: −G / (H + l2), with L1 as Chen and Guestrin's successors have it. */
export function stepOf(gradient: number, hessian: number, { l1, l2 }: Penalties, { lower, upper }: Bounds): number {
  const shrunk = gradient > l1 ? gradient - l1 : gradient < -l1 ? gradient + l1 : 0
  // Without l2 rows that are all saturated have neither gradient nor hessian: their step is 0, not 0/0.
  const step = -shrunk / Math.max(hessian + l2, 1e-12)
  return step < lower ? lower : step > upper ? upper : step
}

/** What a step takes off twice the loss; `T(G)² / (H + l2)` at the best step, T taking l1 away. */
export function fallOf(gradient: number, hessian: number, step: number, { l1, l2 }: Penalties): number {
  return -step * (2 * gradient + (hessian + l2) * step) - 2 * l1 * Math.abs(step)
}
