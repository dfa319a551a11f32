import { setTimeout as sleep } from 'node:timers/promises'
import type { ConnectionOptions } from 'bullmq'
import { isLoss } from '../../../configs/connections/redis-fault.ts'
import { RedisConnection, type RedisAddress } from '../../../configs/connections/redis.ts'

/** Name of the one queue of a prefix: its keys are `{PREFIX}:jobs:…`. */
export const QUEUE = 'jobs'
/** Event by which a waiter tells all workers to end a job; the one that has it does so. */
export const CANCEL = 'fd-cancel'

const PING_EVERY_MS = 1_000
const LONGEST_PAUSE_MS = 500

/**
 * The connection that BullMQ's parts share. BullMQ reconnects by itself, for ever. So the link keeps a connection of
 * its own beside it, which says what is wrong with the address, tells when the server is lost and when it is back, and
 * gives up after the `outageMs` of the URL.
 */
export interface BullmqLink extends AsyncDisposable {
  options: { connection: ConnectionOptions; prefix: string }
  /** The link's own connection. */
  connection: RedisConnection
  /** Rejects when the server has been away for too long, or when the link is closed. */
  lost: Promise<never>
  /**
   * Takes the errors of BullMQ's parts and tells them. It leaves out that the server is lost, since the link's own
   * connection tells that once.
   */
  complain: (error: Error) => void
  /** Closes parts that use the link: gracefully, or by cutting them off when the server is lost. */
  leave(...parts: Part[]): Promise<void>
}

interface Part {
  close(): Promise<void>
  disconnect(): Promise<void>
}

/** @throws UserError when the server cannot be reached or refuses us. */
export async function openLink(address: RedisAddress, tell: (line: string) => void): Promise<BullmqLink> {
  const sentinel = await RedisConnection.open(address, tell)
  const over = new AbortController()
  let gone = false
  const lost = untilLost(sentinel, over.signal).finally(() => (gone = true))
  // Without this, a loss that nobody is waiting for would be an unhandled rejection. Later waiters still get it.
  lost.catch(() => undefined)
  const complain = (error: Error): void => void (gone || isLoss(error) || tell(`Job queue: ${error.message}`))
  return {
    options: optionsOf(address, () => gone),
    connection: sentinel,
    lost,
    complain,
    leave: (...parts) => leaveParts(parts, lost, complain),
    async [Symbol.asyncDispose]() {
      over.abort()
      await sentinel[Symbol.asyncDispose]()
    },
  }
}

/** What BullMQ connects with. Once `isGone` answers true, its connections make no further attempt. */
function optionsOf(address: RedisAddress, isGone: () => boolean): BullmqLink['options'] {
  const { host, port, username, password, database, tls, connectMs, prefix } = address
  return {
    connection: {
      host,
      port,
      username,
      password,
      db: database,
      tls,
      connectTimeout: connectMs,
      maxRetriesPerRequest: null,
      // BullMQ cannot end a connection between two attempts. The connection ends by itself when no attempt is to
      // follow.
      retryStrategy: (times: number) => (isGone() ? null : Math.min(50 * times, LONGEST_PAUSE_MS)),
    },
    // The braces keep all keys of a queue in one slot of a cluster.
    prefix: `{${prefix}}`,
  }
}

async function leaveParts(parts: Part[], lost: Promise<never>, complain: BullmqLink['complain']): Promise<void> {
  const closing = Promise.all(parts.map((part) => part.close()))
  closing.catch(complain)
  await Promise.race([closing, lost]).catch(async () => {
    await sleep(2 * LONGEST_PAUSE_MS)
    await Promise.all(parts.map((part) => part.disconnect().catch(complain)))
  })
}

/** Pings the server every second. The connection waits for a lost server and rejects after its `outageMs`. */
async function untilLost(sentinel: RedisConnection, over: AbortSignal): Promise<never> {
  for (;;) {
    await sentinel.run((redis) => redis.ping())
    await sleep(PING_EVERY_MS, undefined, { signal: over })
  }
}
