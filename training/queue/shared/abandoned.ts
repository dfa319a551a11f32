import type { JobServer, StoredJob } from './job-server.ts'
import { ownerAndData } from './owner.ts'

/** The jobs whose owner gives no sign of life. Those of an fd from before jobs had owners are not among them. */
export async function abandonedJobs(server: JobServer): Promise<StoredJob[]> {
  const known = new Map<string, Promise<boolean>>()
  const found: StoredJob[] = []
  for (const job of await server.jobs()) {
    const { owner } = ownerAndData(job.content)
    if (owner === undefined) continue
    const answer = known.get(owner.id) ?? server.isOwnerKnown(owner.id)
    known.set(owner.id, answer)
    if (!(await answer)) found.push(job)
  }
  return found
}

/**
 * Removes them, except those that a worker holds: it ends them by itself. An owner that comes back in this moment adds
 * again what it still waits for.
 *
 * @returns how many were removed.
 */
export async function removeAbandoned(server: JobServer): Promise<number> {
  let removed = 0
  for (const { id } of await abandonedJobs(server)) removed += (await server.remove(id)) ? 1 : 0
  return removed
}
