import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'

/** Whether this machine can start Redis servers of its own, for tests of what a server does when it is ill. */
export const redisServerOnPath = spawnSync('redis-server', ['--version']).status === 0

/** A Redis server of a test's own, on a free port of 127.0.0.1, in a folder that goes with it. */
export interface RedisProcess extends AsyncDisposable {
  port: number
  folder: string
  /** URL of the server; `rest` is what follows the port. */
  url(rest?: string, credentials?: string): string
  /** Runs one command, as an administrator would. */
  command(...words: string[]): Promise<unknown>
  signal(signal: NodeJS.Signals): void
  /** Ends the server as a crash does. */
  kill(): Promise<void>
  /** Starts it again on the same port and folder. */
  start(): Promise<void>
}

/**
 * Starts `redis-server` with `settings` (`['--appendonly', 'yes']`), which has snapshots and append-only file off
 * unless they say otherwise.
 */
export async function startRedis(settings: readonly string[] = [], password?: string): Promise<RedisProcess> {
  const folder = await mkdtemp(join(tmpdir(), 'fd-redis-'))
  const port = await freePort()
  let child: ChildProcess
  const command = async (...words: string[]): Promise<unknown> => {
    const redis = new Redis({ port, host: '127.0.0.1', password, lazyConnect: true, retryStrategy: () => null })
    // The reason of a refused connection is in what connect() rejects with.
    redis.on('error', () => {})
    try {
      await redis.connect()
      return await redis.call(words[0], ...words.slice(1))
    } finally {
      redis.disconnect()
    }
  }
  const start = async (): Promise<void> => {
    child = spawn(
      'redis-server',
      [
        '--port',
        String(port),
        '--bind',
        '127.0.0.1',
        '--dir',
        folder,
        '--save',
        '',
        '--loglevel',
        'warning',
        ...settings,
      ],
      { stdio: 'ignore' },
    )
    while (true) {
      const answer = await command('PING').catch(() => undefined)
      if (answer === 'PONG') return
      if (child.exitCode !== null) throw new Error(`redis-server ${settings.join(' ')} ended with ${child.exitCode}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const closed = once(child, 'close')
    child.kill('SIGKILL')
    await closed
  }
  await start()
  return {
    port,
    folder,
    command,
    start,
    kill,
    url: (rest = '', credentials = password === undefined ? '' : `:${encodeURIComponent(password)}@`) =>
      `redis://${credentials}127.0.0.1:${port}${rest}`,
    signal: (signal) => void child.kill(signal),
    [Symbol.asyncDispose]: async () => {
      await kill()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
