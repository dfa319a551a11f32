import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { freePort, redisServerOnPath, startRedis } from '../../configs/testing/redis-process.ts'
import { openJobQueue } from '../open.ts'
import { patient, square } from '../testing/sample-jobs.ts'
import { isAlive, jobQueueContract, killed, refusal, startWorker, starts, until, workOn } from './job-queue.contract.ts'

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
describe.runIf(service !== undefined)('on the Redis of FD_TEST_REDIS_URL', () => {
  const prefix = `fd-test-${randomUUID()}`
  let queues = 0
  const freshUrl = (): string => {
    const url = new URL(service ?? '')
    url.searchParams.set('prefix', `${prefix}-${queues++}`)
    return url.href
  }
  jobQueueContract('redis:', freshUrl)

  test(
    // The first worker is killed while it runs two of three jobs.
    'a worker killed with -9 has its jobs run again by another, within seconds, and each has one result',
    async () => {
      const url = freshUrl()
      await using queue = await openJobQueue(url)
      const first = await startWorker(url)
      const results = ['a', 'b', 'c'].map((id) => queue.submit(patient, { id, data: { file, id, ms: 1_000 } }))
      await until(() => starts(file).length === 2)
      await killed(first)
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
    const redis = new Redis(service ?? '')
    while ((await redis.keys(`{${new URL(url).searchParams.get('prefix')}}:jobs:n*`)).length > 0) await sleep(50)
    await redis.quit()
  })

  test('every key begins with the prefix of the URL, so that nothing is left behind', async () => {
    const redis = new Redis(service ?? '')
    const keys = await redis.keys(`*${prefix}*`)
    expect(keys.length).toBeGreaterThan(0)
    expect(keys.filter((key) => !key.startsWith(`{${prefix}-`))).toEqual([])
    await redis.unlink(...keys)
    await redis.quit()
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
