import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'
import { LongestFirst } from './pipelines/testing/test-order.ts'

// The brokers of the tests live for minutes: the time they would take to compile their code well never comes back.
process.env.JDK_JAVA_OPTIONS ??= '-XX:TieredStopAtLevel=1 -XX:+UseSerialGC'

export default defineConfig({
  test: {
    include: ['{configs,datasets,features,training,registry,serving,pipelines,notebooks}/**/*.test.ts'],
    // The servers that drivers are tested against; FD_TEST_SERVICES=none does without.
    globalSetup: ['pipelines/testing/service-setup.ts'],
    sequence: { sequencer: LongestFirst },
    // Tests start real processes and real databases: forks keep native add-ons (LMDB, DuckDB, ONNX Runtime) apart.
    pool: 'forks',
    // Many tests wait for a server more than they compute. In CI the streams are long, so fewer files run at once.
    maxWorkers: process.env.CI === undefined ? Math.max(3, Math.ceil(availableParallelism() / 2)) : 2,
    // A machine that others use, too, may be many times slower. What hangs still ends.
    testTimeout: 120_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 30_000 } },
  },
})
