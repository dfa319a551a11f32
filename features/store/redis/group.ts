import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import type { RedisConnection } from '../../../configs/connections/redis.ts'
import {
  takenState,
  type Checkpoint,
  type EntityState,
  type GroupPartition,
  type GroupState,
  type OwnedState,
} from '../online-store.ts'
import { checkpointKey, entityKey, ownerKey, viewStem, type ServiceKeys } from './keys.ts'
import { LossWatch } from './loss-watch.ts'
import { readCheckpoint, recordText, type StoredBase } from './record.ts'
import { StateReader, type StateSource } from './state-reader.ts'

/**
 * The state of a group's partition over a base, to look at. An onlooker cannot know whether the partition's owner has
 * written states by now, so each read asks for them.
 */
export async function openRedisState(
  connection: RedisConnection,
  keys: ServiceKeys,
  place: GroupPartition,
  stored: StoredBase,
): Promise<GroupState> {
  const { load, previous: _, ...base } = stored
  const tag = keys.tag(load, place)
  const run: StateSource['run'] = (attempt) => connection.run(attempt)
  const reader = new StateReader({ run, ...stems(keys, load, tag), hasOwn: () => true })
  return {
    base,
    checkpoint: await run((redis) => readCheckpoint(redis, tag)),
    read: (view, wanted) => reader.read(view, wanted),
  }
}

/**
 * The same with the right to write. The owner shows this right by its name, a random one, which it puts beside the
 * checkpoint. If the state had no checkpoint when it was taken, it has no states of its own until this owner writes
 * some, since nobody else can. Until then reads ask the base only.
 *
 * Once the server is known to have lost state (`LossWatch`), or the name is gone because the server was emptied under
 * the connection, every call rejects with a UserError. Whoever takes the state again starts from what is stored: offset
 * and states of one moment.
 */
export async function takeRedisState(
  connection: RedisConnection,
  keys: ServiceKeys,
  place: GroupPartition,
  newest: () => Promise<StoredBase>,
  confirm: () => Promise<void>,
): Promise<OwnedState> {
  // Write the name first, then look: from now on nobody else changes what is read.
  const { stored, owner } = await takeName(connection, keys, place, newest, confirm)
  const { load, previous: _, ...base } = stored
  const tag = keys.tag(load, place)
  const opened = await connection.run((redis) => readCheckpoint(redis, tag))
  // States are written with their checkpoint: without a checkpoint there are none.
  let hasOwn = opened !== undefined
  const watch = new LossWatch(connection, { keys, place, tag, version: base.version }, opened)
  const named = { key: ownerKey(tag), gone: () => watch.nameGone() }
  const reader = new StateReader({ run: watch.run, ...stems(keys, load, tag), hasOwn: () => hasOwn, owner: named })
  return {
    base,
    checkpoint: opened,
    read: (view, wanted) => reader.read(view, wanted),
    write: async (states, checkpoint) => {
      hasOwn = true
      const outcome = await watch.run(stateWrite(tag, owner, states, checkpoint))
      if (outcome === NAME_GONE) throw await watch.nameGone()
      if (outcome === TAKEN) throw takenState(place)
      watch.acknowledged(checkpoint)
    },
    [Symbol.dispose]: () => watch[Symbol.dispose](),
  }
}

/** Puts a new name in the place of the one that is there, unless that or the base changes while `confirm` is asked. */
async function takeName(
  connection: RedisConnection,
  keys: ServiceKeys,
  place: GroupPartition,
  newest: () => Promise<StoredBase>,
  confirm: () => Promise<void>,
): Promise<{ stored: StoredBase; owner: string }> {
  const owner = randomUUID()
  for (;;) {
    const stored = await newest()
    const key = ownerKey(keys.tag(stored.load, place))
    const before = await connection.run((redis) => redis.get(key))
    await confirm()
    const taken = await connection.run((redis) => redis.eval(TAKE, 1, key, before ?? '', owner))
    // A removal that had looked for names before this one was written would not find it.
    if (taken === 1 && (await newest()).load === stored.load) return { stored, owner }
  }
}

/** If the answer is lost, the script runs again, and finds the new name. */
const TAKE = `
  local owner = redis.call('GET', KEYS[1]) or ''
  if owner ~= ARGV[1] and owner ~= ARGV[2] then return 0 end
  redis.call('SET', KEYS[1], ARGV[2])
  return 1`

function stems(keys: ServiceKeys, load: number, tag: string): Pick<StateSource, 'own' | 'base'> {
  return {
    own: (view) => viewStem(tag, view),
    base: load === 0 ? undefined : (view) => viewStem(keys.tag(load), view),
  }
}

/** What the script below answers when it has written nothing. */
const [TAKEN, NAME_GONE] = [0, -1]

/** States in one MSET of the script. Lua's `unpack` passes on only as many arguments as fit its stack. */
const SLICE = 128

/**
 * Writes a checkpoint with its states if the caller still owns them. The first two keys are owner and checkpoint, the
 * others are states.
 *
 * A script rather than WATCH, because WATCH holds for a whole connection: the EXEC of another partition's write in
 * between would end it, unseen. `online-store.bench.ts` prints what the script costs beside a plain MULTI. If the
 * answer is lost, the script runs again with the same result.
 */
const WRITE = `
  local owner = redis.call('GET', KEYS[1])
  if not owner then return ${NAME_GONE} end
  if owner ~= ARGV[1] then return ${TAKEN} end
  for from = 3, #KEYS, ${SLICE} do
    local slice = {}
    for i = from, math.min(from + ${SLICE - 1}, #KEYS) do
      slice[#slice + 1] = KEYS[i]
      slice[#slice + 1] = ARGV[i]
    end
    redis.call('MSET', unpack(slice))
  end
  redis.call('SET', KEYS[2], ARGV[2])
  return 1`

function stateWrite(
  tag: string,
  owner: string,
  states: Iterable<EntityState>,
  checkpoint: Checkpoint,
): (redis: Redis) => Promise<unknown> {
  const names = [ownerKey(tag), checkpointKey(tag)]
  const values: (string | Buffer)[] = [owner, recordText(checkpoint)]
  for (const { view, key, bytes } of states) {
    names.push(entityKey(viewStem(tag, view), key))
    values.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
  }
  return (redis) => redis.eval(WRITE, names.length, ...names, ...values)
}
