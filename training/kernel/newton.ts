/** L1 and L2 regularisation, which pull the steps of leaves towards 0. */
export interface Penalties {
  /** Every gradient sum is brought closer to 0 by this much. */
  l1: number
  /** Added to every hessian sum. */
  l2: number
}

/** The range a node's step may lie in, so that the monotone splits above it hold. */
export interface Bounds {
  lower: number
  upper: number
}

/**
 * The Newton step of rows with gradient sum `gradient` and hessian sum `hessian`: −T(G) / (H + l2), brought within
 * the bounds. T brings G closer to 0 by l1, as in XGBoost and LightGBM; Chen and Guestrin (2016) have l2 alone.
 */
export function stepOf(gradient: number, hessian: number, { l1, l2 }: Penalties, { lower, upper }: Bounds): number {
  const shrunk = gradient > l1 ? gradient - l1 : gradient < -l1 ? gradient + l1 : 0
  // Rows that are all saturated have neither gradient nor hessian: without l2 their step would be 0/0. It is 0.
  const step = -shrunk / Math.max(hessian + l2, 1e-12)
  return step < lower ? lower : step > upper ? upper : step
}

/** What a step takes off twice the loss: at the best step T(G)² / (H + l2), with T as in `stepOf`. */
export function fallOf(gradient: number, hessian: number, step: number, { l1, l2 }: Penalties): number {
  return -step * (2 * gradient + (hessian + l2) * step) - 2 * l1 * Math.abs(step)
}
