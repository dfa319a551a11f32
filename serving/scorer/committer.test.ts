import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, expect, test, vi } from 'vitest'
import { PartitionLost, type EventLog, type GroupMember, type NewRecord } from '../../datasets/log/event-log.ts'
import { openEventLog } from '../../datasets/open.ts'
import { randomStream } from '../../datasets/random/random.ts'
import type { WrittenBatch } from './batch.ts'
import { committer } from './committer.ts'

const folder = await mkdtemp(join(tmpdir(), 'fd-committer-'))
afterAll(() => rm(folder, { recursive: true, force: true }))
let logs = 0

async function opened(): Promise<AsyncDisposable & { log: EventLog; member: GroupMember }> {
  const log = await openEventLog(`lmdb:${join(folder, String(logs++))}`)
  await log.createTopic('in')
  return { log, member: await log.join('g', 'in'), [Symbol.asyncDispose]: async () => log[Symbol.asyncDispose]() }
}

/**
 * The member with commits that are slow as a server's would be: each is durable when `wait` is over. The number of
 * predictions of each is added to `sizes`.
 */
function slow(member: GroupMember, sizes: number[], wait: () => Promise<unknown>): GroupMember {
  return {
    ...member,
    commit: async (partition, next, outputs) => {
      sizes.push(outputs.get('predictions')?.length ?? 0)
      const { durable } = await member.commit(partition, next, outputs)
      return { durable: durable.then(async () => void (await wait())) }
    },
  }
}

/** Batch `n`. Its records contain the number, and so does `scored`, by which the reports can be told apart. */
function batchOf(n: number, counts: Record<string, number>, bytes = 4): WrittenBatch {
  const records = (count: number): NewRecord[] =>
    Array.from({ length: count }, (_, i) => ({ value: `${n}.${i}`.padEnd(bytes), timestamp: n }))
  const outputs = new Map(
    Object.entries(counts)
      .filter(([, count]) => count > 0)
      .map(([topic, count]) => [topic, records(count)]),
  )
  return {
    batch: {
      scored: n,
      alerts: 0,
      rejected: 0,
      rejections: {},
      labels: 0,
      late: 0,
      truncated: 0,
      early: 0,
      matched: 0,
      unmatched: 0,
      replayed: 0,
      timestamps: new Float64Array(0),
      done: 0,
    },
    outputs,
  }
}

async function valuesOf(log: EventLog, topic: string): Promise<string[]> {
  const values: string[] = []
  for await (const { size, bytes, valueStart, valueEnd } of log.read(topic, 0))
    for (let i = 0; i < size; i++) values.push(bytes.toString('utf8', valueStart[i], valueEnd[i]))
  return values
}

test('writes what one commit after the other would, in as many as there was time for', async () => {
  const { uniform } = randomStream(3)
  const pick = (count: number): number => Math.floor(uniform() * count)
  await using ours = await opened()
  await using theirs = await opened()
  const [sizes, heard]: number[][] = [[], []]
  const commits = committer(
    slow(ours.member, sizes, () => sleep(pick(8))),
    0,
    ({ scored }) => heard.push(scored),
  )
  let next = 0
  for (let n = 0; n < 300; n++) {
    const replayed = uniform() < 0.1
    const counts: Record<string, number> = replayed ? {} : { predictions: pick(20), fraud_alerts: pick(3) }
    next += replayed ? 0 : 20
    await commits.add(batchOf(n, counts), replayed ? undefined : next)
    if (!replayed) await (await theirs.member.commit(0, next, batchOf(n, counts).outputs)).durable
    if (uniform() < 0.1) await sleep(pick(20))
    if (uniform() > 0.02) continue
    await commits.durable()
    expect([heard.length, ours.member.committed.get(0) ?? 0]).toEqual([n + 1, next])
  }
  await commits.durable()
  expect(heard).toEqual(Array.from({ length: 300 }, (_, n) => n))
  expect(ours.member.committed).toEqual(theirs.member.committed)
  for (const topic of ['predictions', 'fraud_alerts'])
    expect(await valuesOf(ours.log, topic)).toEqual(await valuesOf(theirs.log, topic))
  expect(sizes.length).toBeGreaterThan(1)
  expect(sizes.length).toBeLessThan(270)
})

test('a lone batch is committed at once; what waits for it has a bound', async () => {
  for (const [bytes, room] of [
    [4, 8],
    [3 << 20, 2],
  ]) {
    await using world = await opened()
    const gates = Array.from({ length: 3 }, () => Promise.withResolvers<void>())
    const [sizes, added]: number[][] = [[], []]
    const commits = committer(
      slow(world.member, sizes, () => gates[sizes.length - 1].promise),
      0,
      () => {},
    )
    const adding = (async () => {
      for (let n = 0; n < 12; n++) {
        await commits.add(batchOf(n, { predictions: 1 }, bytes), n + 1)
        added.push(n)
        if (n === 0) await sleep(1)
      }
    })()
    // The first commit is under way. The `add` of the batch that fills the next one must wait for it.
    await vi.waitFor(() => expect([sizes, added.length]).toEqual([[1], room]), { timeout: 10_000 })
    await sleep(20)
    expect([sizes, added.length]).toEqual([[1], room])
    for (const { resolve } of gates) resolve()
    gates.push(...Array.from({ length: 9 }, () => gates[0]))
    await adding
    await commits.durable()
    expect(sizes[1]).toBe(room)
    expect(world.member.committed.get(0)).toBe(12)
  }
})

test('after a failure nothing is committed, and everybody hears of it', async () => {
  await using world = await opened()
  const gate = Promise.withResolvers<void>()
  const sizes: number[] = []
  const commits = committer(
    slow(world.member, sizes, () => gate.promise),
    0,
    () => {},
  )
  await commits.add(batchOf(0, { predictions: 1 }), 1)
  await sleep(1)
  for (const n of [1, 2]) await commits.add(batchOf(n, { predictions: 1 }), n + 1)
  await world.member[Symbol.asyncDispose]()
  commits.check()
  gate.resolve()
  await expect(commits.durable()).rejects.toThrow(PartitionLost)
  expect(commits.check).toThrow(PartitionLost)
  await expect(commits.add(batchOf(3, { predictions: 1 }), 4)).rejects.toThrow(PartitionLost)
  expect([sizes, (await valuesOf(world.log, 'predictions')).map((value) => value.trim())]).toEqual([[1, 2], ['0.0']])
})
