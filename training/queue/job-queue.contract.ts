import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { UserError } from '../../configs/user-error.ts'
import { openJobQueue } from '../open.ts'
import { busy, patient, poison, square } from '../testing/sample-jobs.ts'
import { jobProcesses } from './job-process.ts'
import { ATTEMPTS, type JobEvent, type JobQueue } from './job-queue.ts'

export const SAMPLE_JOBS = join(import.meta.dirname, '../testing/sample-jobs.ts')

/** Starts `sample-jobs.ts` as a worker in a process of its own, and waits until it works. */
export async function startWorker(url: string, file?: string): Promise<ChildProcess> {
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', SAMPLE_JOBS, url, ...(file === undefined ? [] : [file])],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  onTestFinished(() => killed(child))
  let said = ''
  for await (const text of child.stderr.setEncoding('utf8').iterator({ destroyOnReturn: false })) {
    said += String(text)
    if (said.includes('working')) break
  }
  child.stderr.resume()
  return child
}

export async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}

/** Id and process of every start of a job, in order. */
export function starts(file: string): { id: string; pid: number }[] {
  if (!existsSync(file)) return []
  return readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => ({ id: line.split(' ')[0], pid: Number(line.split(' ')[1]) }))
}

export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(20)
}

/** Whether a process runs. A zombie, which has ended but whose parent has not waited for it, does not. */
export function isAlive(pid: number): boolean {
  if (process.platform === 'linux')
    return existsSync(`/proc/${pid}/cmdline`) && readFileSync(`/proc/${pid}/cmdline`, 'utf8') !== ''
  try {
    return process.kill(pid, 0)
  } catch (error) {
    if (error instanceof Error) return false
    throw error
  }
}

/** The message that a promise rejects with. The error must be a UserError. */
export async function refusal(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(UserError)
  return (error as UserError).message
}

/** Workers of this process at a queue. Disposing ends them. */
export function workOn(queue: JobQueue, concurrency: number): AsyncDisposable & { events: JobEvent[] } {
  const events: JobEvent[] = []
  const processes = jobProcesses(SAMPLE_JOBS, [])
  const over = new AbortController()
  const work = queue.work({
    concurrency,
    run: processes.run,
    signal: over.signal,
    tell: (event) => void events.push(event),
  })
  return {
    events,
    async [Symbol.asyncDispose]() {
      over.abort()
      await work
      await processes[Symbol.asyncDispose]()
    },
  }
}

/**
 * What every driver of the job queue promises. `freshUrl` makes the URL of a new queue for each test.
 *
 * @param processes whether other processes can open such a URL.
 */
export function jobQueueContract(
  driver: string,
  freshUrl: () => string,
  { open = openJobQueue, processes = true }: { open?: (url: string) => Promise<JobQueue>; processes?: boolean } = {},
): void {
  describe(`job queue on ${driver}`, () => {
    let folder: string
    let file: string
    let url: string
    let tests = 0
    beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'fd-jobs-'))))
    afterAll(() => rmSync(folder, { recursive: true, force: true }))
    beforeEach(() => {
      file = join(folder, `starts-${tests++}`)
      url = freshUrl()
    })

    test('each job runs once when nothing fails, and its result reaches whoever waits for it', async () => {
      await using queue = await open(url)
      expect(await queue.workers()).toBe(0)
      const results = Array.from({ length: 12 }, (_, number) =>
        queue.submit(square, { id: `job-${number}`, data: { file, id: `job-${number}`, number } }),
      )
      await using workers = workOn(queue, 3)
      expect(await Promise.all(results)).toEqual(Array.from({ length: 12 }, (_, number) => number ** 2))
      expect(
        starts(file)
          .map(({ id }) => id)
          .sort(),
      ).toEqual(Array.from({ length: 12 }, (_, number) => `job-${number}`).sort())
      // Three processes at most ran all jobs, since a process is used again.
      expect(new Set(starts(file).map(({ pid }) => pid)).size).toBeLessThanOrEqual(3)
      expect(await queue.workers()).toBeGreaterThan(0)
      await until(() => workers.events.filter(({ state }) => state === 'done').length === 12)
    })

    test('a job that fills its core for longer than any lock lasts still runs once', async () => {
      await using queue = await open(url)
      await using _workers = workOn(queue, 1)
      expect(await queue.submit(busy, { id: 'busy', data: { file, id: 'busy', ms: 4_000 } })).toBe('busy')
      expect(starts(file).length).toBe(1)
    })

    test('a job whose process is killed with -9 runs again, and has one result', async () => {
      await using queue = await open(url)
      await using _workers = workOn(queue, 2)
      const result = queue.submit(patient, { id: 'victim', data: { file, id: 'victim', ms: 400 } })
      await until(() => starts(file).length === 1)
      process.kill(starts(file)[0].pid, 'SIGKILL')
      expect(await result).toBe('victim')
      expect(starts(file).map(({ id }) => id)).toEqual(['victim', 'victim'])
    })

    test.each([
      ['error', /failed 3 times.*no good in bad/],
      ['exit', /failed 3 times.*its process ended with code 7/],
    ] as const)(
      'a job that always fails (%s) does so with its reason after its attempts, and others go on',
      async (how, reason) => {
        await using queue = await open(url)
        await using workers = workOn(queue, 1)
        const bad = refusal(queue.submit(poison, { id: 'bad', data: { file, id: 'bad', how } }))
        const good = queue.submit(square, { id: 'good', data: { file, id: 'good', number: 3 } })
        expect(await bad).toMatch(reason)
        expect(await good).toBe(9)
        expect(starts(file).filter(({ id }) => id === 'bad').length).toBe(ATTEMPTS)
        const failures = workers.events.filter((event) => event.state === 'failed')
        expect(failures.map(({ again }) => again)).toEqual([true, true, false])
      },
    )

    test('a kind that the worker does not know is named', async () => {
      await using queue = await open(url)
      await using _workers = workOn(queue, 1)
      expect(
        await refusal(queue.submit({ ...square, name: 'cube' }, { id: 'c', data: { file, id: 'c', number: 1 } })),
      ).toMatch(/knows no job "cube"; it has square.*fd worker/)
    })

    test('progress is heard', async () => {
      await using queue = await open(url)
      await using _workers = workOn(queue, 1)
      const shares: number[] = []
      await queue.submit(
        patient,
        { id: 'p', data: { file, id: 'p', ms: 500 } },
        { report: (share) => void shares.push(share) },
      )
      expect(shares).toEqual([0.5])
    })

    test(
      'jobs that are taken back: the one that waits never runs, ' +
        'the one that runs is ended, and the worker goes on',
      async () => {
        await using queue = await open(url)
        await using workers = workOn(queue, 1)
        const stop = new AbortController()
        const running = refusal(
          queue.submit(patient, { id: 'running', data: { file, id: 'running', ms: 60_000 } }, { signal: stop.signal }),
        )
        await until(() => starts(file).length === 1)
        const waiting = refusal(
          queue.submit(square, { id: 'waiting', data: { file, id: 'waiting', number: 1 } }, { signal: stop.signal }),
        )
        const after = queue.submit(square, { id: 'after', data: { file, id: 'after', number: 2 } })
        await sleep(200)
        stop.abort()
        expect(await running).toMatch(/running.*taken back/)
        expect(await waiting).toMatch(/waiting.*taken back/)
        expect(await after).toBe(4)
        expect(starts(file).map(({ id }) => id)).toEqual(['running', 'after'])
        await until(() => !isAlive(starts(file)[0].pid))
        expect(workers.events.map(({ state }) => state)).not.toContain('failed')
        expect(
          await refusal(
            queue.submit(square, { id: 'late', data: { file, id: 'late', number: 1 } }, { signal: stop.signal }),
          ),
        ).toMatch(/taken back/)
      },
    )

    test('a worker that is told to end finishes what it has, and takes no more', async () => {
      await using queue = await open(url)
      const first = queue.submit(patient, { id: 'first', data: { file, id: 'first', ms: 600 } })
      {
        await using _workers = workOn(queue, 1)
        await until(() => starts(file).length === 1)
      }
      expect(await first).toBe('first')
      const second = queue.submit(square, { id: 'second', data: { file, id: 'second', number: 5 } })
      await sleep(300)
      expect(starts(file).length).toBe(1)
      await using _others = workOn(queue, 1)
      expect(await second).toBe(25)
    })

    test.runIf(processes)(
      'a worker killed with -9 leaves no process behind, not even one that never lets go of its core',
      async () => {
        const worker = await startWorker(url, file)
        await until(() => starts(file).length === 1)
        const { pid } = starts(file)[0]
        expect(isAlive(pid)).toBe(true)
        await killed(worker)
        await until(() => !isAlive(pid))
      },
    )
  })
}
