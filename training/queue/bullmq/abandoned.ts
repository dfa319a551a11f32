import type { Job, Queue } from 'bullmq'
import type { BullmqLink } from './link.ts'
import { isAlive, ownerAndData } from './owner.ts'

/** All states that a job of the queue can be in. */
const STATES = ['waiting', 'active', 'delayed', 'prioritized', 'completed', 'failed'] as const

/** The jobs whose owner gives no sign of life. Those of an fd from before jobs had owners are not among them. */
export async function abandonedJobs(queue: Queue, link: BullmqLink): Promise<Job[]> {
  const alive = new Map<string, Promise<boolean>>()
  const found: Job[] = []
  // A job that was removed since its id was read is undefined.
  for (const job of (await queue.getJobs([...STATES])) as (Job | undefined)[]) {
    const owner = job === undefined ? undefined : ownerAndData(job.data).owner
    if (job === undefined || owner === undefined) continue
    const answer = alive.get(owner.id) ?? isAlive(link, owner)
    alive.set(owner.id, answer)
    if (!(await answer)) found.push(job)
  }
  return found
}

/** Removes them, except those that a worker holds: it ends them by itself. @returns how many were removed. */
export async function removeAbandoned(queue: Queue, link: BullmqLink): Promise<number> {
  let removed = 0
  for (const { id } of await abandonedJobs(queue, link)) if (id !== undefined) removed += await queue.remove(id)
  return removed
}
