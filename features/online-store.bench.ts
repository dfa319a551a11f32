/**
 * What the online store costs, on a Redis of its own and on LMDB, beside `redis-benchmark` in the same run. Prints JSON.
 *
 * load: a base of 1,000,000 states of 256 bytes through `publish`, beside `redis-benchmark -t set -P 256`. read: batches of 256
 * random keys through a group that has written nothing, so that each is two MGETs, the group's and the base's, and through
 * one that has written all it reads; one batch at a time and 8 at once, beside MGET of 256 keys from 1 and from 50 clients.
 * Every figure is the median of three; load and peer alternate, on keys that are new, because a first write costs the
 * server more than one over it.
 */
import { spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openOnlineStore, type EntityState, type GroupState, type OnlineStore } from './online-store.ts'
import { redisServerOnPath, startRedis, type RedisProcess } from './redis-process.ts'

const ENTITIES = 1_000_000
const BYTES = 256
const BATCH = 256
const READS = 2000
const WRITTEN = 100_000
const RUNS = 3

const bytes = Buffer.alloc(BYTES, 7)
const draft = { service: 'bench', serviceDigest: '', watermark: 0, minorUnits: 2 }
function* states(count: number): Generator<EntityState> {
  for (let key = 0; key < count; key++) yield { view: 'customers', key, bytes }
}

const median = (values: number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]

/** Things a second of `work`, which does `count` of them. */
async function rate(count: number, work: () => Promise<unknown>): Promise<number> {
  const started = performance.now()
  await work()
  return Math.round((count / (performance.now() - started)) * 1000)
}

async function repeated(run: () => Promise<number>): Promise<number> {
  const rates: number[] = []
  for (let i = 0; i < RUNS; i++) rates.push(await run())
  return median(rates)
}

function readRate(group: GroupState, keys: number, atOnce: number): Promise<number> {
  let seed = 1
  const next = (): number => (seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff) % keys
  const batches = Array.from({ length: READS }, () => Array.from({ length: BATCH }, next))
  return repeated(() =>
    rate(READS * BATCH, async () => {
      let at = 0
      const reader = async (): Promise<void> => {
        while (at < READS) {
          const values = await group.read('customers', batches[at++])
          if (values.some((value) => value?.length !== BYTES)) throw new Error('A state is missing')
        }
      }
      await Promise.all(Array.from({ length: atOnce }, reader))
    }),
  )
}

async function reads(store: OnlineStore): Promise<Record<string, Record<string, number>>> {
  const untouched = await store.group('bench', 'untouched')
  const written = await store.group('bench', 'written')
  await written.write(states(WRITTEN), { offsets: {}, watermark: 0, minorUnits: 2 })
  return {
    fromBase: { oneAtATime: await readRate(untouched, ENTITIES, 1), eightAtOnce: await readRate(untouched, ENTITIES, 8) },
    fromGroup: { oneAtATime: await readRate(written, WRITTEN, 1), eightAtOnce: await readRate(written, WRITTEN, 8) },
  }
}

/** What redis-benchmark says it did a second, a command. */
function peer(server: RedisProcess, args: string[]): number {
  const { stdout, stderr } = spawnSync('redis-benchmark', ['-p', String(server.port), '-r', String(ENTITIES), '--csv', ...args], { encoding: 'utf8' })
  const figures = stdout.trim().split('\n').at(-1)?.split('","')[1]
  if (figures === undefined) throw new Error(`redis-benchmark ${args.slice(0, 4).join(' ')} …: ${stderr}`)
  return Math.round(Number(figures))
}

/** The peer's keys lie in another database of the server, emptied for each run. */
async function loads(server: RedisProcess, store: OnlineStore): Promise<{ publish: number; set: number; ratio: number }> {
  const [ours, theirs]: [number[], number[]] = [[], []]
  for (let run = 0; run < RUNS; run++) {
    await server.command('FLUSHALL')
    theirs.push(peer(server, ['-t', 'set', '-P', '256', '-n', String(ENTITIES), '-d', String(BYTES), '--dbnum', '1']))
    await server.command('FLUSHALL')
    ours.push(await rate(ENTITIES, () => store.publish(draft, states(ENTITIES))))
  }
  return { publish: median(ours), set: median(theirs), ratio: Number((median(ours) / median(theirs)).toFixed(2)) }
}

async function redis(): Promise<unknown> {
  if (!redisServerOnPath) return { skipped: 'redis-server is not on PATH. Run: apt-get install -y redis-server' }
  if (spawnSync('redis-benchmark', ['--version']).status !== 0) return { skipped: 'redis-benchmark is not on PATH. Run: apt-get install -y redis-tools' }
  await using server = await startRedis()
  await using store = await openOnlineStore(server.url())
  const load = await loads(server, store)
  const ours = await reads(store)
  await server.command('SELECT', '0')
  const names = Array.from({ length: BATCH }, () => '{bench}:__rand_int__')
  peer(server, ['-n', String(ENTITIES), '-P', '256', '-c', '1', 'SET', '{bench}:__rand_int__', 'x'.repeat(BYTES)])
  const mget = (clients: number): Promise<number> => repeated(async () => BATCH * peer(server, ['-n', String(READS), '-c', String(clients), 'MGET', ...names]))
  const theirs = { oneClient: await mget(1), fiftyClients: await mget(50) }
  return { load, read: { ...ours, mget: theirs } }
}

async function lmdb(): Promise<unknown> {
  const folder = await mkdtemp(join(tmpdir(), 'fd-online-bench-'))
  try {
    await using store = await openOnlineStore(`lmdb:${join(folder, 'online')}`)
    return { load: { publish: await rate(ENTITIES, () => store.publish(draft, states(ENTITIES))) }, read: await reads(store) }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

console.log(JSON.stringify({ unit: 'entities a second', entities: ENTITIES, bytes: BYTES, redis: await redis(), lmdb: await lmdb() }, null, 2))
