import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['{configs,datasets,features,training,registry,serving,pipelines,notebooks}/**/*.test.ts'],
    // The servers that drivers are tested against; FD_TEST_SERVICES=none does without.
    globalSetup: ['pipelines/service-setup.ts'],
    // Tests start real processes and real databases: forks keep native add-ons (LMDB, DuckDB, ONNX Runtime) apart.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
