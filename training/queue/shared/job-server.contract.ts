import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ATTEMPTS } from '../job-queue.ts'
import type { HeldJob, JobEnd, JobServer, ServerWorker, Verdict } from './job-server.ts'

/** A job server that the contract can try. */
export interface TriedServer {
  /** Opens a new server. */
  open(): Promise<JobServer>
  /** Takes the lock of a job from its worker, as time does when the worker is silent. */
  loseLock(id: string): Promise<void>
}

/** A run that the test ends. */
interface Run {
  job: HeldJob
  end(verdict: Verdict): void
}

const job = (id: string, content: unknown = {}): { kind: string; id: string; content: unknown } => ({
  kind: 'k',
  id,
  content,
})

async function until(reached: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await reached())) await sleep(10)
}

/** What every driver of the job server promises, which the rules of a shared queue rely on. */
export function jobServerContract(driver: string, { open, loseLock }: TriedServer): void {
  describe(`job server on ${driver}`, () => {
    let server: JobServer
    let worker: ServerWorker | undefined
    let runs: Run[]
    let ends: [id: string, end: JobEnd][]
    beforeEach(async () => {
      server = await open()
      worker = undefined
      runs = []
      ends = []
    })
    afterEach(async () => {
      await worker?.leave()
      await server[Symbol.asyncDispose]()
    })

    function work(concurrency = 1): ServerWorker {
      return (worker = server.work({
        concurrency,
        run: (held) => new Promise((end) => void runs.push({ job: held, end })),
        started: () => {},
        settled: ({ id }, end) => void ends.push([id, end]),
      }))
    }

    test('a job is added once, and stands open until it is removed', async () => {
      expect(await server.find('a')).toBe(undefined)
      await server.add(job('a', { first: true }))
      await server.add(job('a', { first: false }))
      expect(await server.jobs()).toEqual([job('a', { first: true })])
      expect(await server.find('a')).toEqual({ state: 'open' })
      expect(await server.remove('a')).toBe(true)
      expect(await server.find('a')).toBe(undefined)
      expect(await server.remove('a')).toBe(true)
    })

    test('a job that a worker holds is not removed; what it says and its end are heard', async () => {
      const heard: unknown[] = []
      await using _events = await server.listen({
        ended: (id) => void heard.push(['ended', id]),
        progress: (id, said) => void heard.push([id, said]),
      })
      await server.add(job('a', { n: 1 }))
      work()
      await until(() => runs.length === 1)
      expect(runs[0].job).toMatchObject(job('a', { n: 1 }))
      expect(await server.remove('a')).toBe(false)
      await runs[0].job.say({ share: 0.5 })
      runs[0].end({ state: 'done', result: { n: 2 } })
      await until(() => heard.length === 2 && ends.length === 1)
      expect(heard).toEqual([
        ['a', { share: 0.5 }],
        ['ended', 'a'],
      ])
      expect(ends).toEqual([['a', { state: 'done' }]])
      expect(await server.find('a')).toEqual({ state: 'completed', result: { n: 2 } })
      expect(await server.remove('a')).toBe(true)
    })

    test('a failure uses an attempt, and what is returned uses none; the last one ends the job', async () => {
      await server.add(job('a'))
      work()
      const returned = { state: 'returned', pauseMs: 0 } as const
      const failed = { state: 'failed', reason: 'no good' } as const
      const verdicts = Array.from({ length: ATTEMPTS }, () => [returned, failed]).flat()
      for (const [run, verdict] of verdicts.entries()) {
        await until(() => runs.length === run + 1)
        runs[run].end(verdict)
      }
      await until(() => ends.length === ATTEMPTS)
      expect(ends).toEqual(
        Array.from({ length: ATTEMPTS }, (_, n) => ['a', { ...failed, again: n + 1 < ATTEMPTS }] as const),
      )
      expect(await server.find('a')).toEqual(failed)
    })

    test('a job that is dropped is gone at once, and its end is heard', async () => {
      const heard: string[] = []
      await using _events = await server.listen({ ended: (id) => void heard.push(id) })
      await server.add(job('a'))
      work()
      await until(() => runs.length === 1)
      runs[0].end({ state: 'dropped', reason: 'nobody waits' })
      await until(() => ends.length === 1 && heard.length === 1)
      expect(ends).toEqual([['a', { state: 'dropped', reason: 'nobody waits' }]])
      expect(await server.find('a')).toBe(undefined)
    })

    test('cancelling is heard', async () => {
      const heard: string[] = []
      await using _events = await server.listen({ cancelled: (id) => void heard.push(id) })
      await server.cancel('a')
      await until(() => heard.length === 1)
      expect(heard).toEqual(['a'])
    })

    test('jobs start in their order; a worker that finishes ends those in hand, and takes no more', async () => {
      for (const id of ['a', 'b', 'c']) await server.add(job(id))
      const finishing = work()
      await until(() => runs.length === 1)
      runs[0].end({ state: 'done', result: null })
      await until(() => runs.length === 2)
      const finished = finishing.finish()
      runs[1].end({ state: 'done', result: null })
      await finished
      expect(runs.map(({ job: { id } }) => id)).toEqual(['a', 'b'])
      expect(await server.find('b')).toEqual({ state: 'completed', result: null })
      expect(await server.find('c')).toEqual({ state: 'open' })
    })

    test('a job that its worker has lost runs anew, and the first run has no say any more', async () => {
      await server.add(job('a'))
      work(2)
      await until(() => runs.length === 1)
      expect(await runs[0].job.renew()).toBe(true)
      await loseLock('a')
      expect(await runs[0].job.renew()).toBe(false)
      await until(() => runs.length === 2)
      expect(await runs[0].job.renew()).toBe(false)
      runs[0].end({ state: 'done', result: 'old' })
      expect(await runs[1].job.renew()).toBe(true)
      runs[1].end({ state: 'done', result: 'new' })
      await until(() => ends.length === 1)
      expect(await server.find('a')).toEqual({ state: 'completed', result: 'new' })
      expect(ends).toEqual([['a', { state: 'done' }]])
    })

    test('an owner is known until it is forgotten, or is not renewed in time', async () => {
      expect(await server.isOwnerKnown('o')).toBe(false)
      await server.renewOwner('o', 60_000)
      expect(await server.isOwnerKnown('o')).toBe(true)
      await server.forgetOwner('o')
      expect(await server.isOwnerKnown('o')).toBe(false)
      await server.renewOwner('o', 50)
      await until(async () => !(await server.isOwnerKnown('o')))
    })
  })
}
