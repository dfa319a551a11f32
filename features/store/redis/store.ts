import { RedisConnection, redisAddress } from '../../../configs/connections/redis.ts'
import type { Tell } from '../../../configs/tell.ts'
import { UserError } from '../../../configs/user-error.ts'
import type { Base, EntityState, OnlineStore } from '../online-store.ts'
import { msetBlock, RedisBulk, type Entry } from './bulk.ts'
import { openRedisState, takeRedisState } from './group.ts'
import { serviceKeys, entityKey, isOwnerKey, viewStem, type ServiceKeys } from './keys.ts'
import { readNewest, readRecord, recordText, type StoredBase } from './record.ts'

/** The most states, and bytes, in one MSET: larger commands gain nothing and keep other clients waiting. */
const BLOCK_STATES = 256
const BLOCK_BYTES = 1 << 20
/** A load renews its lease once in so many blocks, far more often than the lease takes to expire. */
const RENEW_EVERY_BLOCKS = 64
const LEASE_MS = 120_000
/** Keys that one step of the removal looks at: about a millisecond of the server's time. */
const SCAN_STEP = 2_000

/**
 * The Redis driver, for Redis 6 and later. `redisAddress` says what the URL can hold, `keys.ts` how the keys lie.
 *
 * How durable a write is depends on the server's append-only file. With `appendfsync always`, acknowledged writes
 * survive a power cut. With `everysec` (the usual choice), a kill of Redis or a power cut can lose up to two seconds.
 * Without an append-only file, everything since the last snapshot can be lost. Such a loss is found, not served: after
 * a lost connection a group compares what the server has with what it had acknowledged (`LossWatch`), and a load looks
 * for its last acknowledged block (`RedisBulk`).
 *
 * @throws UserError when the server cannot be reached, or is set to evict keys that do not expire.
 */
export async function openRedisOnlineStore(url: string, tell?: Tell): Promise<OnlineStore> {
  const address = redisAddress(url)
  const connection = await RedisConnection.open(address, tell)
  try {
    await refuseEviction(connection)
  } catch (error) {
    await connection[Symbol.asyncDispose]()
    throw error
  }
  const keys = (service: string): ServiceKeys => serviceKeys(address.prefix, service)
  const newestOr = async (service: string): Promise<StoredBase> =>
    (await newest(connection, keys(service))) ?? emptyBase(service)
  return {
    base: async (service) => {
      const stored = await newest(connection, keys(service))
      return stored === undefined ? undefined : plain(stored)
    },
    bases: (service) => publishedBases(connection, keys(service)),
    publish: (draft, states) => publish(connection, keys(draft.service), draft, states),
    group: async (service, place) => openRedisState(connection, keys(service), place, await newestOr(service)),
    take: async (service, place, confirm) =>
      takeRedisState(connection, keys(service), place, () => newestOr(service), confirm),
    [Symbol.asyncDispose]: () => connection[Symbol.asyncDispose](),
  }
}

/** Refuses a server that drops what was not used lately: it would make old customers look new. */
async function refuseEviction(connection: RedisConnection): Promise<void> {
  const memory = await connection.run((redis) => redis.info('memory'))
  const policy = /^maxmemory_policy:(.*?)\r?$/m.exec(memory)?.[1]
  if (/^maxmemory:0\r?$/m.test(memory) || policy === undefined || !policy.startsWith('allkeys-')) return
  throw new UserError(
    `Redis at ${connection.address.shown} forgets keys when memory is short (maxmemory-policy ${policy}), ` +
      'so features would be wrong in silence. Run: redis-cli CONFIG SET maxmemory-policy noeviction',
  )
}

/**
 * Writes the states under keys that no reader knows, then makes them the newest base by one SET. A killed load leaves
 * keys behind; once its lease has run out, later publishes remove them.
 */
async function publish(
  connection: RedisConnection,
  keys: ServiceKeys,
  draft: Omit<Base, 'version'>,
  states: Iterable<EntityState>,
): Promise<Base> {
  const load = await connection.run((redis) => redis.incr(keys.loads))
  const lease = keys.lease(load)
  await connection.run((redis) => redis.set(lease, 'loading', 'PX', LEASE_MS))
  // Once the lease has run out, another publish may have removed what we wrote, so it is never renewed after that.
  const renew = async (mark: string): Promise<void> => {
    const renewed = await connection.run((redis) => redis.set(lease, mark, 'PX', LEASE_MS, 'XX'))
    if (renewed === null) throw lostLoad(connection)
  }
  let base: StoredBase
  try {
    await loadStates(connection, entries(keys.tag(load), states), () => renew('loading'))
    await renew('loaded')
    base = await cutOver(connection, keys, draft, load)
  } catch (error) {
    if (connection.usable) await abandon(connection, keys, lease)
    throw error
  }
  // Before the very first load there is nothing to remove.
  if (load > 1) await sweep(connection, keys)
  return plain(base)
}

/**
 * Removes what a failed load has written. The lease would run out by itself, but where memory was short it should be
 * free again at once. If the removal fails too, the user should hear of the first error, so the second is dropped.
 */
async function abandon(connection: RedisConnection, keys: ServiceKeys, lease: string): Promise<void> {
  await connection
    .run((redis) => redis.del(lease))
    .then(() => sweep(connection, keys))
    .catch(() => undefined)
}

async function loadStates(
  connection: RedisConnection,
  batches: Iterable<Entry[]>,
  renew: () => Promise<unknown>,
): Promise<void> {
  await using bulk = await RedisBulk.open(connection.address)
  let blocks = 0
  for (const batch of batches) {
    await bulk.send(msetBlock(batch))
    if (++blocks % RENEW_EVERY_BLOCKS === 0) await renew()
  }
  await bulk.flush()
}

/**
 * Makes a load the newest base, provided that the newest is still the one from which its version was counted. The lease
 * was marked `loaded` after the last state was acknowledged. The server's log is sequential: if it has the mark, it has
 * the states, and if it lost states, it lost the mark.
 */
const CUT_OVER = `
  local current = redis.call('GET', KEYS[1])
  if current == ARGV[2] then return 'done' end
  if redis.call('GET', KEYS[2]) ~= 'loaded' then return 'lost' end
  if (current or '') ~= ARGV[1] then return 'again' end
  redis.call('SET', KEYS[1], ARGV[2])
  redis.call('HSET', KEYS[3], ARGV[3], ARGV[2])
  redis.call('DEL', KEYS[2])
  return 'done'`

async function cutOver(
  connection: RedisConnection,
  keys: ServiceKeys,
  draft: Omit<Base, 'version'>,
  load: number,
): Promise<StoredBase> {
  for (;;) {
    const before = await connection.run((redis) => redis.get(keys.base))
    const current = readRecord<StoredBase>(before, keys.base)
    const base = { ...draft, version: (current?.version ?? 0) + 1, load, previous: current?.load ?? 0 }
    const outcome = await connection.run((redis) =>
      redis.eval(
        CUT_OVER,
        3,
        keys.base,
        keys.lease(load),
        keys.bases,
        before ?? '',
        recordText(base),
        String(base.version),
      ),
    )
    if (outcome === 'done') return base
    if (outcome === 'lost') throw lostLoad(connection)
  }
}

function lostLoad(connection: RedisConnection): UserError {
  const minutes = LEASE_MS / 60_000
  return new UserError(
    `Redis at ${connection.address.shown} lost a part of the load before it was published, ` +
      `or the load stood still for ${minutes} minutes. The old features are still served. Run the command again.`,
  )
}

/**
 * Removes what belongs neither to the newest base, nor to the one before it, nor to a load under way: first the names
 * of all owners, then the rest. A scorer that still has such a base open finds its name gone before the first state is.
 */
async function sweep(connection: RedisConnection, keys: ServiceKeys): Promise<void> {
  const obsolete = new Map<number, boolean>()
  const judge = async (load: number): Promise<boolean> => {
    const known = obsolete.get(load) ?? (await isObsolete(connection, keys, load))
    obsolete.set(load, known)
    return known
  }
  await remove(connection, keys, judge, isOwnerKey)
  // No load that has become obsolete since: its names are still there.
  const known = async (load: number): Promise<boolean> => obsolete.get(load) === true
  if ([...obsolete.values()].includes(true)) await remove(connection, keys, known, () => true)
}

/** Removes the keys that are `wanted` of the loads that are `due`. */
async function remove(
  connection: RedisConnection,
  keys: ServiceKeys,
  due: (load: number) => Promise<boolean>,
  wanted: (key: Buffer) => boolean,
): Promise<void> {
  let cursor = '0'
  do {
    const [next, found] = await connection.run((redis) =>
      redis.scanBuffer(cursor, 'MATCH', keys.pattern, 'COUNT', SCAN_STEP),
    )
    cursor = next.toString()
    const byTag = Map.groupBy(found, (key) => key.toString('latin1', 0, key.indexOf('}')))
    for (const [tag, group] of byTag) {
      const chosen = (await due(keys.loadOf(tag))) ? group.filter(wanted) : []
      if (chosen.length > 0) await connection.run((redis) => redis.unlink(...chosen))
    }
  } while (cursor !== '0')
}

/**
 * Whether a load is neither one of the two newest bases nor under way. The order of the questions matters: the lease
 * ends in the very step that makes the load a base, so a load without a lease is a base by now, or will never be one.
 */
async function isObsolete(connection: RedisConnection, keys: ServiceKeys, load: number): Promise<boolean> {
  if ((await connection.run((redis) => redis.exists(keys.lease(load)))) === 1) return false
  const base = await newest(connection, keys)
  return load !== base?.load && load !== base?.previous
}

function* entries(tag: string, states: Iterable<EntityState>): Generator<Entry[]> {
  let batch: Entry[] = []
  let size = 0
  let [view, stem] = ['', viewStem(tag, '')]
  for (const state of states) {
    if (state.view !== view) [view, stem] = [state.view, viewStem(tag, state.view)]
    batch.push({ key: entityKey(stem, state.key), bytes: state.bytes })
    size += state.bytes.length
    if (batch.length < BLOCK_STATES && size < BLOCK_BYTES) continue
    yield batch
    batch = []
    size = 0
  }
  if (batch.length > 0) yield batch
}

async function newest(connection: RedisConnection, keys: ServiceKeys): Promise<StoredBase | undefined> {
  return connection.run((redis) => readNewest(redis, keys))
}

async function publishedBases(connection: RedisConnection, keys: ServiceKeys): Promise<Base[]> {
  const stored = await connection.run((redis) => redis.hvals(keys.bases))
  const found = stored.flatMap((text) => readRecord<StoredBase>(text, keys.bases) ?? [])
  const last = await newest(connection, keys)
  const known = last === undefined || found.some(({ version }) => version === last.version)
  return [...found, ...(known ? [] : [last])].map(plain).toSorted((a, b) => a.version - b.version)
}

function plain({ load: _load, previous: _previous, ...base }: StoredBase): Base {
  return base
}

function emptyBase(service: string): StoredBase {
  return { service, serviceDigest: '', version: 0, watermark: -Infinity, minorUnits: 0, load: 0, previous: 0 }
}
