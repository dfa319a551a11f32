import type { Finding, Inspection } from '../configs/finding.ts'
import type { Tell } from '../configs/tell.ts'
import { UserError } from '../configs/user-error.ts'
import type { OnlineStore } from './store/online-store.ts'

/**
 * Opens the store that `url` names: `lmdb:FOLDER`, `redis://…` or `rediss://…`. `tell` hears when a server is lost and when
 * it is back; calls wait meanwhile, up to a limit of the URL.
 */
export async function openOnlineStore(url: string, tell?: Tell): Promise<OnlineStore> {
  if (url.startsWith('lmdb:')) return (await import('./store/lmdb.ts')).openLmdbOnlineStore(url.slice('lmdb:'.length))
  if (/^rediss?:/.test(url)) return (await import('./store/redis/store.ts')).openRedisOnlineStore(url, tell)
  throw new UserError(
    `No online store driver for "${url.slice(0, url.indexOf(':') + 1)}". Use lmdb:FOLDER, redis://HOST:PORT or rediss://HOST:PORT.`,
  )
}

/**
 * What the server behind `url` looks like to one who will use it: version, latency, permissions, settings, memory, clock. None for
 * an embedded store, which is inspected by opening it. Makes keys for a trial, and removes them.
 *
 * @throws UserError when the server cannot be reached, or refuses the user.
 */
export async function inspectOnlineStore(url: string, inspection: Inspection): Promise<Finding[]> {
  return /^rediss?:/.test(url) ? (await import('./store/redis/inspection.ts')).inspectRedis(url, inspection) : []
}
