import type { Redis } from 'ioredis'
import type { RedisConnection } from '../configs/redis.ts'
import { UserError } from '../configs/user-error.ts'
import { checkpointKey, entityKey, viewStem, type ServiceKeys } from './redis-keys.ts'
import type { StoredBase } from './online-store-redis.ts'
import type { Checkpoint, GroupState } from './online-store.ts'

/** Keys in one MGET, one MSET: see `BLOCK_STATES`. */
const BATCH = 256

/**
 * A group's state over a base. Reads are MGETs of the group's own keys and, for those it lacks, of the base's; a write is
 * one MULTI, sent whole, with the states, the checkpoint and EXEC.
 *
 * After every lost connection the stored checkpoint is compared with the one last read or acknowledged, and the base with
 * the one in use. A server that came back without them has forgotten states too, and which is unknown: from then on
 * every call rejects with a UserError. Who opens the group again starts from what is stored, offsets and states of one moment.
 */
export async function openRedisGroup(connection: RedisConnection, keys: ServiceKeys, group: string, stored: StoredBase): Promise<GroupState> {
  const { load, previous: _, ...base } = stored
  const own = keys.tag(load, group)
  let acknowledged = await connection.run((redis) => readCheckpoint(redis, own))
  const opened = acknowledged
  let lost: UserError | undefined
  connection.onReconnect(async (redis) => {
    const [found, text] = await Promise.all([readCheckpoint(redis, own), redis.get(keys.base)])
    if (isBehind(found, acknowledged) || newestVersion(text) < base.version) lost ??= lostState(connection, group)
  })
  const run = async <T>(attempt: (redis: Redis) => Promise<T>): Promise<T> => {
    const result = await connection.run(async (redis) => (lost === undefined ? attempt(redis) : Promise.reject(lost)))
    return result
  }
  return {
    base,
    checkpoint: opened,
    read: (view, entities) => readStates(run, entities, viewStem(own, view), load === 0 ? undefined : viewStem(keys.tag(load), view)),
    write: async (states, checkpoint) => {
      const entries: [string, Buffer][] = []
      for (const { view, key, bytes } of states) entries.push([entityKey(viewStem(own, view), key), Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)])
      await run((redis) => writeStates(redis, entries, checkpointKey(own), checkpoint))
      acknowledged = checkpoint
    },
  }
}

async function readCheckpoint(redis: Redis, tag: string): Promise<Checkpoint | undefined> {
  const text = await redis.get(checkpointKey(tag))
  if (text === null) return undefined
  const checkpoint = JSON.parse(text) as Checkpoint
  return { ...checkpoint, watermark: checkpoint.watermark ?? -Infinity }
}

async function writeStates(redis: Redis, entries: [string, Buffer][], record: string, checkpoint: Checkpoint): Promise<void> {
  const transaction = redis.multi()
  for (let at = 0; at < entries.length; at += BATCH) transaction.mset(entries.slice(at, at + BATCH).flat())
  transaction.set(record, JSON.stringify({ ...checkpoint, watermark: Number.isFinite(checkpoint.watermark) ? checkpoint.watermark : null }))
  for (const [error] of (await transaction.exec()) ?? []) if (error !== null) throw error
}

async function readStates(
  run: <T>(attempt: (redis: Redis) => Promise<T>) => Promise<T>, entities: readonly (number | string)[], own: string, base: string | undefined,
): Promise<(Uint8Array | undefined)[]> {
  const batches = Array.from({ length: Math.ceil(entities.length / BATCH) }, (_, i) => entities.slice(i * BATCH, (i + 1) * BATCH))
  const found = await Promise.all(batches.map((batch) => readBatch(run, batch, own, base)))
  return found.flat()
}

async function readBatch(
  run: <T>(attempt: (redis: Redis) => Promise<T>) => Promise<T>, batch: readonly (number | string)[], own: string, base: string | undefined,
): Promise<(Uint8Array | undefined)[]> {
  const get = (stem: string, keys: readonly (number | string)[]) => run((redis) => redis.mgetBuffer(keys.map((key) => entityKey(stem, key))))
  const values = (await get(own, batch)).map((bytes) => bytes ?? undefined)
  if (base === undefined) return values
  const missing = values.flatMap((bytes, i) => (bytes === undefined ? [i] : []))
  if (missing.length === 0) return values
  const fromBase = await get(base, missing.map((i) => batch[i]))
  missing.forEach((i, k) => (values[i] = fromBase[k] ?? undefined))
  return values
}

/** Whether any offset that was acknowledged is further than the stored one. Ahead is no fault: another process wrote on. */
function isBehind(stored: Checkpoint | undefined, acknowledged: Checkpoint | undefined): boolean {
  return Object.entries(acknowledged?.offsets ?? {}).some(([partition, offset]) => !((stored?.offsets[partition] ?? -1) >= offset))
}

function newestVersion(text: string | null): number {
  return text === null ? 0 : (JSON.parse(text) as StoredBase).version
}

function lostState(connection: RedisConnection, group: string): UserError {
  return new UserError(
    `Redis at ${connection.address.shown} came back without state that it had acknowledged for group "${group}". ` +
      'Start the command again: it goes back to what is stored and folds the log from there. To lose nothing at a restart: redis-cli CONFIG SET appendonly yes, appendfsync always',
  )
}
