import { join } from 'node:path'
import type { JobEvent, JobQueue } from '../../training/queue/job-queue.ts'

export interface Workers extends AsyncDisposable {
  /** Settles when the work has ended. */
  ended: Promise<void>
}

/** How workers are started. */
export interface WorkersOptions {
  /** Jobs done at one time, each in a process of its own. */
  concurrency: number
  /** The `--config` of this command. The processes of the jobs read the same file. */
  configFile: string | undefined
  tell: (event: JobEvent) => void
  /** Ends the work after the jobs in hand. */
  signal?: AbortSignal
}

/**
 * Starts workers on a queue. Their jobs run in processes of `fd job-process`, which see the same configuration.
 * Disposing ends the workers and the jobs in hand at once.
 */
export async function startWorkers(queue: JobQueue, options: WorkersOptions): Promise<Workers> {
  const { concurrency, configFile, tell, signal = new AbortController().signal } = options
  const { jobProcesses } = await import('../../training/queue/job-process.ts')
  const processes = jobProcesses(join(import.meta.dirname, '../fd.ts'), [
    'job-process',
    ...(configFile === undefined ? [] : ['--config', configFile]),
  ])
  const over = new AbortController()
  const ended = queue.work({ concurrency, run: processes.run, signal: AbortSignal.any([signal, over.signal]), tell })
  return {
    ended,
    async [Symbol.asyncDispose]() {
      over.abort()
      await processes[Symbol.asyncDispose]()
      // A queue that failed gives its reason to the callers that wait for their jobs, so it is not thrown here again.
      await Promise.allSettled([ended])
    },
  }
}
