import type { Finding, Inspection } from '../configs/finding.ts'
import type { Tell } from '../configs/tell.ts'
import { UserError } from '../configs/user-error.ts'
import type { OnlineStore } from './store/online-store.ts'

/**
 * Opens the store that `url` names: `lmdb:FOLDER`, `redis://…` or `rediss://…`. When a server is lost, and when it
 * is back, `tell` gets a line. Calls wait meanwhile, up to a limit that the URL may give.
 *
 * @throws UserError when no driver knows the URL, a file is damaged, or a server cannot be reached or is unfit.
 */
export async function openOnlineStore(url: string, tell?: Tell): Promise<OnlineStore> {
  if (url.startsWith('lmdb:')) return (await import('./store/lmdb.ts')).openLmdbOnlineStore(url.slice('lmdb:'.length))
  if (/^rediss?:/.test(url)) return (await import('./store/redis/store.ts')).openRedisOnlineStore(url, tell)
  const scheme = url.slice(0, url.indexOf(':') + 1)
  throw new UserError(
    `No online store driver for "${scheme}". Use lmdb:FOLDER, redis://HOST:PORT or rediss://HOST:PORT.`,
  )
}

/**
 * Inspects the server behind `url` before it is used: version, latency, permissions, settings, memory, clock. An
 * embedded store has no findings, since opening it is inspection enough. Makes keys for a trial and removes them.
 *
 * @throws UserError when the server cannot be reached, or refuses the user.
 */
export async function inspectOnlineStore(url: string, inspection: Inspection): Promise<Finding[]> {
  return /^rediss?:/.test(url) ? (await import('./store/redis/inspection.ts')).inspectRedis(url, inspection) : []
}
