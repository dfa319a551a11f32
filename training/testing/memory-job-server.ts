import type { Scheduler } from '../../datasets/testing/scheduler.ts'
import type { JobServer, Listener, Standing } from '../queue/shared/job-server.ts'
import { connect, type MemoryConnection } from './memory-connection.ts'
import { openMemoryWorker } from './memory-job-worker.ts'
import type { MemoryEvent, MemoryJobs } from './memory-jobs.ts'

/** How long a server that is away is waited for, ms. */
const OUTAGE_MS = 5_000

/** The port of the job server on one in memory, as the process of `scheduler` has it. */
export function openMemoryJobServer(
  jobs: MemoryJobs,
  scheduler: Scheduler,
  complain: (error: Error) => void = () => {},
): JobServer {
  const { promise: lost, reject: lose } = Promise.withResolvers<never>()
  lost.catch(() => undefined)
  const gone = (): void =>
    void scheduler.wait(OUTAGE_MS, new Promise(() => {})).then(() => lose(new Error('The job server is gone')))
  jobs.onGone.add(gone)
  if (jobs.gone) gone()
  /** What makes each owner of this process known again. */
  const renewals = new Set<() => void>()
  const connection = connect(jobs, scheduler, renewals, complain)
  const { call, sleep } = connection
  return {
    lost,
    guard: (promise) => Promise.race([promise, lost]),
    complain,
    sleep,
    add: (job) => call(`add ${job.id}`, () => jobs.add(job)),
    find: (id) => find(connection, id),
    remove: (id) => call(`remove ${id}`, () => jobs.remove(id, scheduler.name)),
    jobs: () => call('jobs', () => [...jobs.jobs.values()].map(({ kind, id, content }) => ({ kind, id, content }))),
    workers: () => call('workers', () => jobs.workers.size),
    cancel: (id) => call(`cancel ${id}`, () => jobs.publish({ name: 'cancelled', id })),
    listen: (listener) => listen(connection, listener),
    work: (rules) => openMemoryWorker(connection, rules),
    renewOwner: (id, ms) => call('renew owner', () => jobs.renewOwner(id, ms)),
    renewOnReturn(id, ms) {
      const renew = (): void => jobs.renewOwner(id, ms)
      renewals.add(renew)
      return { [Symbol.dispose]: () => void renewals.delete(renew) }
    },
    isOwnerKnown: (id) => call('is owner known', () => jobs.isOwnerKnown(id)),
    forgetOwner: (id) => call('forget owner', () => jobs.forgetOwner(id)),
    async [Symbol.asyncDispose]() {
      jobs.onGone.delete(gone)
      lose(new Error('The connection is closed'))
    },
  }
}

/** BullMQ reads the state first and the job second. */
async function find({ call, jobs }: MemoryConnection, id: string): Promise<Standing | undefined> {
  const place = await call(`state of ${id}`, () => jobs.jobs.get(id)?.place)
  if (place === undefined) return undefined
  if (place !== 'completed' && place !== 'failed') return { state: 'open' }
  const job = await call(`read ${id}`, () => jobs.jobs.get(id) && { ...jobs.jobs.get(id) })
  if (job === undefined) return undefined
  if (job.place !== 'completed' && job.place !== 'failed') return { state: 'open' }
  if (place === 'completed') return { state: place, result: job.result }
  return { state: place, reason: job.reason ?? 'none was given' }
}

/** Events arrive in order and in parts. A part whose answer is lost is lost. */
async function listen({ call, jobs, scheduler }: MemoryConnection, listener: Listener): Promise<AsyncDisposable> {
  let arrived: MemoryEvent[] = []
  let reading = false
  const read = async (): Promise<void> => {
    reading = true
    while (arrived.length > 0) {
      const part = await scheduler.call('events', () => arrived.splice(0)).catch(() => [])
      part.forEach((event) => hear(listener, event))
    }
    reading = false
  }
  const arrive = (event: MemoryEvent): void => {
    arrived.push(event)
    if (!reading) void read()
  }
  await call('listen', () => void jobs.listeners.add(arrive))
  return {
    async [Symbol.asyncDispose]() {
      jobs.listeners.delete(arrive)
      arrived = []
    },
  }
}

function hear(listener: Listener, event: MemoryEvent): void {
  if (event.name === 'progress') listener.progress?.(event.id, event.said)
  else listener[event.name]?.(event.id)
}
