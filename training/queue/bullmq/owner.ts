import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import type { SessionCheck } from '../../../configs/connections/redis.ts'
import { LONGEST_HEARTBEAT_MS, SILENT_BEATS } from '../../../configs/heartbeat.ts'
import type { BullmqLink } from './link.ts'

/**
 * Who waits for a job. The server keeps a key of each owner, which runs out when the owner does not renew it; so only
 * the server's clock counts. A job of an owner without a key is run for nobody. An owner that comes to life again, or
 * whose server came back empty, adds again what it still waits for.
 */
const jobOwner = z.object({ id: z.string(), everyMs: z.number().transform((ms) => Math.min(ms, LONGEST_HEARTBEAT_MS)) })

export type JobOwner = z.output<typeof jobOwner>

/** The data of a job as BullMQ has it. */
const owned = z.object({ owner: jobOwner, data: z.unknown() })

/** Why a job ends that nobody waits for. */
export const ABANDONED = 'the command that waits for it is gone'

export function withOwner(owner: JobOwner, data: unknown): z.output<typeof owned> {
  return { owner, data }
}

/** Job data as they were submitted, and the owner; an fd from before jobs had owners gave none. */
export function ownerAndData(content: unknown): { owner?: JobOwner; data: unknown } {
  const { data: found } = owned.safeParse(content)
  return found ?? { data: content }
}

/** An owner that lives until it is disposed of. */
export interface LivingOwner extends JobOwner, AsyncDisposable {
  /** Resolves when the server knows of the owner. */
  known(): Promise<void>
}

/** @param everyMs time between two renewals. */
export function openOwner(link: BullmqLink, everyMs: number): LivingOwner {
  const id = randomUUID()
  const { connection, options } = link
  const key = ownerKey(options.prefix, id)
  const put: SessionCheck = async (redis) => {
    await redis.set(key, 'alive', 'PX', Math.ceil(SILENT_BEATS * everyMs))
  }
  const renew = (): Promise<void> => connection.run(put)
  const check = connection.onReconnect(put)
  const heart = setInterval(() => void renew().catch(link.complain), everyMs)
  return {
    id,
    everyMs,
    known: renew,
    async [Symbol.asyncDispose]() {
      clearInterval(heart)
      check[Symbol.dispose]()
      await Promise.race([connection.run((redis) => redis.unlink(key)), link.lost]).catch(() => undefined)
    },
  }
}

/** Whether the owner gives signs of life. */
export async function isAlive({ connection, options }: BullmqLink, { id }: JobOwner): Promise<boolean> {
  return (await connection.run((redis) => redis.exists(ownerKey(options.prefix, id)))) === 1
}

/**
 * Resolves when the owner is gone, and never when `over` is aborted first. It must be missing twice in a row: a server
 * that came back without its last second may lack it for a moment.
 */
export async function untilGone(link: BullmqLink, owner: JobOwner, over: AbortSignal): Promise<void> {
  for (let missing = 0; missing < 2;) {
    await sleep(owner.everyMs, undefined, { signal: over })
    missing = (await isAlive(link, owner)) ? 0 : missing + 1
  }
}

function ownerKey(prefix: string, id: string): string {
  return `${prefix}:owner:${id}`
}
