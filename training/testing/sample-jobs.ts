import { appendFileSync, existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { HEARTBEAT_MS } from '../../configs/heartbeat.ts'
import { UserError } from '../../configs/user-error.ts'
import { jobHandler, jobProcesses, serveJobs } from '../queue/job-process.ts'
import type { JobKind, JobQueue } from '../queue/job-queue.ts'
import { openLocalQueue } from '../queue/local.ts'

/*
 * Jobs for the tests of the job queue. Each job has its own kind of behaviour, and writes a line `ID PID` to `file`
 * when it starts. This file is also a program; see its end.
 */

/** Time between two signs of life of a submitter in a process of its own, ms. */
const QUICK_HEARTBEAT_MS = 100

/** What every job is given: the file for its line, and its own id. */
const started = z.object({ file: z.string(), id: z.string() })
export const square: JobKind<z.infer<typeof started> & { number: number }, number> = {
  name: 'square',
  data: started.extend({ number: z.number() }),
  result: z.number(),
}
/** Computes for `ms` without giving the event loop a turn. */
export const busy: JobKind<z.infer<typeof started> & { ms: number }, string> = {
  name: 'busy',
  data: started.extend({ ms: z.number() }),
  result: z.string(),
}
/** Reports that it is half done, then waits for `ms`. */
export const patient: JobKind<z.infer<typeof started> & { ms: number }, string> = {
  name: 'patient',
  data: started.extend({ ms: z.number() }),
  result: z.string(),
}
/** Waits until there is a file `GATE`. */
export const gated: JobKind<z.infer<typeof started> & { gate: string }, string> = {
  name: 'gated',
  data: started.extend({ gate: z.string() }),
  result: z.string(),
}
/** Fails: throws an error, or ends its process. */
export const poison: JobKind<z.infer<typeof started> & { how: 'error' | 'exit' }, null> = {
  name: 'poison',
  data: started.extend({ how: z.enum(['error', 'exit']) }),
  result: z.null(),
}

const begin = ({ file, id }: z.infer<typeof started>): void => appendFileSync(file, `${id} ${process.pid}\n`)

const HANDLERS = [
  jobHandler(square, async (data) => {
    begin(data)
    return data.number ** 2
  }),
  jobHandler(busy, async (data) => {
    begin(data)
    const until = performance.now() + data.ms
    while (performance.now() < until);
    return data.id
  }),
  jobHandler(patient, async (data, report) => {
    begin(data)
    report(0.5)
    await sleep(data.ms)
    return data.id
  }),
  jobHandler(gated, async (data) => {
    begin(data)
    while (!existsSync(data.gate)) await sleep(20)
    return data.id
  }),
  jobHandler(poison, async (data) => {
    begin(data)
    if (data.how === 'exit') process.exit(7)
    throw new UserError(`no good in ${data.id}`)
  }),
]

/** Opens the queue of `url` as the door `open.ts` does, which stands above this folder. */
async function openQueue(url: string, tell: (line: string) => void): Promise<JobQueue> {
  if (url === 'local:') return openLocalQueue()
  const { openBullmqQueue } = await import('../queue/bullmq/queue.ts')
  return openBullmqQueue(url, HEARTBEAT_MS, tell)
}

/**
 * Works at the queue of `url` until SIGTERM, and says `working` on stderr once it does. With a `file`, it also submits
 * a job that never lets go of its core for a minute.
 */
async function work(url: string, file: string | undefined): Promise<void> {
  await using queue = await openQueue(url, (line) => void process.stderr.write(`${line}\n`))
  await using processes = jobProcesses(import.meta.filename, [])
  const over = new AbortController()
  process.once('SIGTERM', () => over.abort())
  process.stderr.write('working\n')
  if (file !== undefined) void queue.submit(busy, { id: 'own', data: { file, id: 'own', ms: 60_000 } })
  await queue.work({ concurrency: 2, run: processes.run, signal: over.signal })
}

/** Submits a job that takes a moment, gives signs of life often, and prints the job's result. */
async function wait(url: string, file: string, ms: number): Promise<void> {
  const { openBullmqQueue } = await import('../queue/bullmq/queue.ts')
  await using queue = await openBullmqQueue(url, QUICK_HEARTBEAT_MS)
  process.stdout.write(await queue.submit(patient, { id: 'waited', data: { file, id: 'waited', ms } }))
}

/** As a program: without arguments the process of a job, with `URL [FILE]` a worker, with `URL FILE MS` a submitter. */
if (process.argv[1] === import.meta.filename) {
  const [url, file, ms] = process.argv.slice(2)
  if (url === undefined) serveJobs(HANDLERS)
  else if (ms === undefined) await work(url, file)
  else await wait(url, file, Number(ms))
}
