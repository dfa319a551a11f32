import { appendFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { UserError } from '../../configs/user-error.ts'
import { openJobQueue } from '../open.ts'
import { jobHandler, jobProcesses, serveJobs } from '../queue/job-process.ts'
import type { JobKind } from '../queue/job-queue.ts'

/** Jobs by which the contract of the job queue is tried. Each start of a job is a line `ID PID` in `file`. */
const started = z.object({ file: z.string(), id: z.string() })
export const square: JobKind<z.infer<typeof started> & { number: number }, number> = {
  name: 'square',
  data: started.extend({ number: z.number() }),
  result: z.number(),
}
/** Computes without a turn of the event loop for `ms`. */
export const busy: JobKind<z.infer<typeof started> & { ms: number }, string> = {
  name: 'busy',
  data: started.extend({ ms: z.number() }),
  result: z.string(),
}
/** Reports a half and waits for `ms`. */
export const patient: JobKind<z.infer<typeof started> & { ms: number }, string> = {
  name: 'patient',
  data: started.extend({ ms: z.number() }),
  result: z.string(),
}
/** Fails, by an error or by the end of its process. */
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
  jobHandler(poison, async (data) => {
    begin(data)
    if (data.how === 'exit') process.exit(7)
    throw new UserError(`no good in ${data.id}`)
  }),
]

/**
 * This file as a program: a job's process, or with a URL a worker that says `working` and serves until it is ended; with a file too, it
 * gives itself a job of a minute that never lets go of its core.
 */
if (process.argv[1] === import.meta.filename) {
  const [url, file] = process.argv.slice(2)
  if (url === undefined) serveJobs(HANDLERS)
  else {
    await using queue = await openJobQueue(url, (line) => void process.stderr.write(`${line}\n`))
    await using processes = jobProcesses(import.meta.filename, [])
    const over = new AbortController()
    process.once('SIGTERM', () => over.abort())
    process.stderr.write('working\n')
    if (file !== undefined) void queue.submit(busy, { id: 'own', data: { file, id: 'own', ms: 60_000 } })
    await queue.work({ concurrency: 2, run: processes.run, signal: over.signal })
  }
}
