import type { Finding, Inspection } from '../configs/finding.ts'
import type { Tell } from '../configs/tell.ts'
import { UserError } from '../configs/user-error.ts'
import type { EpochMs } from '../datasets/transaction.ts'

/** The state of one key of one view, as `entity-state.ts` encodes it. */
export interface EntityState {
  view: string
  key: number | string
  bytes: Uint8Array
}

/** What history a base holds. */
export interface History {
  /** Dataset and file the backfill read, and where it stopped. */
  dataset: string
  file: string
  fileDigest: string
  /** Only events before this instant are in; undefined: all. */
  until?: EpochMs
  transactions: number
}

/** State that a backfill published: the same for every group, never changed afterwards. */
export interface Base {
  service: string
  /** Digest of the service's definition; state of another definition is of no use. */
  serviceDigest: string
  /** 1, 2, 3 …; 0 stands for no backfill, an empty start. */
  version: number
  history?: History
  /** Newest event time folded, −Infinity when nothing was. */
  watermark: EpochMs
  /** Decimal places of the amounts in the state. */
  minorUnits: number
}

/** How far a group's state has come in the log. */
export interface Checkpoint {
  /** Next offset to fold, by partition of the input topic. */
  offsets: Record<string, number>
  watermark: EpochMs
  minorUnits: number
}

/**
 * Where the fold's state lives between processes: one blob per key of a view.
 *
 * A backfill publishes a *base*; a scorer group reads through to it and writes what it changed on top, so several groups
 * can stand at different offsets over one history. A new base cuts over at once: a group that opens after it starts from
 * it, without a checkpoint, and the bases before the previous one are removed.
 */
export interface OnlineStore extends AsyncDisposable {
  /** The newest base of a service, undefined when none was published. */
  base(service: string): Promise<Base | undefined>
  /** Writes a new base and makes it the newest in one step once all states are written. Resolves to it. */
  publish(base: Omit<Base, 'version'>, states: Iterable<EntityState>): Promise<Base>
  /** The state of `group` on the newest base. */
  group(service: string, group: string): Promise<GroupState>
}

export interface GroupState {
  base: Base
  /** Undefined when the group has written nothing on this base. */
  checkpoint: Checkpoint | undefined
  /** States in the order of `keys`, the group's own before the base's; undefined where neither has one. */
  read(view: string, keys: readonly (number | string)[]): Promise<(Uint8Array | undefined)[]>
  /** Writes the states and the checkpoint in one step, durable when the promise settles: after a kill both are there, or neither. The bytes must not change before. */
  write(states: Iterable<EntityState>, checkpoint: Checkpoint): Promise<void>
}

/**
 * Opens the store that `url` names: `lmdb:FOLDER`, `redis://…` or `rediss://…`. `tell` hears when a server is lost and when
 * it is back; calls wait meanwhile, up to a limit of the URL.
 */
export async function openOnlineStore(url: string, tell?: Tell): Promise<OnlineStore> {
  if (url.startsWith('lmdb:')) return (await import('./online-store-lmdb.ts')).openLmdbOnlineStore(url.slice('lmdb:'.length))
  if (/^rediss?:/.test(url)) return (await import('./online-store-redis.ts')).openRedisOnlineStore(url, tell)
  throw new UserError(`No online store driver for "${url.slice(0, url.indexOf(':') + 1)}". Use lmdb:FOLDER, redis://HOST:PORT or rediss://HOST:PORT.`)
}

/**
 * What the server behind `url` looks like to one who will use it: version, latency, permissions, settings, memory, clock. None for
 * an embedded store, which is inspected by opening it. Makes keys for a trial, and removes them.
 *
 * @throws UserError when the server cannot be reached, or refuses the user.
 */
export async function inspectOnlineStore(url: string, inspection: Inspection): Promise<Finding[]> {
  return /^rediss?:/.test(url) ? (await import('./redis-inspection.ts')).inspectRedis(url, inspection) : []
}
