import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import type { Credentials } from './credentials.ts'
import { canInstallPackages, installPackages, onPath } from './install.ts'
import type { Service } from './service.ts'

const ANSWER_MS = 2000

/** The system's own Redis, with its append-only file on: every write is on disk within a second. */
export function redisService({ port }: { port: number }, { REDIS_PASSWORD: password }: Credentials): Service {
  const url = `redis://:${password}@127.0.0.1:${port}`
  return {
    name: 'redis',
    port,
    url,
    environment: { REDIS_URL: url },
    missing,
    install: () => installPackages('redis-server'),
    prepare: async (folder) => {
      writeFileSync(join(folder, 'redis.conf'), configuration(folder, port, password), { mode: 0o600 })
      return { command: onPath('redis-server') ?? 'redis-server', args: [join(folder, 'redis.conf')] }
    },
    check: () => ask(port, password),
    patience: { startMs: 60_000, stopMs: 20_000 },
  }
}

function missing(): string | undefined {
  if (onPath('redis-server') !== undefined) return undefined
  return canInstallPackages()
    ? 'redis-server is not installed. Run: fd services up redis --install'
    : 'redis-server is not installed. Run: sudo apt-get install -y redis-server (or brew install redis)'
}

function configuration(folder: string, port: number, password: string): string {
  return [
    'bind 127.0.0.1',
    `port ${port}`,
    'protected-mode yes',
    `requirepass ${password}`,
    'daemonize no',
    `dir ${JSON.stringify(folder)}`,
    'appendonly yes',
    'appendfsync everysec',
    // The append-only file is the only copy. Snapshots beside it would double the writes, and their fork the memory.
    'save ""',
    // A full Redis must refuse writes: features that it evicted in silence would change scores.
    'maxmemory-policy noeviction',
    '',
  ].join('\n')
}

/**
 * Asks for the version in Redis's inline protocol, over a socket of our own. A client library reconnects by itself, and
 * would hide the very failure that this looks for. While Redis reads its file at the start it answers LOADING; that
 * counts as not healthy yet.
 */
function ask(port: number, password: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1' })
    let said = ''
    const end = (error?: Error): void => {
      socket.destroy()
      const version = /^redis_version:(\S+)/m.exec(said)?.[1]
      if (version !== undefined) resolve(version)
      else reject(error ?? new Error(`Redis answered: ${said.trim().split('\r\n')[0]}`))
    }
    socket.setTimeout(ANSWER_MS, () => end(new Error(`no answer within ${ANSWER_MS} ms`)))
    socket.once('error', end).once('connect', () => socket.write(`AUTH ${password}\r\nPING\r\nINFO server\r\nQUIT\r\n`))
    socket
      .setEncoding('utf8')
      .on('data', (text: string) => (said += text))
      .once('end', () => {
        const refusal = /^-(.*)/m.exec(said)
        end(refusal === null ? undefined : new Error(`Redis answered ${refusal[1]}`))
      })
  })
}
