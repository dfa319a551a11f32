import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { LONGEST_HEARTBEAT_MS, SILENT_BEATS } from '../../../configs/heartbeat.ts'
import type { Job } from '../job-queue.ts'
import type { JobServer, StoredJob } from './job-server.ts'

/**
 * Who waits for a job. The server keeps a key of each owner, which runs out when the owner does not renew it; so only
 * the server's clock counts. A job of an owner without a key is run for nobody. An owner that comes to life again, or
 * whose server came back empty, adds again what it still waits for.
 */
const jobOwner = z.object({ id: z.string(), everyMs: z.number().transform((ms) => Math.min(ms, LONGEST_HEARTBEAT_MS)) })

export type JobOwner = z.output<typeof jobOwner>

/** The data of a job as the server has it. */
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

/** A job of the server as a job of the queue. */
export function shown({ kind, id, content }: StoredJob): Job {
  return { kind, id, data: ownerAndData(content).data }
}

/** An owner that lives until it is disposed of. */
export interface LivingOwner extends JobOwner, AsyncDisposable {
  /** Resolves when the server knows of the owner. */
  known(): Promise<void>
}

/** @param everyMs time between two renewals. */
export function openOwner(server: JobServer, everyMs: number): LivingOwner {
  const id = randomUUID()
  const lastsMs = Math.ceil(SILENT_BEATS * everyMs)
  let underWay: Promise<unknown> = Promise.resolve()
  const renew = (): Promise<void> => {
    const renewed = server.renewOwner(id, lastsMs)
    underWay = Promise.allSettled([underWay, renewed])
    return renewed
  }
  const forget = async (): Promise<void> => {
    // One that comes after the owner was forgotten would bring it back.
    await underWay
    await server.forgetOwner(id)
  }
  const renewal = server.renewOnReturn(id, lastsMs)
  const over = new AbortController()
  void every(server, everyMs, over.signal, () => void renew().catch((error: Error) => server.complain(error)))
  return {
    id,
    everyMs,
    known: renew,
    async [Symbol.asyncDispose]() {
      over.abort()
      renewal[Symbol.dispose]()
      await Promise.race([forget(), server.lost]).catch(() => undefined)
    },
  }
}

/** Does a task again and again, at an interval, until `over` is aborted. */
export async function every(server: JobServer, ms: number, over: AbortSignal, task: () => void): Promise<void> {
  for (;;) {
    await server.sleep(ms, over).catch(() => undefined)
    if (over.aborted) return
    task()
  }
}

/**
 * Resolves when the owner is gone, and never when `over` is aborted first. It must be missing twice in a row: a server
 * that came back without its last second may lack it for a moment.
 */
export async function untilGone(server: JobServer, owner: JobOwner, over: AbortSignal): Promise<void> {
  for (let missing = 0; missing < 2;) {
    await server.sleep(owner.everyMs, over)
    missing = (await server.isOwnerKnown(owner.id)) ? 0 : missing + 1
  }
}
