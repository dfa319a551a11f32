import { defineConfig, type ViteUserConfig } from 'vitest/config'
import { QuickestFirst } from '../testing/test-order.ts'

/**
 * How Vitest runs the tests of a subject of `mutate.ts`. Without a global set-up there are no servers. A mutant that no
 * quick test notices is put to the slow ones, whose random schedules are fewer here: each survivor costs all of them.
 */
export function mutationConfig(tests: string[]): ViteUserConfig {
  return defineConfig({
    test: {
      include: tests,
      sequence: { sequencer: QuickestFirst },
      env: { FD_SIM_COUNT: '400' },
      testTimeout: 60_000,
      hookTimeout: 60_000,
      expect: { poll: { timeout: 10_000 } },
    },
  })
}
