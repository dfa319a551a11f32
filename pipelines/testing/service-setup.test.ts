import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { PROJECT_ROOT } from '../../configs/config.ts'

/** Runs one quick test file with Vitest, as `npm test` would, in an environment that names no servers. */
function vitest(variables: Record<string, string>): { status: number | null; said: string } {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(CI|FD_.*|VITEST.*)$/.test(name))
  const args = [join(PROJECT_ROOT, 'node_modules', 'vitest', 'vitest.mjs'), 'run', 'configs/connections/lmdb.test.ts']
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: PROJECT_ROOT,
    encoding: 'utf8',
    env: { ...Object.fromEntries(inherited), ...variables },
  })
  return { status, said: stdout + stderr }
}

test('tests without a server are told in the closing lines; with CI they fail the run, though all others pass', () => {
  const here = vitest({ FD_TEST_SERVICES: 'none' })
  expect(here.said).toMatch(
    /1 passed[^]*Not run, for want of a server:\n {2}the tests of redis: FD_TEST_SERVICES does not name it\n/,
  )
  expect(here.status).toBe(0)
  const inCi = vitest({ FD_TEST_SERVICES: 'none', CI: 'true' })
  expect(inCi.said).toMatch(/1 passed[^]*CI is set, so this fails the run\./)
  expect(inCi.status).toBe(1)
})

test('a server that is given is used, and nothing is said of it', () => {
  const { status, said } = vitest({
    FD_TEST_SERVICES: 'none',
    CI: '1',
    FD_TEST_REDIS_URL: 'redis://h',
    FD_TEST_KAFKA_URL: 'kafka://h',
    FD_TEST_MLFLOW_URL: 'http://h',
    FD_TEST_S3_URL: 's3://b',
  })
  expect(said).not.toContain('Not run')
  expect(status).toBe(0)
})
