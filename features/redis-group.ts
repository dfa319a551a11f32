import type { Redis } from 'ioredis'
import type { RedisConnection } from '../configs/redis.ts'
import { UserError } from '../configs/user-error.ts'
import { checkpointKey, entityKey, viewStem, type ServiceKeys } from './redis-keys.ts'
import { readRecord, recordText, type StoredBase } from './redis-record.ts'
import type { Checkpoint, GroupState } from './online-store.ts'

/** Keys in one MGET, one MSET: a batch of 256 is two commands, and the server answers the first while the second is written. */
const BATCH = 128

/**
 * A group's state over a base. Reads are MGETs of the group's own keys and, for those it lacks, of the base's; a write is
 * one MULTI, sent whole, with the states, the checkpoint and EXEC. A group has one writer: one that had no checkpoint when it
 * was opened is not asked for states of its own before it writes.
 *
 * After every lost connection the stored checkpoint is compared with the one last read or acknowledged, and the base with
 * the one in use. A server that came back without them has forgotten states too, and which is unknown: from then on
 * every call rejects with a UserError; so does a read from a server that was emptied meanwhile. Who opens the group again starts from what is stored, offsets and states of one moment.
 */
export async function openRedisGroup(connection: RedisConnection, keys: ServiceKeys, group: string, stored: StoredBase): Promise<GroupState> {
  const { load, previous: _, ...base } = stored
  const own = keys.tag(load, group)
  let acknowledged = await connection.run((redis) => readCheckpoint(redis, own))
  const opened = acknowledged
  // States are written with their checkpoint: a group without one has none of its own.
  let hasOwn = opened !== undefined
  let lost: UserError | undefined
  connection.onReconnect(async (redis) => {
    const [found, text] = await Promise.all([readCheckpoint(redis, own), redis.get(keys.base)])
    const newest = readRecord<StoredBase>(text, keys.base)
    if ((newest?.version ?? 0) < base.version) lost ??= lostBase(connection, group)
    else if (isBehind(found, acknowledged)) lost ??= lostState(connection, group)
  })
  const run: Run = (attempt) => connection.run((redis) => (lost === undefined ? attempt(redis) : Promise.reject(lost)))
  // A server that is emptied under a connection (FLUSHALL) would make every customer look new, in silence: behind what is
  // read, a key is asked for that must be there as long as the rest is.
  const check = async (): Promise<void> => {
    const witness = load > 0 ? keys.base : acknowledged === undefined ? undefined : checkpointKey(own)
    if (witness !== undefined && (await run((redis) => redis.exists(witness))) === 0) throw (lost ??= lostBase(connection, group))
  }
  return {
    base,
    checkpoint: opened,
    read: stateReader(run, check, (view) => viewStem(own, view), load === 0 ? undefined : (view) => viewStem(keys.tag(load), view), () => hasOwn),
    write: async (states, checkpoint) => {
      hasOwn = true
      const entries: [string, Buffer][] = []
      for (const { view, key, bytes } of states) entries.push([entityKey(viewStem(own, view), key), Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)])
      await run((redis) => writeStates(redis, entries, checkpointKey(own), checkpoint))
      acknowledged = checkpoint
    },
  }
}

async function readCheckpoint(redis: Redis, tag: string): Promise<Checkpoint | undefined> {
  return readRecord(await redis.get(checkpointKey(tag)), checkpointKey(tag))
}

async function writeStates(redis: Redis, entries: [string, Buffer][], record: string, checkpoint: Checkpoint): Promise<void> {
  const transaction = redis.multi()
  for (let at = 0; at < entries.length; at += BATCH) transaction.mset(entries.slice(at, at + BATCH).flat())
  transaction.set(record, recordText(checkpoint))
  for (const [error] of (await transaction.exec()) ?? []) if (error !== null) throw error
}

type Run = <T>(attempt: (redis: Redis) => Promise<T>) => Promise<T>
type Keys = readonly (number | string)[]

const get = (redis: Redis, stem: string, keys: Keys): Promise<(Buffer | null)[]> => redis.mgetBuffer(keys.map((key) => entityKey(stem, key)))

/**
 * Reads states under `own`, then under `base`. Asking for both at once saves a round trip where most are the base's, and
 * moves twice the bytes where most are the group's: the batch before tells which to expect (measured: online-store.bench.ts).
 */
function stateReader(run: Run, check: () => Promise<void>, own: (view: string) => string, base: ((view: string) => string) | undefined, hasOwn: () => boolean): GroupState['read'] {
  let expectBase = true
  const readBatch = async (view: string, keys: Keys): Promise<(Buffer | null)[]> => {
    if (base === undefined) return run((redis) => get(redis, own(view), keys))
    if (!hasOwn()) return run((redis) => get(redis, base(view), keys))
    if (expectBase) {
      const [first, second] = await run((redis) => Promise.all([get(redis, own(view), keys), get(redis, base(view), keys)]))
      expectBase = 2 * first.filter((bytes) => bytes === null).length > keys.length
      return first.map((bytes, i) => bytes ?? second[i])
    }
    const values = await run((redis) => get(redis, own(view), keys))
    const missing = values.flatMap((bytes, i) => (bytes === null ? [i] : []))
    expectBase = 2 * missing.length > keys.length
    if (missing.length === 0) return values
    const [rest] = await Promise.all([run((redis) => get(redis, base(view), missing.map((i) => keys[i]))), check()])
    missing.forEach((i, k) => (values[i] = rest[k]))
    return values
  }
  return async (view, keys) => {
    const batches = Array.from({ length: Math.ceil(keys.length / BATCH) }, (_, i) => keys.slice(i * BATCH, (i + 1) * BATCH))
    const [found] = await Promise.all([Promise.all(batches.map((batch) => readBatch(view, batch))), check()])
    return found.flat().map((bytes) => bytes ?? undefined)
  }
}

/** Whether any offset that was acknowledged is further than the stored one. Ahead is no fault: another process wrote on. */
function isBehind(stored: Checkpoint | undefined, acknowledged: Checkpoint | undefined): boolean {
  return Object.entries(acknowledged?.offsets ?? {}).some(([partition, offset]) => !((stored?.offsets[partition] ?? -1) >= offset))
}

function lostBase(connection: RedisConnection, group: string): UserError {
  return new UserError(
    `Redis at ${connection.address.shown} has lost the features that group "${group}" was reading: was it emptied, or started without its append-only file? ` +
      'Nothing is computed without them. Bring history back, then start the command again; it folds the log from its beginning: fd features backfill --online',
  )
}

function lostState(connection: RedisConnection, group: string): UserError {
  return new UserError(
    `Redis at ${connection.address.shown} came back without state that it had acknowledged for group "${group}". ` +
      'Start the command again: it goes back to what is stored and folds the log from there. To lose nothing at a restart: redis-cli CONFIG SET appendonly yes, appendfsync always',
  )
}
