import { spawn, spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { RedisConnection, redisAddress } from '../../../configs/connections/redis.ts'
import { freePort, redisServerOnPath, startRedis, type RedisProcess } from '../../../configs/testing/redis-process.ts'
import { UserError } from '../../../configs/user-error.ts'
import { openOnlineStore } from '../../open.ts'
import { onlineStoreContract } from '../online-store.contract.ts'
import type { Base, Checkpoint, EntityState, GroupPartition, OwnedState } from '../online-store.ts'
import { ownerKey, serviceKeys, viewStem } from './keys.ts'
import { StateReader } from './state-reader.ts'

const draft: Omit<Base, 'version'> = { service: 'card-fraud', serviceDigest: 'd', watermark: 5, minorUnits: 2 }
const state = (key: number, text: string): EntityState => ({ view: 'customers', key, bytes: Buffer.from(text) })
const checkpoint = (offset: number): Checkpoint => ({ offset, watermark: offset, minorUnits: 2 })
const a: GroupPartition = { group: 'a', topic: 'transactions', partition: 0 }
const mine = async (): Promise<void> => {}
const texts = (read: (Uint8Array | undefined)[]): (string | undefined)[] =>
  read.map((bytes) => (bytes === undefined ? undefined : Buffer.from(bytes).toString()))
function* states(count: number, text: string): Generator<EntityState> {
  for (let key = 0; key < count; key++) yield state(key, text)
}

/** What `work` rejects with, which must be for the user. */
async function refusal(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(UserError)
  return (error as UserError).message
}

const running: RedisProcess[] = []
async function started(settings?: readonly string[], password?: string): Promise<RedisProcess> {
  const server = await startRedis(settings, password)
  running.push(server)
  return server
}
afterEach(() => Promise.all(running.splice(0).map((server) => server[Symbol.asyncDispose]())))

async function keysUnder(redis: Redis, prefix: string): Promise<string[]> {
  const found: string[] = []
  for await (const keys of redis.scanStream({ match: `*${prefix}*`, count: 1000 })) found.push(...(keys as string[]))
  return found
}

const service = process.env.FD_TEST_REDIS_URL
describe.runIf(service !== undefined)('on the Redis of FD_TEST_REDIS_URL', () => {
  const prefix = `fd-test-${randomUUID()}`
  let store = 0
  onlineStoreContract('redis:', async () => {
    const url = new URL(service ?? '')
    url.searchParams.set('prefix', `${prefix}-${store++}`)
    return url.href
  })

  test('every key begins with the prefix of the URL, so that nothing is left behind', async () => {
    const redis = new Redis(service ?? '')
    const keys = await keysUnder(redis, prefix)
    expect(keys.filter((key) => !key.startsWith(`{${prefix}-`))).toEqual([])
    for (const key of keys) await redis.unlink(key)
    expect(await keysUnder(redis, prefix)).toEqual([])
    await redis.quit()
  })
})

describe.runIf(redisServerOnPath)('on a cluster of one node, which refuses commands over two slots', () => {
  let server: RedisProcess
  let store = 0
  beforeAll(async () => {
    server = await startRedis(['--cluster-enabled', 'yes'])
    await server.command('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
    while (!String(await server.command('CLUSTER', 'INFO')).includes('cluster_state:ok'))
      await new Promise((resolve) => setTimeout(resolve, 50))
  })
  afterAll(() => server[Symbol.asyncDispose]())
  onlineStoreContract('redis: in a cluster', async () => server.url(`?prefix=w${store++}`))
})

describe('a URL', () => {
  test.each([
    ['redis://', /cannot be read/],
    ['redis://:secret@h:port', /cannot be read/],
    ['redis://:secret@h/none', /database "none"/],
    ['redis://:secret@h?tiemout=3', /unknown parameter "tiemout"/],
    ['redis://:secret@h?outageMs=1m', /outageMs=1m.*milliseconds/],
    ['redis://:secret@h?prefix=a*', /prefix "a\*"/],
    ['rediss://:secret@h?ca=/nowhere.pem', /ca=\/nowhere\.pem/],
  ])('%s is refused with its reason, and without the password', async (url, reason) => {
    const message = await refusal(openOnlineStore(url))
    expect(message).toMatch(reason)
    expect(message).not.toContain('secret')
  })

  test('of a host that does not exist, or a port where nothing listens, is told at once', async () => {
    expect(await refusal(openOnlineStore('redis://no-such-host.invalid'))).toMatch(
      /no host of the name in redis:\/\/no-such-host\.invalid/,
    )
    expect(await refusal(openOnlineStore(`redis://127.0.0.1:${await freePort()}`))).toMatch(
      /No Redis answers at.*fd services up redis/,
    )
  })
})

describe.runIf(redisServerOnPath)('a server that refuses', () => {
  test('a password that is wrong or missing; the right one may hold any character', async () => {
    const server = await started(['--requirepass', 'p@ss:/w?rd'], 'p@ss:/w?rd')
    expect(await refusal(openOnlineStore(server.url('', ':wrong@')))).toMatch(/refused the password/)
    expect(await refusal(openOnlineStore(server.url('', '')))).toMatch(/wants a password/)
    await using store = await openOnlineStore(server.url('/3'))
    await store.publish(draft, states(1000, 'x'))
    expect(await server.command('DBSIZE')).toBe(0)
    expect((await store.base('card-fraud'))?.version).toBe(1)
  })

  test('no password, though one is given: it is let in', async () => {
    const server = await started()
    await using store = await openOnlineStore(server.url('', ':needless@'))
    expect((await store.publish(draft, states(1000, 'x'))).version).toBe(1)
  })

  test('a record that is not ours', async () => {
    const server = await started()
    await using store = await openOnlineStore(server.url())
    await server.command('SET', '{fd:card-fraud:0:a:transactions:0}:checkpoint', 'hello')
    expect(await refusal(store.group('card-fraud', a))).toMatch(/not a record of ours.*prefix/)
    await server.command('LPUSH', '{fd:card-fraud}:base', 'hello')
    expect(await refusal(store.base('card-fraud'))).toMatch(/other data under our keys.*prefix/)
  })

  test('a database it does not have', async () => {
    const server = await started()
    expect(await refusal(openOnlineStore(server.url('/99')))).toMatch(/no such database/)
  })

  test('writes when memory is full: nothing of a checkpoint is there, and the base stays', async () => {
    const server = await started(['--maxmemory', '6mb'])
    await using store = await openOnlineStore(server.url())
    await store.publish(draft, [state(1, 'one')])
    const group = await store.take('card-fraud', a, mine)
    await group.write([state(1, 'ONE')], checkpoint(1))
    expect(await refusal(store.publish(draft, states(10_000, 'x'.repeat(2000))))).toMatch(/out of memory.*maxmemory/)
    expect((await store.base('card-fraud'))?.version).toBe(1)
    expect(await server.command('DBSIZE')).toBe(7)
    expect(await refusal(group.write([state(1, 'lost'), state(2, 'x'.repeat(8_000_000))], checkpoint(2)))).toMatch(
      /out of memory/,
    )
    const again = await store.group('card-fraud', a)
    expect(again.checkpoint).toEqual(checkpoint(1))
    expect(texts(await again.read('customers', [1, 2]))).toEqual(['ONE', undefined])
  })

  test('to keep what it was given', async () => {
    const server = await started(['--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru'])
    expect(await refusal(openOnlineStore(server.url()))).toMatch(/allkeys-lru.*noeviction/)
  })

  test('writes because it is a replica, or cannot save', async () => {
    const server = await started(['--save', '3600 1000000'])
    await using store = await openOnlineStore(server.url())
    const group = await store.take('card-fraud', a, mine)
    await server.command('REPLICAOF', '127.0.0.1', String(await freePort()))
    expect(await refusal(group.write([state(1, 'x')], checkpoint(1)))).toMatch(/read-only replica/)
    await server.command('REPLICAOF', 'NO', 'ONE')
    await rm(server.folder, { recursive: true })
    await server.command('BGSAVE')
    while (!String(await server.command('INFO', 'persistence')).includes('rdb_last_bgsave_status:err'))
      await new Promise((resolve) => setTimeout(resolve, 50))
    expect(await refusal(group.write([state(1, 'x')], checkpoint(1)))).toMatch(/cannot save to disk/)
  })
})

const openssl = spawnSync('openssl', ['version']).status === 0

describe.runIf(redisServerOnPath && openssl)('over TLS', () => {
  test('the certificate is checked, against the authority that the URL names', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'fd-tls-'))
    try {
      const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')]
      const made = spawnSync('openssl', [
        'req',
        '-x509',
        '-newkey',
        'rsa:2048',
        '-nodes',
        '-subj',
        '/CN=localhost',
        '-addext',
        'subjectAltName=DNS:localhost',
        '-keyout',
        key,
        '-out',
        certificate,
      ])
      expect(made.status).toBe(0)
      const port = await freePort()
      const server = await started([
        '--tls-port',
        String(port),
        '--tls-cert-file',
        certificate,
        '--tls-key-file',
        key,
        '--tls-auth-clients',
        'no',
      ])
      expect(await refusal(openOnlineStore(`rediss://localhost:${port}`))).toMatch(
        /certificate that is not trusted.*ca=FILE/,
      )
      expect(await refusal(openOnlineStore(`rediss://localhost:${server.port}?connectMs=300`))).toMatch(
        /needs a port that speaks TLS/,
      )
      expect(await refusal(openOnlineStore(`redis://localhost:${port}?commandMs=1000`))).toMatch(/rediss:/)
      await using store = await openOnlineStore(`rediss://localhost:${port}?ca=${encodeURIComponent(certificate)}`)
      await store.publish(draft, states(20_000, 'x'))
      const group = await store.take('card-fraud', a, mine)
      expect(texts(await group.read('customers', [0, 19_999]))).toEqual(['x', 'x'])
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})

const AOF = ['--appendonly', 'yes', '--appendfsync', 'always']

describe.runIf(redisServerOnPath)('a server that goes away', () => {
  test(
    'killed again and again while a group writes and reads: ' +
      'nothing acknowledged is lost, ' +
      'and the outage is told',
    async () => {
      const server = await started(AOF)
      const told: string[] = []
      await using store = await openOnlineStore(server.url('?outageMs=20000'), (line) => told.push(line))
      await store.publish(draft, states(2000, 'base'))
      const group = await store.take('card-fraud', a, mine)
      const over = new AbortController()
      const kills = (async () => {
        for (let kill = 0; kill < 3; kill++) {
          await new Promise((resolve) => setTimeout(resolve, 100 + 60 * kill))
          await server.kill()
          await new Promise((resolve) => setTimeout(resolve, 200))
          await server.start()
          // Wait for the end of this outage: a second loss within it would be told as one.
          while (told.filter((line) => line.endsWith('is back.')).length <= kill)
            await new Promise((resolve) => setTimeout(resolve, 10))
        }
        over.abort()
      })()
      let offset = 0
      for (; !over.signal.aborted; offset++) {
        await group.write([state(offset % 700, `at ${offset}`), state(1000, `at ${offset}`)], checkpoint(offset))
        expect(texts(await group.read('customers', [offset % 700, 1000, 1500]))).toEqual([
          `at ${offset}`,
          `at ${offset}`,
          'base',
        ])
      }
      await kills
      const again = await store.group('card-fraud', a)
      expect(again.checkpoint).toEqual(checkpoint(offset - 1))
      expect(texts(await again.read('customers', [1000]))).toEqual([`at ${offset - 1}`])
      expect(told.filter((line) => line.startsWith('Lost')).length).toBe(3)
      expect(told.filter((line) => line.endsWith('is back.')).length).toBe(3)
    },
  )

  test('killed under a load: it goes on where the server lost nothing, and the base is whole', async () => {
    const server = await started(AOF)
    await using store = await openOnlineStore(server.url())
    let restarted: Promise<void> | undefined
    await store.publish(
      draft,
      (function* () {
        for (let key = 0; key < 60_000; key++) {
          if (key === 30_000) restarted = server.kill().then(() => server.start())
          yield state(key, `value ${key}`)
        }
      })(),
    )
    await restarted
    const keys = Array.from({ length: 60_000 }, (_, key) => key)
    const group = await store.take('card-fraud', a, mine)
    expect(texts(await group.read('customers', keys))).toEqual(keys.map((key) => `value ${key}`))
  })

  test('and comes back empty: a load fails, and a group refuses to mix what was with what is', async () => {
    const server = await started()
    await using store = await openOnlineStore(server.url())
    await store.publish(draft, [state(1, 'one')])
    const group = await store.take('card-fraud', a, mine)
    await group.write([state(2, 'two')], checkpoint(1))
    const load = store.publish(
      draft,
      (function* () {
        for (let key = 0; key < 60_000; key++) {
          if (key === 30_000) void server.kill().then(() => server.start())
          yield state(key, 'x')
        }
      })(),
    )
    expect(await refusal(load)).toMatch(/lost a part/)
    expect(await refusal(group.read('customers', [2]))).toMatch(
      /has lost the features that group "a" was reading.*fd features backfill --online/,
    )
    expect(await refusal(group.write([state(3, 'three')], checkpoint(2)))).toMatch(/has lost the features/)
    expect((await store.group('card-fraud', a)).checkpoint).toBeUndefined()
  })

  test('or is emptied under the connection: nobody looks new, a group refuses to read', async () => {
    const server = await started()
    await using store = await openOnlineStore(server.url())
    await store.publish(draft, [state(1, 'one')])
    const group = await store.take('card-fraud', a, mine)
    await server.command('FLUSHALL')
    expect(await refusal(group.read('customers', [1]))).toMatch(/has lost the features that group "a" was reading/)
    expect(await refusal(group.write([state(3, 'three')], checkpoint(2)))).toMatch(/has lost the features/)
  })

  test('or is emptied between the two reads of a batch: nobody looks new', async () => {
    const server = await started()
    await using store = await openOnlineStore(server.url())
    await store.publish(draft, states(300, 'base'))
    const group = await store.take('card-fraud', a, mine)
    await group.write(states(200, 'own'), checkpoint(2))
    // After these the reader asks for the group's own states first, and then for what is missing of the base's.
    await group.read('customers', [1, 2, 3])
    const address = redisAddress(server.url())
    await using connection = await RedisConnection.open(address)
    const keys = serviceKeys(address.prefix, 'card-fraud')
    const tag = keys.tag(1, a)
    let asked = 0
    const gone = new UserError('the name is gone')
    const reader = new StateReader({
      run: async (attempt) => {
        if (++asked === 3) await server.command('FLUSHALL')
        return connection.run(attempt)
      },
      own: (view) => viewStem(tag, view),
      base: (view) => viewStem(keys.tag(1), view),
      hasOwn: () => true,
      owner: { key: ownerKey(tag), gone: async () => gone },
    })
    expect(texts(await reader.read('customers', [1, 2, 250]))).toEqual(['own', 'own', 'base'])
    await expect(reader.read('customers', [1, 2, 251])).rejects.toBe(gone)
    expect(asked).toBe(3)
  })

  test('or hangs before it was ever reached: opening ends too', async () => {
    const server = await started()
    server.signal('SIGSTOP')
    expect(await refusal(openOnlineStore(server.url('?commandMs=200')))).toMatch(/does not answer in time/)
  })

  test('for good, or hangs: calls end after the time the URL gives', async () => {
    const server = await started()
    await using store = await openOnlineStore(server.url('?commandMs=200&outageMs=600'))
    const group = await store.take('card-fraud', a, mine)
    server.signal('SIGSTOP')
    expect(await refusal(group.read('customers', [1]))).toMatch(/away for 0\.6 s/)
    server.signal('SIGCONT')
    expect(texts(await group.read('customers', [1]))).toEqual([undefined])
    await server.kill()
    expect(await refusal(group.write([], checkpoint(1)))).toMatch(/away for 0\.6 s/)
    expect(await refusal(store.publish(draft, []))).toMatch(/away for 0\.6 s/)
  })
})

describe.runIf(redisServerOnPath)('a publish', () => {
  test('that removes a base in use never lets its reader find a key missing: it is refused', async () => {
    const server = await started()
    await using store = await openOnlineStore(server.url())
    const size = 20_000
    await store.publish(draft, states(size, 'base'))
    const groups = await Promise.all(
      Array.from({ length: 8 }, (_, partition) => store.take('card-fraud', { ...a, partition }, mine)),
    )
    for (const [i, group] of groups.entries()) if (i % 2 === 0) await group.write([state(1, 'own')], checkpoint(2))
    await store.publish(draft, [])
    const wanted = Array.from({ length: 100 }, (_, i) => i * (size / 100))
    const readToTheEnd = async (group: OwnedState): Promise<void> => {
      for (;;) expect(texts(await group.read('customers', wanted))).not.toContain(undefined)
    }
    const readers = groups.map((group) => refusal(readToTheEnd(group)))
    await store.publish(draft, [])
    for (const reader of readers) expect(await reader).toMatch(/newer backfills have replaced them/)
  })

  test('that is killed leaves nothing visible, and later ones remove it once its lease has run out', async () => {
    const server = await started()
    await using store = await openOnlineStore(server.url())
    await store.publish(draft, [state(1, 'old')])
    const script = `
      const { openOnlineStore } = await import(${JSON.stringify(join(import.meta.dirname, '../../open.ts'))})
      const store = await openOnlineStore(${JSON.stringify(server.url())})
      const states = (function* () {
        for (let key = 0; ; key++) yield { view: 'customers', key, bytes: Buffer.from('new') }
      })()
      await store.publish(${JSON.stringify(draft)}, states)`
    const child = spawn(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script],
      { stdio: 'inherit' },
    )
    while (Number(await server.command('DBSIZE')) < 5000) await new Promise((resolve) => setTimeout(resolve, 10))
    child.kill('SIGKILL')
    await once(child, 'close')
    expect((await store.base('card-fraud'))?.version).toBe(1)
    expect(texts(await (await store.group('card-fraud', a)).read('customers', [1, 2]))).toEqual(['old', undefined])

    expect((await store.publish(draft, [state(1, 'newer')])).version).toBe(2)
    expect(await server.command('EXISTS', '{fd:card-fraud:2}customers:n2')).toBe(1)
    expect(Number(await server.command('PTTL', '{fd:card-fraud}:loading:2'))).toBeGreaterThan(0)
    await server.command('DEL', '{fd:card-fraud}:loading:2')
    expect((await store.publish(draft, [state(1, 'newest')])).version).toBe(3)
    const left = (await server.command('KEYS', '*')) as string[]
    expect(left.toSorted()).toEqual([
      '{fd:card-fraud:3}customers:n1',
      '{fd:card-fraud:4}customers:n1',
      '{fd:card-fraud}:base',
      '{fd:card-fraud}:bases',
      '{fd:card-fraud}:loads',
    ])
  })

  test('that stood still until its lease ran out is not published', async () => {
    const server = await started()
    await using store = await openOnlineStore(server.url())
    const stalled = store.publish(
      draft,
      (function* () {
        yield* states(20_000, 'x')
        void server.command('DEL', '{fd:card-fraud}:loading:1')
        yield* states(20_000, 'x')
      })(),
    )
    expect(await refusal(stalled)).toMatch(/stood still/)
    expect(await store.base('card-fraud')).toBeUndefined()
    expect(await server.command('KEYS', '*customers*')).toEqual([])
  })

  test('beside another of the same service: both are bases, one after the other, each whole', async () => {
    const server = await started()
    await using store = await openOnlineStore(server.url())
    await using other = await openOnlineStore(server.url())
    const [first, second] = await Promise.all([
      store.publish(draft, states(20_000, 'first')),
      other.publish(draft, states(20_000, 'second')),
    ])
    expect([first.version, second.version].toSorted((a, b) => a - b)).toEqual([1, 2])
    const group = await store.take('card-fraud', a, mine)
    const keys = Array.from({ length: 20_000 }, (_, key) => key)
    expect(new Set(texts(await group.read('customers', keys)))).toEqual(
      new Set([first.version === 2 ? 'first' : 'second']),
    )
  })
})
