import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import type { Tell } from '../tell.ts'
import { decodedPart } from '../url.ts'
import { errorMessage, UserError } from '../user-error.ts'
import { isLoss, redisFault } from './redis-fault.ts'

/** What a `redis://` or `rediss://` URL says. */
export interface RedisAddress {
  host: string
  port: number
  username?: string
  password?: string
  database: number
  /** `rediss://`: TLS, checked against the system's authorities or those in the file that `ca` names. */
  tls?: { servername: string; ca?: Buffer }
  /** First word of every key. With different prefixes several worlds can share one database. */
  prefix: string
  /** Longest wait for a connection to be made, ms. */
  connectMs: number
  /** Longest wait for one reply, ms; a server that hangs counts as lost after it. */
  commandMs: number
  /** Longest time without a usable connection before an operation gives up, ms. */
  outageMs: number
  /** The URL without its password, for messages. */
  shown: string
}

const TIMES = { connectMs: 5_000, commandMs: 10_000, outageMs: 60_000 }
const PARAMETERS = ['prefix', 'ca', ...Object.keys(TIMES)]

/** Longest pause between two attempts to connect again. */
const LONGEST_PAUSE_MS = 500
/** Pause after a lost connection, before the commands are sent again. */
const LOSS_PAUSE_MS = 10

/**
 * Reads a URL `redis[s]://[[user]:password@]host[:port][/database][?parameters]`. Default are port 6379 and database 0.
 * The parameters with their defaults are `prefix=fd&connectMs=5000&commandMs=10000&outageMs=60000`, and `ca=FILE`.
 *
 * @throws UserError naming the part that is wrong, never the password.
 */
export function redisAddress(text: string): RedisAddress {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !['redis:', 'rediss:'].includes(url.protocol) || url.hostname === '') {
    throw new UserError(
      'The Redis URL cannot be read. Write: redis://[:PASSWORD@]HOST[:PORT][/DATABASE] (percent-encode the password)',
    )
  }
  const unknown = [...url.searchParams.keys()].filter((name) => !PARAMETERS.includes(name))
  if (unknown.length > 0) {
    throw new UserError(
      `The Redis URL has an unknown parameter "${unknown.join(', ')}". There are: ${PARAMETERS.join(', ')}`,
    )
  }
  const database = url.pathname.replace(/^\//, '')
  if (!/^\d*$/.test(database))
    throw new UserError(`The Redis URL names database "${database}"; a database is a number: redis://HOST:PORT/0`)
  const prefix = url.searchParams.get('prefix') ?? 'fd'
  // Braces would move the hash tag, and stars would widen the pattern that finds old keys.
  if (!/^[\w.-]+$/.test(prefix))
    throw new UserError(`The Redis URL has the prefix "${prefix}". Use letters, digits, ".", "_" and "-".`)
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
  const shown = `${url.protocol}//${url.host}/${database === '' ? 0 : database}`
  return {
    host,
    port: url.port === '' ? 6379 : Number(url.port),
    ...(url.username === '' ? {} : { username: decodedPart(url.username, shown) }),
    ...(url.password === '' ? {} : { password: decodedPart(url.password, shown) }),
    database: Number(database),
    ...(url.protocol === 'rediss:' ? { tls: { servername: host, ...authorities(url.searchParams.get('ca')) } } : {}),
    prefix,
    connectMs: duration(url, 'connectMs'),
    commandMs: duration(url, 'commandMs'),
    outageMs: duration(url, 'outageMs'),
    shown,
  }
}

function duration(url: URL, name: keyof typeof TIMES): number {
  const text = url.searchParams.get(name)
  if (text === null) return TIMES[name]
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text)
  throw new UserError(
    `The Redis URL says ${name}=${text}; it takes whole milliseconds, for example ${name}=${TIMES[name]}`,
  )
}

function authorities(file: string | null): { ca?: Buffer } {
  if (file === null) return {}
  try {
    return { ca: readFileSync(file) }
  } catch (error) {
    throw new UserError(`The Redis URL says ca=${file}, which cannot be read: ${errorMessage(error)}`, { cause: error })
  }
}

/** Runs each time the connection is made again, before anything else is sent on it. */
export type SessionCheck = (redis: Redis) => Promise<void>

/**
 * One connection that is made again when it is lost. ioredis could itself resend unanswered commands, but the server
 * may have come back without its last second of writes. So `run` makes every attempt, after the checks of the new
 * session.
 */
export class RedisConnection implements AsyncDisposable {
  readonly address: RedisAddress
  readonly #redis: Redis
  readonly #tell: Tell
  readonly #checks = new Set<SessionCheck>()
  /**
   * Resolves when commands can be sent; rejects when the server has refused us. A settled one is replaced when its
   * connection ends.
   */
  #usable = unsettled()
  #sessions = 0
  #lastError: unknown
  #disposed = false

  private constructor(address: RedisAddress, tell: Tell) {
    this.address = address
    this.#tell = tell
    const { host, port, username, password, database, tls, connectMs, commandMs } = address
    this.#redis = new Redis({
      host,
      port,
      username,
      password,
      db: database,
      tls,
      connectTimeout: connectMs,
      socketTimeout: commandMs,
      connectionName: 'fd',
      lazyConnect: true,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      // With a limit of 0, ioredis rejects unanswered commands as soon as the connection ends.
      maxRetriesPerRequest: 0,
      // By default ioredis waits 2 s for a socket that is closed already, and keeps the process alive meanwhile.
      disconnectTimeout: 0,
      retryStrategy: (times) => Math.min(50 * times, LONGEST_PAUSE_MS),
    })
    this.#redis
      .on('error', (error) => this.#failed(error))
      .on('close', () => this.#lost())
      .on('ready', () => void this.#ready())
  }

  /**
   * Connects. `tell` hears when the connection is lost later, and when it is back.
   *
   * @throws UserError when the server cannot be reached, or refuses the password or database. A first connection is
   * tried only once.
   */
  static async open(address: RedisAddress, tell: Tell = () => {}): Promise<RedisConnection> {
    const connection = new RedisConnection(address, tell)
    try {
      await connection.#redis.connect()
      await connection.#usable.promise
      return connection
    } catch (error) {
      connection.#redis.disconnect()
      throw redisFault(connection.#lastError ?? error, address.shown)
    }
  }

  /**
   * Adds a check that every later session must pass before it is used, until the check is disposed of. A check that
   * rejects counts as a lost connection.
   */
  onReconnect(check: SessionCheck): Disposable {
    this.#checks.add(check)
    return { [Symbol.dispose]: () => void this.#checks.delete(check) }
  }

  /**
   * The result of `attempt`. While the connection is lost or silent, the attempt is made again, until `outageMs` have
   * passed. So an attempt must be harmless to repeat. It must also send all its commands at once, so that they share a
   * session.
   *
   * @throws UserError when the server refuses, or stays away.
   */
  async run<T>(attempt: (redis: Redis) => Promise<T>): Promise<T> {
    let patience: AbortSignal | undefined
    for (;;) {
      try {
        if (!this.#usable.settled) await this.#back((patience ??= AbortSignal.timeout(this.address.outageMs)))
        await this.#usable.promise
        return await attempt(this.#redis)
      } catch (error) {
        if (!isLoss(error) || this.#disposed) throw redisFault(error, this.address.shown)
        this.#lastError = error
        patience ??= AbortSignal.timeout(this.address.outageMs)
        if (patience.aborted) throw this.#gone()
        // A socket can refuse commands a little before it says that it is closed.
        await sleep(LOSS_PAUSE_MS)
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true
    // Between two attempts to connect there is no socket, and so no event that says it has closed.
    const socket: Socket | undefined = this.#redis.stream
    this.#redis.disconnect()
    if (socket === undefined || socket.closed) return
    socket.destroy()
    await once(socket, 'close')
  }

  /** Whether commands can be sent at this moment. */
  get usable(): boolean {
    return this.#redis.status === 'ready' && this.#usable.settled
  }

  #failed(error: unknown): void {
    this.#lastError = error
    // The address was right once, so the network may come back. A refusal by the server itself is final.
    if (isLoss(error)) return
    this.#usable.settled = true
    this.#usable.reject(redisFault(error, this.address.shown))
  }

  #lost(): void {
    if (!this.#usable.settled) return
    this.#usable = unsettled()
    if (this.#disposed || this.#sessions === 0) return
    const { shown, outageMs } = this.address
    this.#tell(`Lost the connection to Redis at ${shown}; waiting up to ${outageMs / 1000} s for it.`, 'lost')
  }

  /** Makes a new session usable once it has passed the checks. */
  async #ready(): Promise<void> {
    try {
      await Promise.all([...this.#checks].map((check) => check(this.#redis)))
    } catch (error) {
      this.#lastError = error
      this.#redis.disconnect(true)
      return
    }
    if (this.#sessions++ > 0) this.#tell(`Redis at ${this.address.shown} is back.`, 'back')
    this.#usable.settled = true
    this.#usable.resolve()
  }

  /** Waits until commands can be sent. @throws UserError when the server refuses, or patience ends. */
  async #back(patience: AbortSignal): Promise<void> {
    const waited = new AbortController()
    const outOfPatience = once(patience, 'abort', { signal: waited.signal }).then(
      () => Promise.reject(this.#gone()),
      () => undefined,
    )
    await Promise.race([this.#usable.promise, outOfPatience]).finally(() => waited.abort())
  }

  #gone(): UserError {
    const { shown, outageMs } = this.address
    return new UserError(
      `Redis at ${shown} has been away for ${outageMs / 1000} s (${errorMessage(this.#lastError)}). ` +
        'Bring it back and run the command again; what was acknowledged is kept. See: fd doctor',
      { cause: this.#lastError },
    )
  }
}

interface Usable extends PromiseWithResolvers<void> {
  settled: boolean
}

function unsettled(): Usable {
  const usable = { ...Promise.withResolvers<void>(), settled: false }
  // The server may refuse us while nobody waits. Then the next caller gets the error, not the process.
  usable.promise.catch(() => undefined)
  return usable
}
