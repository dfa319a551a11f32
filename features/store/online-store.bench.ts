/**
 * Measures what the online store costs, on a Redis of its own and on LMDB, beside `redis-benchmark` in the same run.
 * Prints JSON.
 *
 * - load: `publish` of a base of 1,000,000 states of 256 bytes, beside `redis-benchmark -t set -P 256`. All keys are
 *   new, because a first write costs the server more than an overwrite.
 * - read: batches of 256 random keys. One batch at a time stands beside one client's MGET of 256 keys, 8 at once beside
 *   that of 50 clients. Three readers: `base`, a new group that reads the base; `baseThroughGroup`, a group that has
 *   written none of the keys, so that the server looks for 512; `group`, one that reads a tenth of the keys, of which
 *   it has written all.
 * - write: checkpoints of a thousand states, beside the same bytes in a plain MULTI.
 *
 * Every figure is the median of three, taken in turn with its peer.
 */
import { spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { redisServerOnPath, startRedis, type RedisProcess } from '../../configs/testing/redis-process.ts'
import { openOnlineStore } from '../open.ts'
import type { EntityState, Checkpoint, GroupState, OnlineStore, OwnedState } from './online-store.ts'

const ENTITIES = 1_000_000
const BYTES = 256
const BATCH = 256
const READS = 2000
const WRITTEN = 100_000
const RUNS = 3
const CHECKPOINT = 1000
const CHECKPOINTS = 100

const bytes = Buffer.alloc(BYTES, 7)
const checkpoint: Checkpoint = { offset: 0, watermark: 0, minorUnits: 2 }
const draft = { service: 'bench', serviceDigest: '', watermark: 0, minorUnits: 2 }
function* states(count: number): Generator<EntityState> {
  for (let key = 0; key < count; key++) yield { view: 'customers', key, bytes }
}

const median = (values: number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]

const share = (ours: number, theirs: number): number => Number((ours / theirs).toFixed(2))

/** How many things `work` does in a second; it does `count` of them. */
async function rate(count: number, work: () => Promise<unknown>): Promise<number> {
  const started = performance.now()
  await work()
  return Math.round((count / (performance.now() - started)) * 1000)
}

/** The medians of figures that are taken in turn, so that a slow minute of the machine affects all of them. */
async function inTurn<Name extends string>(
  figures: Record<Name, () => Promise<number>>,
): Promise<Record<Name, number>> {
  const names = Object.keys(figures) as Name[]
  const taken = new Map(names.map((name) => [name, [] as number[]]))
  for (let run = 0; run < RUNS; run++) for (const name of names) taken.get(name)?.push(await figures[name]())
  return Object.fromEntries(names.map((name) => [name, median(taken.get(name) ?? [])])) as Record<Name, number>
}

function reader(group: GroupState, keys: number, atOnce: number): () => Promise<number> {
  let seed = 1
  const next = (): number => (seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff) % keys
  const batches = Array.from({ length: READS }, () => Array.from({ length: BATCH }, next))
  const readOn = async (from: { at: number }): Promise<void> => {
    while (from.at < READS) {
      const values = await group.read('customers', batches[from.at++])
      if (values.some((value) => value?.length !== BYTES)) throw new Error('A state is missing')
    }
  }
  return () => {
    const from = { at: 0 }
    return rate(READS * BATCH, () => Promise.all(Array.from({ length: atOnce }, () => readOn(from))))
  }
}

async function readers(store: OnlineStore) {
  const take = (group: string): Promise<OwnedState> =>
    store.take('bench', { group, topic: 'transactions', partition: 0 }, async () => {})
  const written = await take('written')
  await written.write(states(WRITTEN), checkpoint)
  const fresh = await take('fresh')
  const begun = await take('begun')
  await begun.write([], checkpoint)
  return {
    base: reader(fresh, ENTITIES, 1),
    baseThroughGroup: reader(begun, ENTITIES, 1),
    group: reader(written, WRITTEN, 1),
    baseEightAtOnce: reader(fresh, ENTITIES, 8),
    baseThroughGroupEightAtOnce: reader(begun, ENTITIES, 8),
    groupEightAtOnce: reader(written, WRITTEN, 8),
  }
}

/** States a second in checkpoints, beside the same bytes in a plain MULTI, which does not check who may write. */
async function checkpoints(
  server: RedisProcess,
  store: OnlineStore,
): Promise<{ checkpoint: number; multi: number; ratio: number }> {
  const group = await store.take('bench', { group: 'checkpoints', topic: 'transactions', partition: 0 }, async () => {})
  const batch = [...states(CHECKPOINT)]
  const names = batch.map(({ key }) => `{bench:multi}:${key}`)
  const redis = new Redis({ port: server.port, host: '127.0.0.1' })
  const multi = async (): Promise<void> => {
    const transaction = redis.multi()
    for (let at = 0; at < CHECKPOINT; at += 128)
      transaction.mset(names.slice(at, at + 128).flatMap((name) => [name, bytes]))
    await transaction.set('{bench:multi}:checkpoint', 'x').exec()
  }
  const repeated = (work: () => Promise<void>): Promise<number> =>
    rate(CHECKPOINTS * CHECKPOINT, async () => {
      for (let i = 0; i < CHECKPOINTS; i++) await work()
    })
  const taken = await inTurn({
    checkpoint: () => repeated(() => group.write(batch, checkpoint)),
    multi: () => repeated(multi),
  })
  redis.disconnect()
  return { ...taken, ratio: share(taken.checkpoint, taken.multi) }
}

/** The commands a second that redis-benchmark reports. */
function peer(server: RedisProcess, args: string[]): number {
  const { stdout, stderr } = spawnSync(
    'redis-benchmark',
    ['-p', String(server.port), '-r', String(ENTITIES), '--csv', ...args],
    { encoding: 'utf8' },
  )
  const figures = stdout.trim().split('\n').at(-1)?.split('","')[1]
  if (figures === undefined) throw new Error(`redis-benchmark ${args.slice(0, 4).join(' ')} …: ${stderr}`)
  return Math.round(Number(figures))
}

/** States a second of `publish`, and of the peer, whose keys lie in another database. Each run starts empty. */
async function loads(
  server: RedisProcess,
  store: OnlineStore,
): Promise<{ publish: number; set: number; ratio: number }> {
  const [ours, theirs]: [number[], number[]] = [[], []]
  for (let run = 0; run < RUNS; run++) {
    await server.command('FLUSHALL')
    theirs.push(peer(server, ['-t', 'set', '-P', '256', '-n', String(ENTITIES), '-d', String(BYTES), '--dbnum', '1']))
    await server.command('FLUSHALL')
    ours.push(await rate(ENTITIES, () => store.publish(draft, states(ENTITIES))))
  }
  return { publish: median(ours), set: median(theirs), ratio: share(median(ours), median(theirs)) }
}

async function redis(): Promise<unknown> {
  if (!redisServerOnPath) return { skipped: 'redis-server is not on PATH. Run: apt-get install -y redis-server' }
  if (spawnSync('redis-benchmark', ['--version']).status !== 0)
    return { skipped: 'redis-benchmark is not on PATH. Run: apt-get install -y redis-tools' }
  await using server = await startRedis()
  await using store = await openOnlineStore(server.url())
  const load = await loads(server, store)
  const names = Array.from({ length: BATCH }, () => '{bench}:__rand_int__')
  await server.command(
    'EVAL',
    `for i = 0, ARGV[1] - 1 do redis.call('SET', string.format('{bench}:%012d', i), ARGV[2]) end`,
    '0',
    String(ENTITIES),
    'x'.repeat(BYTES),
  )
  const mget = async (clients: number): Promise<number> =>
    BATCH * peer(server, ['-n', String(READS), '-c', String(clients), 'MGET', ...names])
  const read = await inTurn({
    mgetOneClient: () => mget(1),
    ...(await readers(store)),
    mgetFiftyClients: () => mget(50),
  })
  const ratio = {
    base: share(read.base, read.mgetOneClient),
    group: share(read.group, read.mgetOneClient),
    baseEightAtOnce: share(read.baseEightAtOnce, read.mgetFiftyClients),
    groupEightAtOnce: share(read.groupEightAtOnce, read.mgetFiftyClients),
  }
  return { load, read: { ...read, ratio }, write: await checkpoints(server, store) }
}

async function lmdb(): Promise<unknown> {
  const folder = await mkdtemp(join(tmpdir(), 'fd-online-bench-'))
  try {
    await using store = await openOnlineStore(`lmdb:${join(folder, 'online')}`)
    return {
      load: { publish: await rate(ENTITIES, () => store.publish(draft, states(ENTITIES))) },
      read: await inTurn(await readers(store)),
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

console.log(
  JSON.stringify(
    { unit: 'entities a second', entities: ENTITIES, bytes: BYTES, redis: await redis(), lmdb: await lmdb() },
    null,
    2,
  ),
)
