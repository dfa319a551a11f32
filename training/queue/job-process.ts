import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { z } from 'zod'
import { SMALL_YOUNG_GENERATION } from '../../configs/process/young-generation.ts'
import { errorMessage, UserError } from '../../configs/user-error.ts'
import type { Job, JobKind, RunJob } from './job-queue.ts'

/** How jobs of one kind are done. */
export interface JobHandler {
  kind: JobKind<unknown, unknown>
  handle(data: unknown, report: (share: number) => void): Promise<unknown>
}

/** A handler with the types of its kind. */
export function jobHandler<Data, Result>(
  kind: JobKind<Data, Result>,
  handle: (data: Data, report: (share: number) => void) => Promise<Result>,
): JobHandler {
  return { kind, handle: (data, report) => handle(kind.data.parse(data), report) }
}

/** What a job's process says; it is told jobs, one at a time. */
const message = z.discriminatedUnion('state', [
  z.object({ state: z.literal('running'), share: z.number() }),
  z.object({ state: z.literal('done'), result: z.unknown() }),
  z.object({ state: z.literal('failed'), reason: z.string() }),
])
const job = z.object({ kind: z.string(), id: z.string(), data: z.unknown() })

/** Progress is told this often at most, ms. */
const REPORT_EVERY_MS = 200

export interface JobProcesses extends AsyncDisposable {
  /** Runs a job in a process of its own, which is ended at once when the signal is aborted. Rejects when it ends in any other way. */
  run: RunJob
}

/**
 * Processes in which jobs are done, so that work which fills a core, or crashes, leaves the worker able to answer. `module` is started
 * with `parameters` and calls `serveJobs`. A process that did its job is kept for the next one.
 *
 * They end with this one, however it ends.
 */
export function jobProcesses(module: string, parameters: readonly string[]): JobProcesses {
  const idle: ChildProcess[] = []
  const alive = new Set<ChildProcess>()
  const start = (): ChildProcess => {
    // stdout is the result of this command: what a job prints goes to stderr.
    const child = fork(module, parameters, {
      execArgv: ['--disable-warning=ExperimentalWarning', SMALL_YOUNG_GENERATION],
      stdio: ['ignore', 2, 2, 'ipc'],
    })
    alive.add(child)
    child.once('exit', () => {
      alive.delete(child)
      const at = idle.indexOf(child)
      if (at >= 0) idle.splice(at, 1)
    })
    return child
  }
  return {
    async run(job, report, signal) {
      signal.throwIfAborted()
      const child = idle.pop() ?? start()
      try {
        const result = await converse(child, job, report, signal)
        idle.push(child)
        return result
      } catch (error) {
        // Whatever a failed job has left in its process is no start for the next one.
        child.kill('SIGKILL')
        throw error
      }
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(
        [...alive].map((child) => {
          child.kill('SIGKILL')
          return once(child, 'exit')
        }),
      )
    },
  }
}

function converse(
  child: ChildProcess,
  job: Job,
  report: (share: number) => void,
  signal: AbortSignal,
): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>()
  const heard = (raw: unknown): void => {
    const said = message.parse(raw)
    if (said.state === 'running') report(said.share)
    else if (said.state === 'done') resolve(said.result)
    else reject(new UserError(said.reason))
  }
  const ended = (code: number | null, signalled: NodeJS.Signals | null): void =>
    reject(new UserError(`its process ended with ${signalled ?? `code ${code}`}`))
  const aborted = (): void => reject(new UserError('it was cancelled'))
  child.on('message', heard).once('exit', ended).once('error', reject)
  signal.addEventListener('abort', aborted, { once: true })
  child.send(job, (error) => void (error !== null && reject(error)))
  return promise.finally(() => {
    child.off('message', heard).off('exit', ended).off('error', reject)
    signal.removeEventListener('abort', aborted)
  })
}

/** The other side: does the jobs that the parent sends, with the handler of their kind, until the parent is gone. Call it once, at the start of a process. */
export function serveJobs(handlers: readonly JobHandler[]): void {
  const guard = new Worker(new URL('./parent-guard.ts', import.meta.url), { workerData: process.ppid })
  guard.unref()
  process.once('disconnect', () => process.exit())
  // Ctrl-C reaches the whole group; what becomes of a job is for the parent to say.
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => {})
  process.on('message', (raw) => void answer(handlers, job.parse(raw)))
}

async function answer(handlers: readonly JobHandler[], { kind, id, data }: Job): Promise<void> {
  const tell = (said: z.input<typeof message>): void => void process.send?.(said)
  try {
    const handler = handlers.find((candidate) => candidate.kind.name === kind)
    if (handler === undefined)
      throw new UserError(
        `this worker knows no job "${kind}"; it has ${handlers.map((known) => known.kind.name).join(', ')}. Start one of the same version of fd: fd worker`,
      )
    let told = -Infinity
    const result = await handler.handle(data, (share) => {
      const now = performance.now()
      if (now - told < REPORT_EVERY_MS) return
      told = now
      tell({ state: 'running', share })
    })
    tell({ state: 'done', result: handler.kind.result.parse(result) })
  } catch (error) {
    // A user's mistake is told in a line; anything else is a bug, and its stack belongs on the terminal of whoever runs the worker.
    if (!(error instanceof UserError))
      process.stderr.write(`Job ${id} (${kind}): ${error instanceof Error ? error.stack : String(error)}\n`)
    tell({ state: 'failed', reason: errorMessage(error) })
  }
}
