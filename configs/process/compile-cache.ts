import { enableCompileCache } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Where Node keeps compiled code. */
export const COMPILE_CACHE = join(tmpdir(), 'node-compile-cache')

/**
 * Reads code from Node's cache that was compiled in an earlier run. A command that needs no data starts in half the
 * time. Every process and thread takes some 10 to 25 MB less, since it does not load the compiler. Threads and child
 * processes find the cache through the environment.
 */
export function cacheCompiled(): void {
  process.env['NODE_COMPILE_CACHE'] ??= COMPILE_CACHE
  enableCompileCache()
}
