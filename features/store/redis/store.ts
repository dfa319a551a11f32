import { RedisConnection, redisAddress } from '../../../configs/connections/redis.ts'
import type { Tell } from '../../../configs/tell.ts'
import { UserError } from '../../../configs/user-error.ts'
import type { Base, EntityState, OnlineStore } from '../online-store.ts'
import { msetBlock, RedisBulk, type Entry } from './bulk.ts'
import { openRedisState, takeRedisState } from './group.ts'
import { serviceKeys, entityKey, viewStem, type ServiceKeys } from './keys.ts'
import { readRecord, recordText, type StoredBase } from './record.ts'

/** Most states, and bytes, in one MSET: larger commands gain nothing and keep other clients waiting. */
const BLOCK_STATES = 256
const BLOCK_BYTES = 1 << 20
/** A load proves that it is alive once in so many blocks, far more often than its lease takes to expire. */
const RENEW_EVERY_BLOCKS = 64
const LEASE_MS = 120_000
/** Keys looked at in one step of the removal: about a millisecond of the server's time. */
const SCAN_STEP = 2_000

/**
 * The Redis driver, for Redis 6 and later; `redisAddress` says what the URL can hold, `redis-keys.ts` how the keys lie.
 *
 * Durable means what the server's append-only file makes of it: with `appendfsync always` what was acknowledged
 * survives a power cut; with `everysec` (the usual choice) a kill of Redis can lose up to two seconds, a power cut as
 * much; without an append-only file everything since the last snapshot. Such a loss is found, not served: after a lost
 * connection a group compares what the server has with what it was promised, and a load looks for its last acknowledged
 * block.
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
    publish: (draft, states) => publish(connection, keys(draft.service), draft, states),
    group: async (service, place) => openRedisState(connection, keys(service), place, await newestOr(service)),
    take: async (service, place) => takeRedisState(connection, keys(service), place, await newestOr(service)),
    [Symbol.asyncDispose]: () => connection[Symbol.asyncDispose](),
  }
}

/** A server that drops what was not used lately would make old customers look new. */
async function refuseEviction(connection: RedisConnection): Promise<void> {
  const memory = await connection.run((redis) => redis.info('memory'))
  const policy = /^maxmemory_policy:(.*?)\r?$/m.exec(memory)?.[1]
  if (/^maxmemory:0\r?$/m.test(memory) || policy === undefined || !policy.startsWith('allkeys-')) return
  throw new UserError(
    `Redis at ${connection.address.shown} forgets keys when memory is short (maxmemory-policy ${policy}), so features would be wrong in silence. Run: redis-cli CONFIG SET maxmemory-policy noeviction`,
  )
}

/**
 * Writes the states under keys that no reader knows, then makes them the newest base by one SET. A load that was killed
 * leaves keys whose lease runs out; publishes after that remove them.
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
  // Once the lease has run out another publish may have removed what we wrote: it is never taken up again.
  const renew = async (mark: string): Promise<void> => {
    if ((await connection.run((redis) => redis.set(lease, mark, 'PX', LEASE_MS, 'XX'))) === null)
      throw lostLoad(connection)
  }
  let base: StoredBase
  try {
    await loadStates(connection, entries(keys.tag(load), states), () => renew('loading'))
    await renew('loaded')
    base = await cutOver(connection, keys, draft, load)
  } catch (error) {
    // The lease would run out by itself; but where memory was short, it should be free again now. Should that fail too,
    // the first error is the one to tell.
    if (connection.usable)
      await connection
        .run((redis) => redis.del(lease))
        .then(() => sweep(connection, keys))
        .catch(() => undefined)
    throw error
  }
  // Before the first load of all there is nothing to look for.
  if (load > 1) await sweep(connection, keys)
  return plain(base)
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
 * Makes a load the newest base if the newest is still the one its version was counted from. The lease was marked after
 * the last state was acknowledged: a server that has the mark has the states (its log is sequential), one that lost
 * them lost it.
 */
const CUT_OVER = `
  local current = redis.call('GET', KEYS[1])
  if current == ARGV[2] then return 'done' end
  if redis.call('GET', KEYS[2]) ~= 'loaded' then return 'lost' end
  if (current or '') ~= ARGV[1] then return 'again' end
  redis.call('SET', KEYS[1], ARGV[2])
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
      redis.eval(CUT_OVER, 2, keys.base, keys.lease(load), before ?? '', recordText(base)),
    )
    if (outcome === 'done') return base
    if (outcome === 'lost') throw lostLoad(connection)
  }
}

function lostLoad(connection: RedisConnection): UserError {
  return new UserError(
    `Redis at ${connection.address.shown} lost a part of the load before it was published, or the load stood still for ${LEASE_MS / 60_000} minutes. The old features are still served. Run the command again.`,
  )
}

/** Removes what belongs neither to the newest base, nor to the one before it, nor to a load under way. */
async function sweep(connection: RedisConnection, keys: ServiceKeys): Promise<void> {
  const obsolete = new Map<number, boolean>()
  let cursor = '0'
  do {
    const [next, found] = await connection.run((redis) =>
      redis.scanBuffer(cursor, 'MATCH', keys.pattern, 'COUNT', SCAN_STEP),
    )
    cursor = next.toString()
    const byTag = Map.groupBy(found, (key) => key.toString('latin1', 0, key.indexOf('}')))
    for (const [tag, group] of byTag) {
      const load = keys.loadOf(tag)
      if (!obsolete.has(load)) obsolete.set(load, await isObsolete(connection, keys, load))
      if (obsolete.get(load) === true) await connection.run((redis) => redis.unlink(...group))
    }
  } while (cursor !== '0')
}

/** The lease is asked for first: it ends in the step that makes a load a base, so without one a load is a base by now or never. */
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
  return readRecord(await connection.run((redis) => redis.get(keys.base)), keys.base)
}

function plain({ load: _load, previous: _previous, ...base }: StoredBase): Base {
  return base
}

function emptyBase(service: string): StoredBase {
  return { service, serviceDigest: '', version: 0, watermark: -Infinity, minorUnits: 0, load: 0, previous: 0 }
}
