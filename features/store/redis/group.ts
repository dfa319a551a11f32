import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import type { RedisConnection } from '../../../configs/connections/redis.ts'
import { UserError } from '../../../configs/user-error.ts'
import {
  replacedState,
  takenState,
  type Checkpoint,
  type EntityState,
  type GroupPartition,
  type GroupState,
  type OwnedState,
} from '../online-store.ts'
import { checkpointKey, entityKey, ownerKey, viewStem, type ServiceKeys } from './keys.ts'
import { readRecord, recordText, type StoredBase } from './record.ts'

/** Keys in one MGET: a batch of 256 is two commands, and the server answers the first while the second is written. */
const BATCH = 128

/**
 * State of a group's partition over a base. Reads are MGETs of its own keys and, for those it lacks, of the base's. Who
 * only looks does not know whether there are own ones by now, and asks for them always.
 */
export async function openRedisState(
  connection: RedisConnection,
  keys: ServiceKeys,
  place: GroupPartition,
  stored: StoredBase,
): Promise<GroupState> {
  const { load, previous: _, ...base } = stored
  const own = keys.tag(load, place)
  const run: Run = (attempt) => connection.run(attempt)
  return {
    base,
    checkpoint: await run((redis) => readCheckpoint(redis, own)),
    read: stateReader(run, keys, load, own, () => true),
  }
}

/**
 * The same with the right to write, shown by a name that is put beside the checkpoint. A state that had no checkpoint when
 * it was taken is not asked for states of its own before it writes: nobody else can have.
 *
 * After every lost connection the stored checkpoint is compared with the one last read or acknowledged, and the base with
 * the one in use. A server that came back without them has forgotten states too, and which is unknown: from then on
 * every call rejects with a UserError; so it does when the name is gone, because the server was emptied under the connection.
 * Who takes the state again starts from what is stored, offset and states of one moment.
 */
export async function takeRedisState(
  connection: RedisConnection,
  keys: ServiceKeys,
  place: GroupPartition,
  stored: StoredBase,
): Promise<OwnedState> {
  const { load, previous: _, ...base } = stored
  const own = keys.tag(load, place)
  const owner = randomUUID()
  // First the name, then the look: what is read afterwards, nobody else changes.
  await connection.run((redis) => redis.set(ownerKey(own), owner))
  let acknowledged = await connection.run((redis) => readCheckpoint(redis, own))
  const opened = acknowledged
  // States are written with their checkpoint: without one there are none.
  let hasOwn = opened !== undefined
  let lost: UserError | undefined
  const check = connection.onReconnect(async (redis) => {
    const [found, text] = await Promise.all([readCheckpoint(redis, own), redis.get(keys.base)])
    const newest = readRecord<StoredBase>(text, keys.base)
    if ((newest?.version ?? 0) < base.version) lost ??= lostFeatures(connection, place)
    else if (isBehind(found, acknowledged)) lost ??= lostState(connection, place)
  })
  const run: Run = (attempt) => connection.run((redis) => (lost === undefined ? attempt(redis) : Promise.reject(lost)))
  const read = stateReader(run, keys, load, own, () => hasOwn)
  // The name goes with its base, or with all that the server has.
  const gone = async (): Promise<UserError> => {
    const newest = readRecord<StoredBase>(await run((redis) => redis.get(keys.base)), keys.base)
    return (newest?.version ?? 0) > base.version ? replacedState(place) : lostFeatures(connection, place)
  }
  return {
    base,
    checkpoint: opened,
    read: async (view, wanted) => {
      // In an emptied server every customer looks new. The name is asked for behind what is read: as long as it is there, the rest was.
      const [states, named] = await Promise.all([read(view, wanted), run((redis) => redis.exists(ownerKey(own)))])
      if (named === 0) throw (lost ??= await gone())
      return states
    },
    write: async (states, checkpoint) => {
      hasOwn = true
      const outcome = await run(stateWrite(own, owner, states, checkpoint))
      if (outcome === NAME_GONE) throw (lost ??= await gone())
      if (outcome === TAKEN) throw takenState(place)
      acknowledged = checkpoint
    },
    [Symbol.dispose]: () => check[Symbol.dispose](),
  }
}

async function readCheckpoint(redis: Redis, tag: string): Promise<Checkpoint | undefined> {
  return readRecord(await redis.get(checkpointKey(tag)), checkpointKey(tag))
}

/** What the script below answers when it has written nothing. */
const [TAKEN, NAME_GONE] = [0, -1]

/**
 * Owner and checkpoint are the first two keys, then the states. A script rather than WATCH, which
 * holds for a whole connection: the EXEC of another partition's write in between would end it, unseen. Lua passes on as many
 * arguments as fit its stack, hence the slices; what they cost beside a plain MULTI, `online-store.bench.ts` prints.
 * Written again because an answer was lost, it comes to the same.
 */
const WRITE = `
  local owner = redis.call('GET', KEYS[1])
  if not owner then return ${NAME_GONE} end
  if owner ~= ARGV[1] then return ${TAKEN} end
  for from = 3, #KEYS, ${BATCH} do
    local slice = {}
    for i = from, math.min(from + ${BATCH - 1}, #KEYS) do
      slice[#slice + 1] = KEYS[i]
      slice[#slice + 1] = ARGV[i]
    end
    redis.call('MSET', unpack(slice))
  end
  redis.call('SET', KEYS[2], ARGV[2])
  return 1`

function stateWrite(
  own: string,
  owner: string,
  states: Iterable<EntityState>,
  checkpoint: Checkpoint,
): (redis: Redis) => Promise<unknown> {
  const names = [ownerKey(own), checkpointKey(own)]
  const values: (string | Buffer)[] = [owner, recordText(checkpoint)]
  for (const { view, key, bytes } of states) {
    names.push(entityKey(viewStem(own, view), key))
    values.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
  }
  return (redis) => redis.eval(WRITE, names.length, ...names, ...values)
}

type Run = <T>(attempt: (redis: Redis) => Promise<T>) => Promise<T>
type Keys = readonly (number | string)[]

const get = (redis: Redis, stem: string, keys: Keys): Promise<(Buffer | null)[]> =>
  redis.mgetBuffer(keys.map((key) => entityKey(stem, key)))

/**
 * Reads states under `own`, then under `base`. Asking for both at once saves a round trip where most are the base's, and
 * moves twice the bytes where most are the group's: the batch before tells which to expect (measured: online-store.bench.ts).
 */
function stateReader(
  run: Run,
  keysOf: ServiceKeys,
  load: number,
  tag: string,
  hasOwn: () => boolean,
): GroupState['read'] {
  const own = (view: string): string => viewStem(tag, view)
  const base = load === 0 ? undefined : (view: string): string => viewStem(keysOf.tag(load), view)
  let expectBase = true
  const readBatch = async (view: string, keys: Keys): Promise<(Buffer | null)[]> => {
    if (base === undefined) return run((redis) => get(redis, own(view), keys))
    if (!hasOwn()) return run((redis) => get(redis, base(view), keys))
    if (expectBase) {
      const [first, second] = await run((redis) =>
        Promise.all([get(redis, own(view), keys), get(redis, base(view), keys)]),
      )
      expectBase = 2 * first.filter((bytes) => bytes === null).length > keys.length
      return first.map((bytes, i) => bytes ?? second[i])
    }
    const values = await run((redis) => get(redis, own(view), keys))
    const missing = values.flatMap((bytes, i) => (bytes === null ? [i] : []))
    expectBase = 2 * missing.length > keys.length
    if (missing.length === 0) return values
    const rest = await run((redis) =>
      get(
        redis,
        base(view),
        missing.map((i) => keys[i]),
      ),
    )
    missing.forEach((i, k) => (values[i] = rest[k]))
    return values
  }
  return async (view, keys) => {
    const batches = Array.from({ length: Math.ceil(keys.length / BATCH) }, (_, i) =>
      keys.slice(i * BATCH, (i + 1) * BATCH),
    )
    const found = await Promise.all(batches.map((batch) => readBatch(view, batch)))
    return found.flat().map((bytes) => bytes ?? undefined)
  }
}

/** Whether what is stored has not come as far as what was acknowledged. Ahead is no fault: another process wrote on. */
function isBehind(stored: Checkpoint | undefined, acknowledged: Checkpoint | undefined): boolean {
  return acknowledged !== undefined && !((stored?.offset ?? -1) >= acknowledged.offset)
}

function lostFeatures(connection: RedisConnection, { group }: GroupPartition): UserError {
  return new UserError(
    `Redis at ${connection.address.shown} has lost the features that group "${group}" was reading: was it emptied, or started without its append-only file? ` +
      'Nothing is computed without them. Bring history back, then start the command again; it folds the log from its beginning: fd features backfill --online',
  )
}

function lostState(connection: RedisConnection, { group, topic, partition }: GroupPartition): UserError {
  return new UserError(
    `Redis at ${connection.address.shown} came back without state that it had acknowledged for group "${group}", partition ${partition} of "${topic}". ` +
      'Start the command again: it goes back to what is stored and folds the log from there. To lose nothing at a restart: redis-cli CONFIG SET appendonly yes, appendfsync always',
  )
}
