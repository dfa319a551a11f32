import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'

/** Whether this machine can start Redis servers, which tests of an ill server need. */
export const redisServerOnPath = spawnSync('redis-server', ['--version']).status === 0

/**
 * A Redis server of a test's own, on a free port of 127.0.0.1. It owns the process and a folder of its own; disposal
 * ends the one and deletes the other.
 */
export class RedisProcess implements AsyncDisposable {
  readonly port: number
  readonly folder: string
  readonly #settings: readonly string[]
  readonly #password: string | undefined
  #child: ChildProcess | undefined

  private constructor(port: number, folder: string, settings: readonly string[], password: string | undefined) {
    this.port = port
    this.folder = folder
    this.#settings = settings
    this.#password = password
  }

  static async open(settings: readonly string[], password: string | undefined): Promise<RedisProcess> {
    const folder = await mkdtemp(join(tmpdir(), 'fd-redis-'))
    const server = new RedisProcess(await freePort(), folder, settings, password)
    await server.start()
    return server
  }

  /** URL of the server; `rest` is what follows the port. */
  url(rest = '', credentials = this.#credentials()): string {
    return `redis://${credentials}127.0.0.1:${this.port}${rest}`
  }

  #credentials(): string {
    return this.#password === undefined ? '' : `:${encodeURIComponent(this.#password)}@`
  }

  /** Runs one command, as an administrator would. */
  async command(...words: string[]): Promise<unknown> {
    const redis = new Redis({
      port: this.port,
      host: '127.0.0.1',
      password: this.#password,
      lazyConnect: true,
      retryStrategy: () => null,
    })
    // connect() rejects with the reason of a refused connection; the event would end the process.
    redis.on('error', () => {})
    try {
      await redis.connect()
      return await redis.call(words[0], ...words.slice(1))
    } finally {
      redis.disconnect()
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal)
  }

  /** Ends the server as a crash does. */
  async kill(): Promise<void> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const closed = once(child, 'close')
    child.kill('SIGKILL')
    await closed
  }

  /** Starts it again on the same port and folder. */
  async start(): Promise<void> {
    const place = ['--port', String(this.port), '--bind', '127.0.0.1', '--dir', this.folder]
    const quiet = ['--save', '', '--loglevel', 'warning']
    const child = spawn('redis-server', [...place, ...quiet, ...this.#settings], { stdio: 'ignore' })
    this.#child = child
    while (true) {
      const answer = await this.command('PING').catch(() => undefined)
      if (answer === 'PONG') return
      if (child.exitCode !== null) {
        throw new Error(`redis-server ${this.#settings.join(' ')} ended with ${child.exitCode}`)
      }
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    await rm(this.folder, { recursive: true, force: true })
  }
}

/**
 * Starts `redis-server` with `settings` (`['--appendonly', 'yes']`). Snapshots and the append-only file are off unless
 * the settings turn them on.
 */
export function startRedis(settings: readonly string[] = [], password?: string): Promise<RedisProcess> {
  return RedisProcess.open(settings, password)
}

/** A port of 127.0.0.1 that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
