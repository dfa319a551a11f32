import { withoutPassword } from '../configs/url.ts'
import { UserError } from '../configs/user-error.ts'
import type { JobQueue } from './queue/job-queue.ts'

/**
 * Opens the queue that `url` names: `local:`, whose jobs are run by workers of this process and end with it, or `redis://…` or
 * `rediss://…`, whose jobs any worker of the same URL takes. `tell` hears when the server is lost and when it is back.
 */
export async function openJobQueue(url: string, tell?: (line: string) => void): Promise<JobQueue> {
  if (url === 'local:') return (await import('./queue/local.ts')).openLocalQueue()
  if (/^rediss?:/.test(url)) return (await import('./queue/bullmq/queue.ts')).openBullmqQueue(url, tell)
  throw new UserError(
    `No job queue driver for "${withoutPassword(url)}". Use local:, redis://HOST:PORT or rediss://HOST:PORT (FD_JOB_QUEUE).`,
  )
}
