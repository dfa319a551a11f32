import { once } from 'node:events'
import { connect as connectTcp, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { isLoss, redisFault } from '../../../configs/connections/redis-fault.ts'
import type { RedisAddress } from '../../../configs/connections/redis.ts'
import { UserError } from '../../../configs/user-error.ts'

export interface Entry {
  key: string
  bytes: Uint8Array
}

/** One MSET as it goes over the wire. */
export interface Block {
  bytes: Buffer
  /** One of its keys, by which a server that comes back shows whether it still has the block. */
  witness: string
}

/** The most unanswered blocks: enough to keep the server busy, few enough to hold in memory and send again. */
const WINDOW = 16
/** Pause before each attempt to connect again. */
const PAUSE_MS = 200

const START_AGAIN = 'The old features are still served. Run the command again.'

/**
 * A stream of MSET commands on a socket of its own. It exists for speed: ioredis keeps a promise and a queue entry for
 * every command and joins every argument, while here a reply is a line that is counted. All blocks are idempotent, so
 * those without a reply are sent again after a lost connection.
 */
export class RedisBulk implements AsyncDisposable {
  readonly #address: RedisAddress
  #socket: Socket
  #unanswered: Block[] = []
  #witness: string | undefined
  #refused: unknown
  /** How many replies to login and questions must come before those to blocks. */
  #greetings = 0
  #rest = ''
  #wake = (): void => {}

  private constructor(address: RedisAddress) {
    this.#address = address
    this.#socket = this.#connect()
  }

  static async open(address: RedisAddress): Promise<RedisBulk> {
    const bulk = new RedisBulk(address)
    await bulk.#greet([])
    return bulk
  }

  /** Sends a block. Resolves when there is room for the next, rejects with the server's refusal of any block so far. */
  async send(block: Block): Promise<void> {
    this.#unanswered.push(block)
    this.#socket.write(block.bytes)
    while (this.#unanswered.length >= WINDOW) await this.#progress()
  }

  /** Resolves when every block has been acknowledged. */
  async flush(): Promise<void> {
    while (this.#unanswered.length > 0) await this.#progress()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#socket.closed) return
    const closed = once(this.#socket, 'close')
    this.#socket.destroy()
    await closed
  }

  #connect(): Socket {
    const { host, port, tls } = this.#address
    const socket = tls === undefined ? connectTcp({ host, port }) : connectTls({ host, port, ...tls })
    this.#rest = ''
    // The reason for a lost connection is not kept: we connect again, and if that fails, its error says why.
    socket
      .setNoDelay(true)
      .on('error', () => {})
      .on('close', () => this.#wake())
      .on('data', (bytes) => this.#received(bytes.toString('latin1')))
    return socket
  }

  /** Logs in and sends `more` behind it, without waiting in between: the server answers in order. */
  async #greet(more: string[][]): Promise<void> {
    const { username, password, database } = this.#address
    const login =
      password === undefined ? [] : [username === undefined ? ['AUTH', password] : ['AUTH', username, password]]
    const commands = [...login, ['SELECT', String(database)], ...more]
    this.#greetings = commands.length
    this.#socket.write(Buffer.concat(commands.map((words) => command(words))))
    while (this.#greetings > 0 && this.#refused === undefined && !this.#socket.destroyed) await this.#reply()
    if (this.#refused !== undefined) throw redisFault(this.#refused, this.#address.shown)
  }

  async #progress(): Promise<void> {
    if (!this.#socket.destroyed) await this.#reply()
    if (this.#refused !== undefined) throw redisFault(this.#refused, this.#address.shown)
    if (this.#socket.destroyed) await this.#again()
  }

  /** Waits for anything to arrive; a server that is silent for too long counts as lost. */
  async #reply(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#wake = resolve
    const timer = setTimeout(() => this.#socket.destroy(), this.#address.commandMs)
    await promise
    clearTimeout(timer)
  }

  /**
   * Connects again, for up to `outageMs`, and sends the unanswered blocks again. A server that was restarted may have
   * lost its last writes although it had acknowledged them, so it is asked for the last acknowledged block. Its log is
   * sequential: if it has that block, it has all before.
   *
   * @throws UserError when the server stays away, or has lost the block.
   */
  async #again(): Promise<void> {
    const { shown, outageMs } = this.#address
    const patience = AbortSignal.timeout(outageMs)
    while (this.#socket.destroyed) {
      if (patience.aborted) {
        throw new UserError(
          `Redis at ${shown} went away during the load ` +
            `and did not come back within ${outageMs / 1000} s. ${START_AGAIN}`,
        )
      }
      await sleep(PAUSE_MS)
      this.#socket = this.#connect()
      await this.#greet(this.#witness === undefined ? [] : [['EXISTS', this.#witness]])
    }
    this.#socket.write(Buffer.concat(this.#unanswered.map(({ bytes }) => bytes)))
  }

  #received(text: string): void {
    const lines = (this.#rest + text).split('\r\n')
    this.#rest = lines.pop() ?? ''
    for (const line of lines) this.#answered(line)
    this.#wake()
  }

  #answered(line: string): void {
    if (this.#greetings > 0 && line.includes('without any password configured')) {
      // As in ioredis, a needless password is no reason to refuse.
      this.#greetings--
    } else if (line.startsWith('-')) {
      const error = new Error(line.slice(1))
      if (isLoss(error)) this.#socket.destroy()
      else this.#refused ??= error
    } else if (this.#greetings > 0) {
      this.#greetings--
      // Only the EXISTS of the witness is answered by a number.
      if (line === ':0') {
        this.#refused ??= new UserError(
          `Redis at ${this.#address.shown} restarted during the load and lost a part of it. ${START_AGAIN}`,
        )
      }
    } else {
      this.#witness = this.#unanswered.shift()?.witness
    }
  }
}

/** One MSET of the entries, at least one. The bytes are copied. */
export function msetBlock(entries: readonly Entry[]): Block {
  const head = `*${2 * entries.length + 1}\r\n$4\r\nMSET\r\n`
  let size = head.length
  const lengths = entries.map(({ key, bytes }) => {
    const length = Buffer.byteLength(key)
    // Room for the longest two length lines and the line ends between.
    size += length + bytes.length + 32
    return length
  })
  const block = Buffer.allocUnsafe(size)
  let at = block.write(head, 0, 'latin1')
  entries.forEach(({ key, bytes }, i) => {
    at += block.write(`$${lengths[i]}\r\n${key}\r\n$${bytes.length}\r\n`, at, 'utf8')
    block.set(bytes, at)
    at += bytes.length
    block[at++] = 13
    block[at++] = 10
  })
  return { bytes: block.subarray(0, at), witness: entries[entries.length - 1].key }
}

function command(words: readonly string[]): Buffer {
  return Buffer.from(
    `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`,
  )
}
