import { Command } from 'commander'
import { withoutPassword } from '../../configs/url.ts'
import { UserError } from '../../configs/user-error.ts'
import type { JobEvent } from '../../training/queue/job-queue.ts'
import { action, example, positiveWholeNumber, stopSignal, type Context } from '../console/command.ts'
import { openRegistry, sweepAbandoned } from '../console/parts.ts'
import { removeAbandoned } from '../jobs/run.ts'
import { startWorkers } from '../jobs/workers.ts'

interface WorkerOptions {
  concurrency: number
  config?: string
}

export function workerCommand(): Command {
  return example(
    new Command('worker')
      .description(
        'do the jobs of fd train --workers and fd features backfill --shards ' +
          'that wait in the job queue (a Redis URL), until Ctrl-C;\n' +
          'any number of them on any machine that has the same registry, files and FD_HOME',
      )
      .option('--concurrency <n>', 'jobs at one time, each in a process of its own', positiveWholeNumber, 1),
    'FD_JOB_QUEUE=redis://127.0.0.1:6379 fd worker --concurrency 2',
    'fd worker --config configs/services.yaml',
  ).action(action(work))
}

async function work({ config, output }: Context, options: WorkerOptions): Promise<void> {
  if (config.jobQueue === 'local:') {
    throw new UserError(
      'The job queue is local: each command starts its own workers, and there is nothing to serve. ' +
        'To share one, give its URL to all: FD_JOB_QUEUE=redis://HOST:PORT fd worker',
    )
  }
  const { openJobQueue } = await import('../../training/open.ts')
  await using registry = await openRegistry(config)
  await using queue = await openJobQueue(config.jobQueue, output.note)
  await using sweep = await sweepAbandoned(registry, output.note)
  await removeAbandoned(queue, output.note)
  const signal = stopSignal()
  const done: Done = { done: 0, failed: 0, cancelled: 0 }
  const describe = jobLines()
  output.note(
    `Serving the job queue ${withoutPassword(config.jobQueue)}, ${options.concurrency} at a time. ` +
      'Ctrl-C ends it after the jobs in hand; once more ends it at once, and others do them.',
  )
  signal.addEventListener('abort', () => output.note('Ending after the jobs in hand.'), { once: true })
  await using workers = await startWorkers(queue, {
    concurrency: options.concurrency,
    configFile: options.config,
    tell: (event) => {
      count(done, event)
      const line = describe(event)
      if (line !== undefined) output.note(line)
      // The job's process was killed or has failed, and may have left a run.
      if (!signal.aborted && (event.state === 'failed' || event.state === 'cancelled')) sweep.again()
    },
    signal,
  })
  await workers.ended
  output.result(done, () => `${done.done} jobs done, ${done.failed} failed, ${done.cancelled} taken back`)
}

interface Done {
  done: number
  failed: number
  cancelled: number
}

/** Counts a job that has ended here. */
function count(done: Done, event: JobEvent): void {
  if (event.state === 'started' || event.state === 'refused' || (event.state === 'failed' && event.again)) return
  done[event.state]++
}

/**
 * Describes an event of a job in a line, with the time that the job took. Undefined for a job that is refused again:
 * until another worker takes it, it comes back every second.
 */
function jobLines(): (event: JobEvent) => string | undefined {
  const begun = new Map<string, number>()
  const refused = new Set<string>()
  return (event) => {
    const { id, kind } = event.job
    if (refused.has(id)) return undefined
    if (event.state === 'refused') refused.add(id)
    const seconds = ((performance.now() - (begun.get(id) ?? performance.now())) / 1000).toFixed(1)
    if (event.state === 'started') begun.set(id, performance.now())
    else begun.delete(id)
    const what = `${kind} ${id}`
    switch (event.state) {
      case 'started':
        return `${what}: started`
      case 'failed': {
        const next = event.again ? ', will be tried again' : ' for good'
        return `${what}: failed after ${seconds} s${next}: ${event.reason}`
      }
      case 'cancelled':
        return `${what}: ended after ${seconds} s: ${event.reason}`
      case 'refused':
        return `${what}: left to another worker: ${event.reason}`
      case 'done':
        return `${what}: done in ${seconds} s`
    }
  }
}

/** The process of one job at a time. A worker starts it, people do not, so it is not in the help. */
export function jobProcessCommand(): Command {
  return new Command('job-process').description('the process in which a worker does its jobs').action(
    action(async ({ config }) => {
      const [{ serveJobs }, { jobHandlers }] = await Promise.all([
        import('../../training/queue/job-process.ts'),
        import('../jobs/handlers.ts'),
      ])
      if (process.send === undefined) throw new UserError('fd job-process is started by a worker. Run: fd worker')
      serveJobs(jobHandlers(config))
    }),
  )
}
