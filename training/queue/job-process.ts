import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { z } from 'zod'
import { SMALL_YOUNG_GENERATION } from '../../configs/process/young-generation.ts'
import { errorMessage, UserError } from '../../configs/user-error.ts'
import { JobRefused, type Job, type JobKind, type RunJob } from './job-queue.ts'

/** Runs the jobs of one kind. */
export interface JobHandler {
  kind: JobKind<unknown, unknown>
  handle(data: unknown, report: (share: number) => void): Promise<unknown>
}

/** Makes a handler from a function with the types of its kind. */
export function jobHandler<Data, Result>(
  kind: JobKind<Data, Result>,
  handle: (data: Data, report: (share: number) => void) => Promise<Result>,
): JobHandler {
  return { kind, handle: (data, report) => handle(kind.data.parse(data), report) }
}

/** What the process of a job sends to its parent. The parent sends jobs, one at a time. */
const message = z.discriminatedUnion('state', [
  z.object({ state: z.literal('running'), share: z.number() }),
  z.object({ state: z.literal('done'), result: z.unknown() }),
  z.object({ state: z.literal('failed'), reason: z.string() }),
  z.object({ state: z.literal('refused'), reason: z.string() }),
])
const job = z.object({ kind: z.string(), id: z.string(), data: z.unknown() })

/** Shortest time between two reports of progress, ms. */
const REPORT_EVERY_MS = 200

/** Processes that run jobs. Disposing them kills all that are alive. */
export interface JobProcesses extends AsyncDisposable {
  /**
   * Runs a job in its own process. Aborting the signal kills the process. Rejects unless the job answers with a result.
   */
  run: RunJob
}

/**
 * Runs jobs in processes of their own, so that the worker can answer while a job fills a core, or after a job has
 * crashed. Starts `module` with `parameters`; that program must call `serveJobs`. A process that finished its job is
 * kept for the next one.
 *
 * The processes end with this one, however it ends.
 */
export function jobProcesses(module: string, parameters: readonly string[]): JobProcesses {
  const idle: ChildProcess[] = []
  const alive = new Set<ChildProcess>()
  const start = (): ChildProcess => {
    const child = forkJobProcess(module, parameters)
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
        if (error instanceof JobRefused) {
          idle.push(child)
          throw error
        }
        // A failed job may have left its process in any state, so the next job must not start there. Whoever hears of
        // the failure may rely on its end.
        await killProcess(child)
        throw error
      }
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...alive].map(killProcess))
    },
  }
}

function forkJobProcess(module: string, parameters: readonly string[]): ChildProcess {
  return fork(module, parameters, {
    execArgv: ['--disable-warning=ExperimentalWarning', SMALL_YOUNG_GENERATION],
    // The stdout of this command is its result, so what a job prints goes to stderr.
    stdio: ['ignore', 2, 2, 'ipc'],
  })
}

async function killProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}

/** Sends a job to a process and waits until the job ends, the process ends, or `signal` is aborted. */
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
    else reject(said.state === 'refused' ? new JobRefused(said.reason) : new UserError(said.reason))
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

/**
 * The other side: runs the jobs that the parent sends, each with the handler of its kind, until the parent is gone.
 * Call it once, at the start of a process.
 */
export function serveJobs(handlers: readonly JobHandler[]): void {
  const guard = new Worker(new URL('./parent-guard.ts', import.meta.url), { workerData: process.ppid })
  guard.unref()
  process.once('disconnect', () => process.exit())
  // Ctrl-C reaches the whole process group. The parent decides what becomes of a job.
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => {})
  process.on('message', (raw) => void answer(handlers, job.parse(raw)))
}

type Said = z.input<typeof message>

async function answer(handlers: readonly JobHandler[], { kind, id, data }: Job): Promise<void> {
  const tell = (said: Said): void => void process.send?.(said)
  try {
    const handler = handlerOf(handlers, kind)
    const result = await handler.handle(data, progressReporter(tell))
    tell({ state: 'done', result: handler.kind.result.parse(result) })
  } catch (error) {
    // A user's mistake takes one line, sent to the parent. Anything else is a bug: whoever runs the worker needs its
    // stack.
    if (!(error instanceof UserError)) {
      process.stderr.write(`Job ${id} (${kind}): ${error instanceof Error ? error.stack : String(error)}\n`)
    }
    tell({ state: error instanceof JobRefused ? 'refused' : 'failed', reason: errorMessage(error) })
  }
}

/** @throws UserError when no handler knows jobs of `kind`. */
function handlerOf(handlers: readonly JobHandler[], kind: string): JobHandler {
  const handler = handlers.find((candidate) => candidate.kind.name === kind)
  if (handler !== undefined) return handler
  const known = handlers.map((candidate) => candidate.kind.name).join(', ')
  throw new UserError(
    `this worker knows no job "${kind}"; it has ${known}. Start one of the same version of fd: fd worker`,
  )
}

/** Sends progress to the parent, and drops reports that come too soon after the last. */
function progressReporter(tell: (said: Said) => void): (share: number) => void {
  let told = -Infinity
  return (share) => {
    const now = performance.now()
    if (now - told < REPORT_EVERY_MS) return
    told = now
    tell({ state: 'running', share })
  }
}
