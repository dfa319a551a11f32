import { defineConfig } from 'vitest/config'

// `mutate.ts` says which folder's tests are run. Without a global set-up there are no servers.
export default defineConfig({ test: { pool: 'forks', testTimeout: 60_000 } })
