import { randomUUID } from 'node:crypto'
import { openEnvironment, type Bytes, type Environment } from '../../configs/connections/lmdb.ts'
import { UserError } from '../../configs/user-error.ts'
import {
  replacedState,
  takenState,
  type Base,
  type Checkpoint,
  type EntityState,
  type GroupPartition,
  type GroupState,
  type OnlineStore,
  type OwnedState,
} from './online-store.ts'
import { fromRecord, toRecord } from './record.ts'

/** Keys in one transaction of `publish`: enough to amortise the commit, few enough to let others write in between. */
const PUBLISH_BATCH = 5_000

/**
 * The embedded driver: one LMDB environment with two databases. `states` holds a blob for each scope, view and key.
 * `records` holds, as JSON, the newest base of each service and the checkpoint of each scope, and the name of each
 * scope's owner. A checkpoint and its states are one transaction, which first checks that the writer still owns them.
 *
 * @throws UserError when the file is damaged.
 */
export function openLmdbOnlineStore(folder: string): OnlineStore {
  const environment = openEnvironment(folder)
  const states = environment.database('states')
  const records = environment.database('records')
  const parts: Parts = { environment, states, records }
  const newest = (service: string): Base | undefined => readRecord<Base>(parts, `base/${service}`)
  const newestOr = (service: string): Base => newest(service) ?? emptyBase(service)
  return {
    base: async (service) => newest(service),
    bases: async (service) => publishedBases(parts, service, newest(service)),
    publish: async (draft, entities) => {
      const base = { ...draft, version: takeVersion(parts, draft.service, newest(draft.service)?.version ?? 0) }
      for (const batch of batches(entities, PUBLISH_BATCH)) {
        environment.write(() => putStates(states, baseScope(base), batch))
      }
      const previous = environment.write(() => {
        const before = newest(base.service)?.version ?? 0
        records.putSync(text(`${publishedRecords(base.service)}${base.version}`), text(toRecord(base)))
        if (before < base.version) records.putSync(text(`base/${base.service}`), text(toRecord(base)))
        return before
      })
      // Of two publishes at once the one that began last is the newest, whichever ends last.
      if (previous < base.version) expire(parts, base, previous)
      return base
    },
    group: async (service, place) => openState(parts, newestOr(service), place),
    take: async (service, place, confirm) => takeState(parts, () => newestOr(service), place, confirm),
    [Symbol.asyncDispose]: () => environment.close(),
  }
}

interface Parts {
  environment: Environment
  states: Bytes
  records: Bytes
}

function openState(parts: Parts, base: Base, place: GroupPartition): GroupState {
  const { environment, states } = parts
  const scope = groupScope(base, place)
  const stateOf = (view: string, key: number | string): Buffer | undefined =>
    states.getBinary(stateKey(scope, view, key)) ?? states.getBinary(stateKey(baseScope(base), view, key))
  return {
    base,
    checkpoint: readRecord<Checkpoint>(parts, checkpointRecord(scope)),
    read: async (view, keys) => environment.read(() => keys.map((key) => stateOf(view, key))),
  }
}

async function takeState(
  parts: Parts,
  newest: () => Base,
  place: GroupPartition,
  confirm: () => Promise<void>,
): Promise<OwnedState> {
  const { environment, states, records } = parts
  const { base, owner } = await takeName(parts, newest, place, confirm)
  const scope = groupScope(base, place)
  const state = openState(parts, base, place)
  const ownerNow = (): Buffer => {
    const now = records.getBinary(text(ownerRecord(scope)))
    // The name is removed together with its base.
    if (now === undefined) throw replacedState(place)
    return now
  }
  return {
    ...state,
    read: async (view, keys) => {
      const found = await state.read(view, keys)
      environment.read(ownerNow)
      return found
    },
    write: async (changed, checkpoint) =>
      environment.write(() => {
        if (!ownerNow().equals(owner)) throw takenState(place)
        putStates(states, scope, changed)
        records.putSync(text(checkpointRecord(scope)), text(toRecord(checkpoint)))
      }),
    [Symbol.dispose]: () => {},
  }
}

/** Puts a new name in the place of the one that is there, unless that or the base changes while `confirm` is asked. */
async function takeName(
  { environment, records }: Parts,
  newest: () => Base,
  place: GroupPartition,
  confirm: () => Promise<void>,
): Promise<{ base: Base; owner: Buffer }> {
  const owner = text(randomUUID())
  for (;;) {
    const base = newest()
    const name = text(ownerRecord(groupScope(base, place)))
    const before = environment.read(() => records.getBinary(name))
    await confirm()
    const taken = environment.write(() => {
      const same = newest().version === base.version && records.getBinary(name)?.toString() === before?.toString()
      if (same) records.putSync(name, owner)
      return same
    })
    if (taken) return { base, owner }
  }
}

/**
 * A version that no other publish has, so that two at once do not mix their states. One that was killed on the way
 * leaves its version unused, and its states there until `expire`. Where an older fd gave out no versions, a killed
 * publish may have left states under the very next one: they are removed.
 */
function takeVersion(parts: Parts, service: string, newest: number): number {
  const { environment, states, records } = parts
  const record = text(`version/${service}`)
  return environment.write(() => {
    const taken = Number(records.getBinary(record)?.toString() ?? 0)
    const version = Math.max(taken, newest) + 1
    records.putSync(record, text(String(version)))
    removeUnder(states, `${baseScope({ ...emptyBase(service), version })}\0`)
    return version
  })
}

function publishedBases(parts: Parts, service: string, newest: Base | undefined): Base[] {
  const start = text(publishedRecords(service))
  const end = Buffer.concat([start, Buffer.from([0xff])])
  const keys = parts.environment.read(() => Array.from(parts.records.getKeys({ start, end }), String))
  const found = keys.flatMap((key) => readRecord<Base>(parts, key) ?? [])
  const known = newest === undefined || found.some(({ version }) => version === newest.version)
  return [...found, ...(known ? [] : [newest])].toSorted((a, b) => a.version - b.version)
}

function emptyBase(service: string): Base {
  return { service, serviceDigest: '', version: 0, watermark: -Infinity, minorUnits: 0 }
}

/**
 * Removes the bases before the previous one, with what groups wrote on them, and those between the two, which were
 * never finished. A running scorer may still read the previous one. Each is removed in one transaction, so its owners'
 * names go in the same step as its states.
 */
function expire({ environment, states, records }: Parts, base: Base, previous: number): void {
  for (let version = Math.max(0, previous - 2); version < base.version; version++) {
    if (version === previous) continue
    const old = { ...base, version }
    environment.write(() => {
      removeUnder(states, `${baseScope(old)}\0`)
      removeUnder(states, groupsOf(old))
      removeUnder(records, checkpointRecord(groupsOf(old)))
      removeUnder(records, ownerRecord(groupsOf(old)))
    })
  }
}

function removeUnder(database: Bytes, prefix: string): void {
  const start = text(prefix)
  const end = Buffer.concat([start, Buffer.from([0xff])])
  const keys = Array.from(database.getKeys({ start, end }))
  for (const key of keys) database.removeSync(key)
}

function putStates(states: Bytes, scope: string, entities: Iterable<EntityState>): void {
  for (const { view, key, bytes } of entities)
    states.putSync(stateKey(scope, view, key), Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
}

const publishedRecords = (service: string): string => `published/${service}\0`
const baseScope = (base: Base): string => `base/${base.service}/${base.version}`
const groupsOf = (base: Base): string => `group/${base.service}/${base.version}/`
const groupScope = (base: Base, { group, topic, partition }: GroupPartition): string =>
  `${groupsOf(base)}${group}\0${topic}\0${partition}`
const checkpointRecord = (scope: string): string => `checkpoint/${scope}`
const ownerRecord = (scope: string): string => `owner/${scope}`

/** The key's type is part of it, because 42 and "42" are different entities. */
function stateKey(scope: string, view: string, key: number | string): Buffer {
  return text(`${scope}\0${view}\0${typeof key === 'number' ? 'n' : 's'}${key}`)
}

const text = (value: string): Buffer => Buffer.from(value, 'utf8')

function readRecord<T extends Base | Checkpoint>({ environment, records }: Parts, key: string): T | undefined {
  const bytes = environment.read(() => records.getBinary(text(key)))
  if (bytes === undefined) return undefined
  try {
    return fromRecord<T>(new TextDecoder().decode(bytes), `Record "${key}" in ${environment.file}`)
  } catch (error) {
    if (error instanceof UserError) throw error
    throw new UserError(
      `${environment.file} is damaged: record "${key}" is not JSON. ` +
        `Move ${environment.folder} away and run: fd features backfill --online`,
      { cause: error },
    )
  }
}

function* batches<T>(items: Iterable<T>, size: number): Generator<T[]> {
  let batch: T[] = []
  for (const item of items) {
    batch.push(item)
    if (batch.length < size) continue
    yield batch
    batch = []
  }
  if (batch.length > 0) yield batch
}
