import { HEARTBEAT_MS } from '../configs/heartbeat.ts'
import { withoutPassword } from '../configs/url.ts'
import { UserError } from '../configs/user-error.ts'
import type { JobQueue } from './queue/job-queue.ts'

/**
 * Opens the job queue that `url` names.
 *
 * - `local:`: workers of this process run the jobs, and the jobs end with the process.
 * - `redis://…` or `rediss://…`: any worker of the same URL runs the jobs. `tell` gets a line when the server is
 *   lost and one when it is back. Whoever submits jobs gives a sign of life every `heartbeatMs`.
 *
 * @throws UserError for any other URL, and when the server cannot be reached or refuses us.
 */
export async function openJobQueue(
  url: string,
  tell?: (line: string) => void,
  heartbeatMs = HEARTBEAT_MS,
): Promise<JobQueue> {
  if (url === 'local:') return (await import('./queue/local.ts')).openLocalQueue()
  if (/^rediss?:/.test(url)) return (await import('./queue/bullmq/queue.ts')).openBullmqQueue(url, heartbeatMs, tell)
  throw new UserError(
    `No job queue driver for "${withoutPassword(url)}". ` +
      'Use local:, redis://HOST:PORT or rediss://HOST:PORT (FD_JOB_QUEUE).',
  )
}
