import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { environmentWithHome, loadConfig, PROJECT_ROOT, readConfig } from './config.ts'
import { credentialsFile } from './credentials.ts'
import { UserError } from './user-error.ts'

const home = mkdtempSync(join(tmpdir(), 'fd-config-'))
afterAll(() => rmSync(home, { recursive: true, force: true }))
const services = join(PROJECT_ROOT, 'configs', 'services.yaml')
const empty = join(home, 'empty.yaml')
writeFileSync(empty, '')

test('configs/services.yaml picks a service driver for every port, and the ports are those of the servers', () => {
  const config = readConfig(services, { FD_HOME: home })
  const { eventLog, onlineStore, jobQueue, registry, lake, services: servers } = config
  expect(eventLog).toBe(`kafka://127.0.0.1:${servers.kafka?.port}`)
  expect(onlineStore).toBe(`redis://:\${REDIS_PASSWORD}@127.0.0.1:${servers.redis?.port}`)
  expect(jobQueue).toBe(onlineStore)
  expect(registry).toBe(`http://127.0.0.1:${servers.mlflow?.port}`)
  expect(lake).toBe(`s3://${servers.s3?.bucket}?endpoint=http://127.0.0.1:${servers.s3?.port}`)
})

test(
  // `fd services up` writes the secrets into the home.
  'a secret that is nowhere is an error that says what makes it; the home has it, the environment stands above',
  () => {
    expect(() => loadConfig(services, { FD_HOME: home })).toThrow(UserError)
    expect(() => loadConfig(services, { FD_HOME: home })).toThrow(/REDIS_PASSWORD.*Run: fd services up/)
    mkdirSync(join(home, 'services'))
    writeFileSync(credentialsFile(home), 'REDIS_PASSWORD=p=1\nS3_ACCESS_KEY_ID=key\nS3_SECRET_ACCESS_KEY=secret\n')
    const config = loadConfig(services, { FD_HOME: home })
    expect([config.onlineStore, config.jobQueue]).toEqual(Array(2).fill('redis://:p%3D1@127.0.0.1:26379'))
    expect(config.s3).toMatchObject({ accessKeyId: 'key', secretAccessKey: 'secret' })
    const told = loadConfig(services, { FD_HOME: home, REDIS_PASSWORD: 'a@b', AWS_ACCESS_KEY_ID: 'mine' })
    expect(told.onlineStore).toBe('redis://:a%40b@127.0.0.1:26379')
    expect(told.s3.accessKeyId).toBe('mine')
    const other = loadConfig(services, environmentWithHome(join(home, 'other'), { FD_HOME: home }))
    expect([other.home, other.onlineStore]).toEqual([join(home, 'other'), config.onlineStore])
  },
)

test('variables of other programs lead to the same servers; those of fd stand above them', () => {
  const shared = { FD_HOME: home, KAFKA_BROKERS: 'a:9092,b:9092', REDIS_URL: 'redis://r:1' }
  expect(loadConfig(empty, shared)).toMatchObject({
    eventLog: 'kafka://a:9092,b:9092',
    onlineStore: 'redis://r:1',
    jobQueue: 'redis://r:1',
  })
  expect(
    loadConfig(empty, { ...shared, FD_EVENT_LOG: 'lmdb:', FD_ONLINE_STORE: 'redis://s:2', FD_JOB_QUEUE: 'local:' }),
  ).toMatchObject({ eventLog: `lmdb:${join(home, 'log')}`, onlineStore: 'redis://s:2', jobQueue: 'local:' })
})

/** The message about a configuration file of this text, or `none`. */
function faultsOf(text: string, env: Record<string, string> = {}): string {
  const file = join(home, 'faulty.yaml')
  writeFileSync(file, text)
  try {
    loadConfig(file, { FD_HOME: home, ...env })
  } catch (error) {
    if (error instanceof UserError) return error.message.replaceAll(file, 'FILE')
    throw error
  }
  return 'none'
}

test('what is wrong is told by key, variable and value, but credentials are not shown', () => {
  const told = (...lines: string[]): string =>
    ['Configuration is not valid:', ...lines.map((line) => `  ${line}`), 'Mend FILE or the environment.'].join('\n')
  expect(faultsOf('', { FD_METRICS_PORT: 'x' })).toBe(told('metrics.port (FD_METRICS_PORT) is "x": expected number'))
  expect(faultsOf('', { FD_METRICS_PORT: '1.5' })).toBe(
    told('metrics.port (FD_METRICS_PORT) is "1.5": expected a whole number'),
  )
  expect(faultsOf('metrics: { port: 70000 }')).toBe(
    told('metrics.port is 70000: Too big: expected number to be <=65535'),
  )
  expect(faultsOf('scorer: { group: 5 }\nmlflow: { password: 123 }\nother: 1')).toBe(
    told('scorer.group is 5: expected string', 'mlflow.password: expected string', 'Unrecognized key: "other"'),
  )
  expect(faultsOf('metrics: { host: 5 }', { FD_METRICS_PORT: 'redis://:secret@h:1' })).toBe(
    told('metrics.port (FD_METRICS_PORT): expected number', 'metrics.host is 5: expected string'),
  )
  expect(faultsOf('- 1')).toBe('FILE holds [1], not keys with values. Write for example: home: .fd')
  expect(faultsOf('text')).toMatch(/^FILE holds "text", not keys with values/)
  expect(faultsOf('a: [')).toMatch(/^FILE is not YAML/)
  expect(faultsOf('# nothing')).toBe('none')
})

test.each(['heartbeatMs', 'scorer.championEveryMs'])('%s is an hour at most, which every timer can wait', (key) => {
  const section = (value: number): string =>
    key.split('.').reduceRight<string>((inner, name) => `{ ${name}: ${inner} }`, String(value))
  expect(faultsOf(section(3_600_000))).toBe('none')
  for (const value of [3_600_001, 2 ** 31]) expect(faultsOf(section(value))).toContain(`${key} is ${value}: Too big`)
})

test('features.maxEvents is a power of two that rings can hold; nothing else', () => {
  expect(readConfig(empty).features.maxEvents).toBe(2 ** 20)
  const file = join(home, 'limit.yaml')
  writeFileSync(file, 'features: { maxEvents: 4096 }')
  expect(readConfig(file).features.maxEvents).toBe(4096)
  for (const wrong of ['0', '8', '1000', '4096.5', '-16', '33554432', '"4096"', '.inf']) {
    writeFileSync(file, `features: { maxEvents: ${wrong} }`)
    expect(() => readConfig(file), wrong).toThrow(/features\.maxEvents is .*: /)
  }
})
