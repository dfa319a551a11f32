import type { Scheduler } from '../../datasets/testing/scheduler.ts'
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
} from '../store/online-store.ts'

/** States by view and key. */
type States = Map<string, Buffer>

/** What a partition of a group has written over a base. */
interface Scope {
  states: States
  checkpoint: Checkpoint | undefined
  /** Rises with every owner. */
  owner: number
}

interface StoredBase {
  base: Base
  states: States
  scopes: Map<string, Scope>
  removed: boolean
}

interface StoredState {
  checkpoint: Checkpoint | undefined
  read(view: string, key: number | string): Uint8Array | undefined
}

/** What the processes that have the store open share: a server's memory. */
export class MemoryServer {
  /** By service: the bases that are there, oldest first. */
  readonly #bases = new Map<string, StoredBase[]>()
  readonly #published = new Map<string, Base[]>()
  readonly #versions = new Map<string, number>()
  /** Called just before a checkpoint is there, in the same step. */
  onCheckpoint: (place: GroupPartition, checkpoint: Checkpoint) => void = () => {}

  /** The newest base of a service; of one without a backfill, an empty one. */
  newest(service: string): StoredBase {
    const bases = this.#bases.get(service)
    if (bases !== undefined) return bases[bases.length - 1]
    const base = { service, serviceDigest: '', version: 0, watermark: -Infinity, minorUnits: 0 }
    return this.show({ base, states: new Map(), scopes: new Map(), removed: false })
  }

  /** What a group's partition has stored on the newest base, to look at without a scheduler. */
  stored(service: string, place: GroupPartition): StoredState {
    const stored = this.newest(service)
    const { states, checkpoint } = scopeOf(stored, place)
    const read = (view: string, key: number | string): Buffer | undefined =>
      states.get(stateKey(view, key)) ?? stored.states.get(stateKey(view, key))
    return { checkpoint, read }
  }

  /** All bases that were ever shown. */
  published(service: string): Base[] {
    return (this.#published.get(service) ?? []).toSorted((a, b) => a.version - b.version)
  }

  takeVersion(service: string): number {
    const version = (this.#versions.get(service) ?? 0) + 1
    this.#versions.set(service, version)
    return version
  }

  /** Makes a base the newest, unless a newer one is there, and removes those before the previous one. */
  show(stored: StoredBase): StoredBase {
    const { service, version } = stored.base
    this.#published.set(service, [...(this.#published.get(service) ?? []), stored.base])
    const bases = this.#bases.get(service) ?? []
    if (bases.some(({ base }) => base.version > version)) return stored
    for (const old of bases.slice(0, -1)) {
      old.removed = true
      old.states.clear()
      old.scopes.clear()
    }
    this.#bases.set(service, [...bases.slice(-1), stored])
    return stored
  }
}

/** Keys in one step of `publish`. */
const PUBLISH_BATCH = 1_000

/** The online store in memory, as one process has it open. Every access is a step of the scheduler's. */
export function openMemoryStore(server: MemoryServer, scheduler: Scheduler): OnlineStore {
  const call = <T>(name: string, effect: () => T): Promise<T> => scheduler.call(name, effect)
  return {
    base: (service) =>
      call('base', () => {
        const { base } = server.newest(service)
        return base.version === 0 ? undefined : base
      }),
    bases: (service) => call('bases', () => server.published(service)),
    async publish(draft, entities) {
      const version = await call('version', () => server.takeVersion(draft.service))
      const stored: StoredBase = { base: { ...draft, version }, states: new Map(), scopes: new Map(), removed: false }
      for (const some of batches(entities, PUBLISH_BATCH)) await call('publish', () => put(stored.states, some))
      return call('show', () => server.show(stored).base)
    },
    group: (service, place) => call('state', () => stateOf(scheduler, server.newest(service), place)),
    async take(service, place, confirm) {
      for (;;) {
        const seen = await call('look', () => {
          const stored = server.newest(service)
          return { stored, owner: scopeOf(stored, place).owner }
        })
        await confirm()
        const taken = await call('take', () => takeState(scheduler, server, seen, place))
        if (taken !== undefined) return taken
      }
    },
    [Symbol.asyncDispose]: async () => {},
  }
}

function scopeOf(stored: StoredBase, { group, topic, partition }: GroupPartition): Scope {
  const id = `${group}\0${topic}\0${partition}`
  const known = stored.scopes.get(id)
  if (known !== undefined) return known
  const scope = { states: new Map<string, Buffer>(), checkpoint: undefined, owner: 0 }
  stored.scopes.set(id, scope)
  return scope
}

function stateOf(scheduler: Scheduler, stored: StoredBase, place: GroupPartition): GroupState {
  const scope = scopeOf(stored, place)
  return {
    base: stored.base,
    checkpoint: scope.checkpoint,
    read: (view, keys) =>
      scheduler.call('read', () => {
        if (stored.removed) throw replacedState(place)
        return keys.map((key) => {
          const bytes = scope.states.get(stateKey(view, key)) ?? stored.states.get(stateKey(view, key))
          return bytes === undefined ? undefined : Buffer.from(bytes)
        })
      }),
  }
}

function takeState(
  scheduler: Scheduler,
  server: MemoryServer,
  { stored, owner: before }: { stored: StoredBase; owner: number },
  place: GroupPartition,
): OwnedState | undefined {
  const scope = scopeOf(stored, place)
  if (scope.owner !== before || server.newest(stored.base.service) !== stored) return undefined
  const owner = ++scope.owner
  return {
    ...stateOf(scheduler, stored, place),
    write: (states, checkpoint) => {
      const { topic, partition } = place
      return scheduler.call(`checkpoint of ${topic}/${partition} at ${checkpoint.offset}`, () => {
        if (stored.removed) throw replacedState(place)
        if (scope.owner !== owner) throw takenState(place)
        server.onCheckpoint(place, checkpoint)
        put(scope.states, states)
        scope.checkpoint = { ...checkpoint }
      })
    },
    [Symbol.dispose]: () => {},
  }
}

/** The key's type is part of it, because 42 and "42" are different entities. */
function stateKey(view: string, key: number | string): string {
  return `${view}\0${typeof key}\0${key}`
}

function put(states: States, entities: Iterable<EntityState>): void {
  for (const { view, key, bytes } of entities) states.set(stateKey(view, key), Buffer.from(bytes))
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
