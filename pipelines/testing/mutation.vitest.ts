import { defineConfig } from 'vitest/config'
import { QuickestFirst } from './test-order.ts'

// `mutate.ts` says which tests are run. Without a global set-up there are no servers. A mutant that no quick test
// notices is put to the slow ones, whose random schedules are fewer here: each survivor costs all of them.
export default defineConfig({
  test: {
    pool: 'forks',
    sequence: { sequencer: QuickestFirst },
    env: { FD_SIM_COUNT: '200' },
    testTimeout: 60_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 20_000 } },
  },
})
