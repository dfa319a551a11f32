import { setTimeout as sleep } from 'node:timers/promises'
import type { ConnectionOptions } from 'bullmq'
import { isLoss } from '../../../configs/connections/redis-fault.ts'
import { RedisConnection, type RedisAddress } from '../../../configs/connections/redis.ts'

/** Name of the one queue of a prefix: its keys are `{PREFIX}:jobs:…`. */
export const QUEUE = 'jobs'
/** Event by which a waiter tells whichever worker has the job to end it. */
export const CANCEL = 'fd-cancel'

const PING_EVERY_MS = 1_000
const LONGEST_PAUSE_MS = 500

/**
 * What BullMQ's parts share. BullMQ connects again by itself, for ever; a connection of our own beside it says what is wrong with the
 * address, tells when the server is lost and back, and ends the wait after the URL's `outageMs`.
 */
export interface BullmqLink extends AsyncDisposable {
  options: { connection: ConnectionOptions; prefix: string }
  /** Rejects when the server has been away for too long, or the link was closed. */
  lost: Promise<never>
  /** Hears what BullMQ's parts complain of: a lost server is told once, by the connection beside them. */
  complain: (error: Error) => void
  /** Closes parts that use the link: in peace, or, when the server is lost, by cutting them off. */
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
  // Nobody may be waiting when it happens; who comes later is told.
  lost.catch(() => undefined)
  const complain = (error: Error): void => void (gone || isLoss(error) || tell(`Job queue: ${error.message}`))
  const { host, port, username, password, database, tls, connectMs, prefix } = address
  return {
    options: {
      connection: {
        host,
        port,
        username,
        password,
        db: database,
        tls,
        connectTimeout: connectMs,
        maxRetriesPerRequest: null,
        // BullMQ cannot end a connection that is between two attempts: it ends by itself when there are to be no more.
        retryStrategy: (times: number) => (gone ? null : Math.min(50 * times, LONGEST_PAUSE_MS)),
      },
      // The braces keep all keys of a queue in one slot of a cluster.
      prefix: `{${prefix}}`,
    },
    lost,
    complain,
    async leave(...parts) {
      const closing = Promise.all(parts.map((part) => part.close()))
      closing.catch(complain)
      await Promise.race([closing, lost]).catch(async () => {
        await sleep(2 * LONGEST_PAUSE_MS)
        await Promise.all(parts.map((part) => part.disconnect().catch(complain)))
      })
    },
    async [Symbol.asyncDispose]() {
      over.abort()
      await sentinel[Symbol.asyncDispose]()
    },
  }
}

/** Asks for a sign of life every second; the connection waits for a lost server, and gives up after its time. */
async function untilLost(sentinel: RedisConnection, over: AbortSignal): Promise<never> {
  for (;;) {
    await sentinel.run((redis) => redis.ping())
    await sleep(PING_EVERY_MS, undefined, { signal: over })
  }
}
