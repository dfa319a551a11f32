import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, onTestFinished, test } from 'vitest'
import { readConfig, PROJECT_ROOT, type Config, type ServiceName } from '../../configs/config.ts'
import { credentialsFile } from '../../configs/credentials.ts'
import { runFd, startFd, type Ended } from '../console/fd-process.ts'
import { configuredServices } from './configured-services.ts'
import { serviceFolder, startService, stopService } from './lifecycle.ts'
import { freePort, runningProcess, startOf, startProcess, stopProcess } from './process.ts'
import type { Service, ServiceStatus } from './service.ts'

const home = mkdtempSync(join(tmpdir(), 'fd-services-test-'))
const file = join(home, 'services.yaml')
const config = await ownConfig()
const services = await configuredServices(config)
afterAll(async () => {
  for (const service of services) await stopService(service, home)
  rmSync(home, { recursive: true, force: true })
})

/** The servers of configs/services.yaml, on ports of this test and in its home. */
async function ownConfig(): Promise<Config> {
  const { redis, kafka, mlflow, s3 } = readConfig(join(PROJECT_ROOT, 'configs', 'services.yaml')).services
  const ports = {
    redis: { ...redis, port: await freePort() },
    kafka: { ...kafka, port: await freePort(), controllerPort: await freePort() },
    mlflow: { ...mlflow, port: await freePort() },
    s3: { ...s3, port: await freePort() },
  }
  writeFileSync(file, JSON.stringify({ services: ports }))
  return { ...readConfig(file), home }
}

function service(name: ServiceName): Service {
  const found = services.find((service) => service.name === name)
  if (found === undefined) throw new Error(`no ${name}`)
  return found
}

/** The pid of a service that must be running. */
function pidOf(name: ServiceName): number {
  const running = runningProcess(serviceFolder(home, name))
  if (running === undefined) throw new Error(`${name} is not running`)
  return running.pid
}

const fd = (...args: string[]): Promise<Ended> => runFd(home, ['services', ...args, '--config', file, '--native'])

/** A process that stands for a server. It ignores SIGTERM when `stubborn`. */
const idle = (stubborn: boolean): { command: string; args: string[] } => ({
  command: process.execPath,
  args: [
    '-e',
    `${stubborn ? "process.on('SIGTERM', () => {});" : ''} console.log('ready'); setInterval(() => {}, 1000)`,
  ],
})

test('an unknown service is an error that lists the known ones', async () => {
  const { code, stderr } = await fd('up', 'rabbitmq')
  expect({ code, stderr }).toEqual({
    code: 2,
    stderr: 'No service "rabbitmq" in the configuration; it has redis, s3, kafka, mlflow. Run: fd services status\n',
  })
})

test.each<[string, object, RegExp]>([
  ['no services at all', {}, /names no services.*configs\/services\.yaml/],
  [
    'one port for two',
    { redis: { port: 4000 }, mlflow: { port: 4000, version: '1' } },
    /redis and mlflow cannot both have port 4000\. Give each its own/,
  ],
  ['a port that is none', { redis: { port: 70_000 } }, /services\.redis\.port[^]*Mend/],
])('a configuration with %s is refused by every subcommand', async (_, services, reason) => {
  const wrong = join(home, 'wrong.yaml')
  writeFileSync(wrong, JSON.stringify({ services }))
  const refuse = async (word: string): Promise<void> => {
    const { code, stdout, stderr } = await runFd(home, ['services', word, '--native', '--config', wrong])
    expect({ word, code, stdout }).toEqual({ word, code: 2, stdout: '' })
    expect(stderr).toMatch(reason)
  }
  await Promise.all(['up', 'down', 'status', 'logs', 'env'].map(refuse))
})

test(
  'logs of all services without a name, with names before the lines; of none that ever ran, an error that says so',
  { timeout: 60_000 },
  async () => {
    const elsewhere = mkdtempSync(join(home, 'logs-'))
    const logs = (...args: string[]): Promise<Ended> =>
      runFd(elsewhere, ['services', 'logs', ...args, '--config', file, '--native'])
    expect(await logs()).toMatchObject({
      code: 2,
      stdout: '',
      stderr: `Never started in ${elsewhere}, so without a log: redis, s3, kafka, mlflow. Run: fd services up\n`,
    })
    expect(await logs('s3')).toMatchObject({
      code: 2,
      stderr: `Never started in ${elsewhere}, so without a log: s3. Run: fd services up s3\n`,
    })
    for (const name of ['redis', 'kafka'] as const) {
      mkdirSync(serviceFolder(elsewhere, name), { recursive: true })
      writeFileSync(join(serviceFolder(elsewhere, name), 'log'), `${name} 1\n${name} 2\n${name} 3\n`)
    }
    const all = await logs('--lines', '2')
    expect(all).toMatchObject({ code: 0, stdout: 'redis  redis 2\nredis  redis 3\nkafka  kafka 2\nkafka  kafka 3\n' })
    expect(all.stderr).toContain('without a log: s3, mlflow.')
    expect((await logs('redis')).stdout).toBe('redis 1\nredis 2\nredis 3\n')
    expect((await logs('--lines', '0')).stdout).toBe('')
  },
)

test('what is not installed is said with the command that gets it, and nothing is started', async () => {
  const absent = join(home, 'absent.yaml')
  writeFileSync(absent, JSON.stringify({ home, services: config.services }))
  const { code, stderr } = await runFd(
    home,
    ['services', 'up', 's3', 'kafka', 'mlflow', '--native', '--config', absent],
    { FD_CACHE: join(home, 'no-cache') },
  )
  expect(code).toBe(2)
  // Each line ends with what to type, whichever tools this machine has.
  expect(stderr.trim().split('\n')).toEqual([
    expect.stringMatching(/^s3: .*(fd services up s3 --install)$/),
    expect.stringMatching(/^kafka: .*Run: .+$/),
    expect.stringMatching(/^mlflow: .*Run: .+$/),
  ])
})

test('a process that will not end is killed after the wait; its pid file goes with it', async () => {
  const folder = mkdtempSync(join(home, 'stubborn-'))
  const { pid } = await startProcess(folder, idle(true))
  await expect.poll(() => readFileSync(join(folder, 'log'), 'utf8')).toContain('ready')
  expect(await stopProcess(folder, 100)).toBe('killed')
  expect(startOf(pid)).toBeUndefined()
  expect(await stopProcess(folder, 100)).toBe('not running')
})

test('a pid file whose number belongs to somebody else now is stale: that process is not touched', async () => {
  const folder = mkdtempSync(join(home, 'stale-'))
  const stranger = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'])
  onTestFinished(() => void stranger.kill())
  await once(stranger, 'spawn')
  writeFileSync(join(folder, 'pid'), `${stranger.pid}\n1`)
  expect(runningProcess(folder)).toBeUndefined()
  expect(await stopProcess(folder, 100)).toBe('not running')
  expect(stranger.exitCode).toBeNull()
})

test('secrets are drawn once, for their owner alone', async () => {
  const mode = statSync(credentialsFile(home)).mode & 0o777
  expect(mode.toString(8)).toBe('600')
  expect((await configuredServices(config)).map(({ url }) => url)).toEqual(services.map(({ url }) => url))
})

describe.runIf(service('redis').missing() === undefined)('Redis (redis-server on PATH)', () => {
  test('a port that another program has is an error that names it', async () => {
    const other = createServer().listen(service('redis').port, '127.0.0.1')
    await once(other, 'listening')
    const { code, stderr } = await fd('up', 'redis')
    expect(code).toBe(2)
    expect(stderr).toContain(
      `Port ${service('redis').port} of 127.0.0.1, for redis, is taken by a program that fd did not start here.`,
    )
    other.close()
    await once(other, 'close')
  })

  test('a server that ends at once says why', async () => {
    const broken: Service = {
      ...service('redis'),
      prepare: async () => ({ command: 'redis-server', args: ['--port', 'x'] }),
    }
    await expect(startService(broken, home)).rejects.toThrow(
      /redis ended while it started. Its log ends:\n[^]*FATAL CONFIG FILE ERROR[^]*run: fd services logs redis/,
    )
  })

  test(
    'up twice, also at once, is one server; status, logs and env tell of it; down ends it and keeps the data',
    { timeout: 60_000 },
    async () => {
      const ups = await Promise.all([fd('up', 'redis'), fd('up', 'redis')])
      expect(ups.map(({ code }) => code)).toEqual([0, 0])
      const already = ups.map(({ stderr }) => stderr.includes('already running'))
      expect(already.toSorted((a, b) => Number(a) - Number(b))).toEqual([false, true])
      const pid = pidOf('redis')
      expect((await fd('up', 'redis')).stderr).toContain('redis: already running')
      const [status] = JSON.parse((await fd('status', 'redis', '--json')).stdout) as ServiceStatus[]
      expect(status).toMatchObject({ name: 'redis', state: 'running', pid, detail: 'answers' })
      expect((await fd('env', 'redis')).stdout).toBe(`export REDIS_URL='${service('redis').url}'\n`)
      expect((await fd('logs', 'redis', '--lines', '3')).stdout).toContain('Ready to accept connections')

      await withRedis(async (redis) => expect(await redis.set('kept', 'yes')).toBe('OK'))
      expect((await fd('down', 'redis')).stdout).toBe('redis: stopped\n')
      expect((await fd('down', 'redis')).stdout).toBe('redis: not running\n')
      await startService(service('redis'), home)
      await withRedis(async (redis) =>
        expect([await redis.get('kept'), await redis.config('GET', 'appendonly')]).toEqual([
          'yes',
          ['appendonly', 'yes'],
        ]),
      )
    },
  )

  test('a server killed from outside is started again by up; logs --follow goes on through it', async () => {
    await startService(service('redis'), home)
    const logs = ['services', 'logs', 'redis', '--follow', '--lines', '1']
    const follower = startFd(home, [...logs, '--native', '--config', file])
    onTestFinished(() => void follower.child.kill('SIGKILL'))
    let followed = ''
    follower.child.stdout?.on('data', (text: string) => (followed += text))
    await expect.poll(() => followed, { timeout: 10_000 }).not.toBe('')
    const killed = pidOf('redis')
    process.kill(killed, 'SIGKILL')
    await expect.poll(() => startOf(killed)).toBeUndefined()
    expect((await fd('up', 'redis')).stderr).toMatch(/redis: started/)
    await expect.poll(() => followed, { timeout: 10_000 }).toContain(`${pidOf('redis')}:M`)
    follower.child.kill('SIGTERM')
    expect((await follower.ended).code).toBe(0)
  })
})

/**
 * The services of the run (`testing/service-setup.ts`). Others are not started here either. At a desk the quick one is
 * enough: the tests of faults start the others again on their data.
 */
const wanted = process.env['FD_TEST_SERVICES']?.split(',') ?? (process.env['CI'] === undefined ? ['s3'] : undefined)

// The global setup has installed what it may. The closing lines of the run name what is still missing here.
describe.each([
  ['s3', 60_000],
  ['kafka', 240_000],
  ['mlflow', 240_000],
] as const)('%s', (name, timeout) => {
  test.runIf((wanted?.includes(name) ?? true) && service(name).missing() === undefined)(
    'starts, answers with its version, stops, and starts again on its data',
    { timeout },
    async () => {
      const [one, folder] = [service(name), serviceFolder(home, name)]
      for (const round of [1, 2]) {
        expect(await startService(one, home), `round ${round}`).toBe('started')
        expect(await one.check()).toMatch(/^v?\d+\.\d+/)
        expect(await startService(one, home)).toBe('already running')
        expect(await stopService(one, home)).toBe('stopped')
        expect(runningProcess(folder)).toBeUndefined()
      }
    },
  )
})

async function withRedis(action: (redis: import('ioredis').Redis) => Promise<void>): Promise<void> {
  const { Redis } = await import('ioredis')
  const redis = new Redis(service('redis').url)
  try {
    await action(redis)
  } finally {
    redis.disconnect()
  }
}
