import { expect } from 'vitest'
import type { Difference } from '../fit/graph-parity.ts'

/** Expects what the gate of a promotion does: scores that agree to 1e-6, and to 1e-4 of themselves. */
export function expectParity({ absolute, relative }: Difference): void {
  expect(absolute).toBeLessThanOrEqual(1e-6)
  expect(relative).toBeLessThanOrEqual(1e-4)
}
