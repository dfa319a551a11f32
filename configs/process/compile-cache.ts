import { enableCompileCache } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Where Node keeps what it has compiled. */
export const COMPILE_CACHE = join(tmpdir(), 'node-compile-cache')

/**
 * What was compiled once is read from Node's cache the next time: a command that needs no data starts in half the time, and
 * every process and thread takes some 10 to 25 MB less, since it does not load the compiler. Threads and children find
 * the place in the environment.
 */
export function cacheCompiled(): void {
  process.env['NODE_COMPILE_CACHE'] ??= COMPILE_CACHE
  enableCompileCache()
}
