import { spawn, type ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { afterAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { redisAddress } from '../../configs/connections/redis.ts'
import { freePort, redisServerOnPath, startRedis } from '../../configs/testing/redis-process.ts'
import { openJobQueue } from '../open.ts'
import { gated, patient, square } from '../testing/sample-jobs.ts'
import { openBullmqServer } from './bullmq/server.ts'
import {
  isAlive,
  jobQueueContract,
  killed,
  refusal,
  SAMPLE_JOBS,
  startWorker,
  starts,
  until,
  workOn,
} from './job-queue.contract.ts'
import { ATTEMPTS, JobRefused, type JobEvent, type JobQueue } from './job-queue.ts'
import { jobServerContract } from './shared/job-server.contract.ts'

const folder = mkdtempSync(join(tmpdir(), 'fd-queue-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
let file: string
let next = 0
beforeEach(() => void (file = join(folder, `starts-${next++}`)))

jobQueueContract('local:', () => 'local:')

test('an unknown scheme is refused, without its password', async () => {
  expect(await refusal(openJobQueue('amqp://me:secret@h'))).toMatch(
    /No job queue driver for "amqp:\/\/me:\*\*\*@h".*local:, redis:/,
  )
})

const service = process.env.FD_TEST_REDIS_URL

/** Uses a connection of its own, which is closed whatever fails. */
async function withRedis(use: (redis: Redis) => Promise<unknown>): Promise<void> {
  const redis = new Redis(service ?? '')
  try {
    await use(redis)
  } finally {
    redis.disconnect()
  }
}

describe.runIf(service !== undefined)('on the Redis of FD_TEST_REDIS_URL', () => {
  const prefix = `fd-test-${randomUUID()}`
  let queues = 0
  const freshUrl = (): string => {
    const url = new URL(service ?? '')
    url.searchParams.set('prefix', `${prefix}-${queues++}`)
    return url.href
  }
  jobQueueContract('redis:', freshUrl)

  let newest: string
  jobServerContract('redis:', {
    open: () => openBullmqServer(redisAddress((newest = freshUrl())), () => {}),
    async loseLock(id) {
      await withRedis((redis) => redis.unlink(`{${redisAddress(newest).prefix}}:jobs:${id}:lock`))
    },
  })

  test(
    // The first worker is killed while it runs two of three jobs.
    'a worker killed with -9 has its jobs run again by another, within seconds, and each has one result',
    async () => {
      const url = freshUrl()
      await using queue = await openJobQueue(url)
      const first = await startWorker(url)
      const gate = `${file}.gate`
      const results = ['a', 'b', 'c'].map((id) => queue.submit(gated, { id, data: { file, id, gate } }))
      await until(() => starts(file).length === 2)
      await killed(first)
      await writeFile(gate, '')
      const second = await startWorker(url)
      expect(await Promise.all(results)).toEqual(['a', 'b', 'c'])
      expect(
        starts(file)
          .map(({ id }) => id)
          .sort(),
      ).toEqual(['a', 'a', 'b', 'b', 'c'])
      await killed(second)
    },
  )

  test('a worker that freezes loses its job to another; when it goes on, it ends what it was doing', async () => {
    const url = freshUrl()
    await using queue = await openJobQueue(url)
    const frozen = await startWorker(url)
    const over = new AbortController()
    const result = refusal(
      queue.submit(patient, { id: 'a', data: { file, id: 'a', ms: 60_000 } }, { signal: over.signal }),
    )
    await until(() => starts(file).length === 1)
    frozen.kill('SIGSTOP')
    const other = await startWorker(url)
    await until(() => starts(file).length === 2)
    expect(isAlive(starts(file)[0].pid)).toBe(true)
    frozen.kill('SIGCONT')
    await until(() => !isAlive(starts(file)[0].pid))
    expect(isAlive(starts(file)[1].pid)).toBe(true)
    over.abort()
    expect(await result).toMatch(/taken back/)
    await until(() => !isAlive(starts(file)[1].pid))
    await Promise.all([killed(frozen), killed(other)])
  })

  /** Starts a process that waits for a job of `ms`, and waits until the job is in the queue. */
  async function startSubmitter(url: string, ms: number): Promise<ChildProcess & { said: () => string }> {
    const args = ['--disable-warning=ExperimentalWarning', SAMPLE_JOBS, url, file, String(ms)]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    onTestFinished(() => killed(child))
    let said = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text))
    await jobs(url, (keys) => keys.length > 0)
    return Object.assign(child, { said: () => said })
  }

  /** Resolves when `enough` accepts the keys of the waited job. */
  async function jobs(url: string, enough: (keys: string[]) => boolean): Promise<void> {
    const pattern = `{${new URL(url).searchParams.get('prefix')}}:jobs:waited*`
    await withRedis(async (redis) => {
      while (!enough(await redis.keys(pattern))) await sleep(20)
    })
  }

  async function untilAbandoned(queue: JobQueue): Promise<void> {
    while ((await queue.abandoned()).length === 0) await sleep(20)
  }

  test('a job of a submitter killed with -9 is named, never runs, and goes', async () => {
    const url = freshUrl()
    await using queue = await openJobQueue(url)
    const submitter = await startSubmitter(url, 0)
    expect(await queue.abandoned()).toEqual([])
    expect(await queue.removeAbandoned()).toBe(0)
    await killed(submitter)
    await untilAbandoned(queue)
    const [job] = await queue.abandoned()
    expect(job).toEqual({ kind: 'patient', id: 'waited', data: { file, id: 'waited', ms: 0 } })
    await using workers = workOn(queue, 1)
    await jobs(url, (keys) => keys.length === 0)
    await until(() => workers.events.some(({ state }) => state === 'cancelled'))
    const end = workers.events.find(({ state }) => state !== 'started')
    expect(end).toEqual({ job, state: 'cancelled', reason: 'the command that waits for it is gone' })
    expect(starts(file)).toEqual([])
    expect(await queue.abandoned()).toEqual([])
  })

  test('a job that runs is ended when its submitter is killed with -9; the worker goes on', async () => {
    const url = freshUrl()
    await using queue = await openJobQueue(url)
    await using _workers = workOn(queue, 1)
    const submitter = await startSubmitter(url, 600_000)
    await until(() => starts(file).length === 1)
    await killed(submitter)
    await until(() => !isAlive(starts(file)[0].pid))
    await jobs(url, (keys) => keys.length === 0)
    expect(await queue.submit(square, { id: 'next', data: { file, id: 'next', number: 4 } })).toBe(16)
  })

  test.each([
    ['that nobody removed', false],
    ['that others removed', true],
  ])('a submitter that was stopped for long and goes on gets its job done, %s', async (_, removed) => {
    const url = freshUrl()
    await using queue = await openJobQueue(url)
    const submitter = await startSubmitter(url, 0)
    submitter.kill('SIGSTOP')
    await untilAbandoned(queue)
    expect(removed ? await queue.removeAbandoned() : 1).toBe(1)
    submitter.kill('SIGCONT')
    await using _workers = workOn(queue, 1)
    await once(submitter, 'close')
    expect(submitter.said()).toBe('waited')
  })

  test('a refusal is no attempt: however often one worker refuses a job, another does it', async () => {
    const url = freshUrl()
    await using queue = await openJobQueue(url)
    const over = new AbortController()
    const told: JobEvent[] = []
    const refusing = queue.work({
      concurrency: 1,
      run: () => Promise.reject(new JobRefused('of other code')),
      signal: over.signal,
      tell: (event) => void told.push(event),
    })
    const heard: string[] = []
    const result = queue.submit(
      square,
      { id: 'r', data: { file, id: 'r', number: 5 } },
      { refused: (reason) => void heard.push(reason) },
    )
    await until(() => heard.length > ATTEMPTS)
    expect(new Set(heard)).toEqual(new Set(['of other code']))
    expect(told.map(({ state }) => state)).not.toContain('failed')
    await using _workers = workOn(queue, 1)
    expect(await result).toBe(25)
    over.abort()
    await refusing
  })

  test('two who wait at one queue get their own results; nothing of a finished job stays', async () => {
    const url = freshUrl()
    await using one = await openJobQueue(url)
    await using two = await openJobQueue(url)
    await using _workers = workOn(one, 2)
    const jobs = Array.from({ length: 10 }, (_, number) =>
      (number % 2 === 0 ? one : two).submit(square, { id: `n${number}`, data: { file, id: `n${number}`, number } }),
    )
    expect(await Promise.all(jobs)).toEqual(Array.from({ length: 10 }, (_, number) => number ** 2))
    expect(starts(file).length).toBe(10)
    const left = `{${new URL(url).searchParams.get('prefix')}}:jobs:n*`
    await withRedis(async (redis) => {
      while ((await redis.keys(left)).length > 0) await sleep(50)
    })
  })

  test('every key begins with the prefix of the URL, so that nothing is left behind', async () => {
    await withRedis(async (redis) => {
      const keys = await redis.keys(`*${prefix}*`)
      expect(keys.length).toBeGreaterThan(0)
      expect(keys.filter((key) => !key.startsWith(`{${prefix}-`))).toEqual([])
      await redis.unlink(...keys)
    })
  })
})

describe('a server that refuses', () => {
  test('an unknown host, or a port where nothing listens', async () => {
    expect(await refusal(openJobQueue('redis://no-such-host.invalid'))).toMatch(
      /no host of the name in redis:\/\/no-such-host\.invalid.*FD_JOB_QUEUE/,
    )
    expect(await refusal(openJobQueue(`redis://127.0.0.1:${await freePort()}`))).toMatch(
      /No Redis answers at.*fd services up redis/,
    )
  })

  test.runIf(redisServerOnPath)('a wrong password', async () => {
    await using server = await startRedis(['--requirepass', 'right'], 'right')
    expect(await refusal(openJobQueue(server.url('', ':wrong@')))).toMatch(/refused the password/)
    await using queue = await openJobQueue(server.url())
    expect(await queue.workers()).toBe(0)
  })
})

describe.runIf(redisServerOnPath)('a server that goes away', () => {
  test('is killed and comes back twice while jobs run: all are done, and the outage is told', async () => {
    await using server = await startRedis(['--appendonly', 'yes', '--appendfsync', 'always'])
    const told: string[] = []
    await using queue = await openJobQueue(server.url(), (line) => told.push(line))
    await using _workers = workOn(queue, 2)
    const results = Array.from({ length: 8 }, (_, n) =>
      queue.submit(patient, { id: `j${n}`, data: { file, id: `j${n}`, ms: 600 } }),
    )
    for (let kill = 0; kill < 2; kill++) {
      await until(() => starts(file).length >= 2 + 2 * kill)
      await server.kill()
      await sleep(300)
      await server.start()
    }
    expect(await Promise.all(results)).toEqual(Array.from({ length: 8 }, (_, n) => `j${n}`))
    expect(told.filter((line) => line.startsWith('Lost')).length).toBeGreaterThan(0)
    expect(told.filter((line) => line.endsWith('is back.')).length).toBeGreaterThan(0)
    expect(told.filter((line) => line.startsWith('Job queue'))).toEqual([])
  })

  test('and comes back empty: what waits is added again, and done', async () => {
    await using server = await startRedis()
    await using queue = await openJobQueue(server.url())
    const results = Array.from({ length: 3 }, (_, number) =>
      queue.submit(square, { id: `e${number}`, data: { file, id: `e${number}`, number } }),
    )
    await sleep(300)
    await server.kill()
    await server.start()
    await using _workers = workOn(queue, 1)
    expect(await Promise.all(results)).toEqual([0, 1, 4])
  })

  test('for good: those who wait and those who work are told after the time that the URL gives', async () => {
    const server = await startRedis()
    const url = server.url('?outageMs=800')
    await using queue = await openJobQueue(url)
    await using workers = await openJobQueue(url)
    const waiting = refusal(queue.submit(square, { id: 'x', data: { file, id: 'x', number: 1 } }))
    const working = refusal(
      workers.work({ concurrency: 1, run: () => new Promise(() => {}), signal: new AbortController().signal }),
    )
    await sleep(300)
    await server[Symbol.asyncDispose]()
    expect(await waiting).toMatch(/away for 0\.8 s/)
    expect(await working).toMatch(/away for 0\.8 s/)
  })
})
