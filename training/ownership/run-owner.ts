import { z } from 'zod'
import { LONGEST_HEARTBEAT_MS } from '../../configs/heartbeat.ts'
import { thisHostedProcess } from '../../configs/process/living-process.ts'
import type { DurationMs } from '../../datasets/table/transaction.ts'
import type { Run, Tags } from '../../registry/model.ts'

/** Tag of a run: its owner, as JSON. It never changes. */
const OWNER = 'fd.owner'

/** Tag of a run that its owner changes at every sign of life. It holds a count: no clock is compared with another. */
export const HEARTBEAT = 'fd.heartbeat'

const runOwner = z.object({
  host: z.string(),
  place: z.string(),
  pid: z.number(),
  started: z.string(),
  /** Time between two signs of life, ms. */
  everyMs: z.number().positive().max(LONGEST_HEARTBEAT_MS),
})

/** The process that trains a run. Only it may finish the run; when it is gone, anybody may end the run. */
export type RunOwner = z.output<typeof runOwner>

/** Tags of a new run that belongs to this process. */
export function ownerTags(everyMs: DurationMs): Tags {
  return { [OWNER]: JSON.stringify({ ...thisHostedProcess(), everyMs } satisfies RunOwner), [HEARTBEAT]: '0' }
}

/**
 * The owner of a run. Undefined for runs of other tools, of an fd from before runs had owners, and for a tag that no
 * owner can have written.
 */
export function ownerOf({ tags }: Pick<Run, 'tags'>): RunOwner | undefined {
  return tags[OWNER] === undefined ? undefined : runOwner.safeParse(parsed(tags[OWNER])).data
}

/** Anybody may set a tag, to anything. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
