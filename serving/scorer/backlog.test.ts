import { expect, test } from 'vitest'
import type { GroupMember, RecordBatch } from '../../datasets/log/event-log.ts'
import { randomStream } from '../../datasets/random/random.ts'
import { MemoryBroker } from '../../datasets/testing/memory-broker.ts'
import { openMemoryLog } from '../../datasets/testing/memory-log.ts'
import { atOnce } from '../../datasets/testing/scheduler.ts'
import { openBacklog, type Backlog } from './backlog.ts'

const MOST = 8
/** Later than all sound timestamps. */
const NOW = 1_000_000
const signal = new AbortController().signal

/** A member of all partitions of a topic whose records have these timestamps, and what it asks of the log. */
async function opened(timestamps: readonly (readonly number[])[]) {
  const log = openMemoryLog(new MemoryBroker(), atOnce)
  await log.createTopic('in', { partitions: timestamps.length })
  const append = (partition: number, times: readonly number[]): Promise<unknown> =>
    log.append(
      'in',
      times.map((timestamp) => ({ value: 'x', timestamp, partition })),
    )
  for (const [partition, times] of timestamps.entries()) if (times.length > 0) await append(partition, times)
  const member = await log.join('g', 'in')
  const asked = { polls: 0, seeks: 0 }
  const counting: GroupMember = {
    committed: member.committed,
    poll: (options) => (asked.polls++, member.poll(options)),
    seek: (partition, offset) => (asked.seeks++, member.seek(partition, offset)),
    idle: () => member.idle(),
    commit: (...given) => member.commit(...given),
    confirm: (partition) => member.confirm(partition),
    [Symbol.asyncDispose]: () => member[Symbol.asyncDispose](),
  }
  const backlog = openBacklog(
    counting,
    () => timestamps.length,
    MOST,
    () => NOW,
  )
  return { backlog, asked, append }
}

const next = (backlog: Backlog): Promise<RecordBatch | undefined> => backlog.next({ timeoutMs: 0, signal })

/** Partition and timestamps of a batch. */
const shown = (batch: RecordBatch | undefined): [number, number[]] | undefined =>
  batch && [batch.partition, [...batch.timestamps.subarray(0, batch.size)]]

async function all(backlog: Backlog): Promise<[number, number[]][]> {
  const found: [number, number[]][] = []
  for (let batch = shown(await next(backlog)); batch !== undefined; batch = shown(await next(backlog)))
    found.push(batch)
  return found
}

const every = (step: number, count: number, first = 0): number[] =>
  Array.from({ length: count }, (_, n) => first + n * step)

test('the oldest go first, up to where another partition begins, and at least a quarter of a batch', async () => {
  const { backlog, asked } = await opened([every(10, 24), every(1, 24, 95)])
  const found = [shown(await next(backlog)) ?? [0, []]] as [number, number[]][]
  // One of each partition is enough to compare.
  expect(asked).toEqual({ polls: 2, seeks: 0 })
  found.push(...(await all(backlog)))
  expect(found.slice(0, 4)).toEqual([
    [0, [0, 10, 20, 30, 40, 50, 60, 70]],
    // Those at the very time of the other's first are before it.
    [0, [80, 90]],
    [1, [95, 96, 97, 98, 99, 100]],
    [0, [100, 110]],
  ])
  expect(found.flatMap(([partition, times]) => (partition === 1 ? times : []))).toEqual(every(1, 24, 95))
})

test.each([0, 1, 2])('the oldest are found in whichever partition they are, such as %i of three', async (oldest) => {
  const timestamps = [0, 1, 2].map((partition) => every(1, 8, partition === oldest ? 0 : 100))
  const { backlog, asked } = await opened(timestamps)
  expect(shown(await next(backlog))).toEqual([oldest, every(1, 8)])
  expect(asked).toEqual({ polls: 3, seeks: 0 })
})

test.each([1, 2, 3])('a timestamp ahead of the clock holds nobody up, nor itself, seed %i', async (seed) => {
  const random = randomStream(seed)
  const ahead = every(1, 40).map((time) => (random.integer(3) === 0 ? NOW + random.integer(1e6) : time))
  const timestamps = [[NOW + 1, ...ahead], every(1, 400)]
  const { backlog } = await opened(timestamps)
  const found: [number, number[]][] = []
  // While the other partition has full batches, all of this one comes.
  while (found.flatMap(([from, times]) => (from === 0 ? times : [])).length < timestamps[0].length)
    found.push(shown(await next(backlog)) as [number, number[]])
  expect(found.flatMap(([from, times]) => (from === 0 ? times : []))).toEqual(timestamps[0])
  expect(found.flatMap(([from, times]) => (from === 1 ? times : [])).length).toBeLessThan(400)
})

test('records of the same time are one run', async () => {
  const { backlog } = await opened([[0, 1, 1, 1, 1, 1, 2, 2], every(1, 8, 1)])
  const found = await all(backlog)
  expect(found[0]).toEqual([0, [0, 1, 1, 1, 1, 1]])
})

test.each([1, 2, 3, 4, 5])(
  'whatever the backlog is, each record comes once, in order of its partition, seed %i',
  async (seed) => {
    const random = randomStream(seed)
    const timestamps = Array.from({ length: 1 + random.integer(4) }, () => {
      let now = 0
      return Array.from({ length: random.integer(90) }, () => (now += random.integer(12)))
    })
    const { backlog } = await opened(timestamps)
    const found: [number, number[]][] = []
    // A look in between takes nothing away.
    for (let idle = 0; idle < 3;) {
      if (random.uniform() < 0.4) await backlog.look()
      const batch = shown(await next(backlog))
      if (batch === undefined) idle++
      else found.push(batch)
    }
    for (const [partition, times] of timestamps.entries())
      expect(found.flatMap(([from, some]) => (from === partition ? some : []))).toEqual(times)
    expect(Math.max(0, ...found.map(([, times]) => times.length))).toBeLessThanOrEqual(MOST)
  },
)

test('small batches, and those of a lone partition, pass as they come, without a question more', async () => {
  const live = await opened([[5, 6], [1]])
  const both = new Map([shown(await next(live.backlog)) ?? [], shown(await next(live.backlog)) ?? []] as [
    number,
    number[],
  ][])
  expect(both).toEqual(
    new Map([
      [0, [5, 6]],
      [1, [1]],
    ]),
  )
  expect(live.asked).toEqual({ polls: 2, seeks: 0 })
  const alone = await opened([every(1, 20)])
  expect((await all(alone.backlog)).map(([, times]) => times.length)).toEqual([8, 8, 4])
  expect(alone.asked).toEqual({ polls: 4, seeks: 0 })
})

test('a full batch waits for the other partitions only as long as they have something', async () => {
  const { backlog, asked, append } = await opened([every(10, 8), []])
  expect(shown(await next(backlog))).toEqual([0, every(10, 8)])
  expect(asked.polls).toBe(2)
  await append(1, [15])
  expect(shown(await next(backlog))).toEqual([1, [15]])
  expect(await next(backlog)).toBeUndefined()
})

test('a partition with enough in wait is put back, and what has gone is forgotten', async () => {
  const { backlog, asked } = await opened([every(1, 80), []])
  for (let looks = 0; looks < 5; looks++) await backlog.look()
  expect(asked.seeks).toBe(3)
  // In wait are the first two batches, and the member goes on behind them.
  expect(shown(await next(backlog))).toEqual([0, every(1, 8)])
  backlog.forget([1])
  expect(shown(await next(backlog))).toEqual([0, every(1, 8, 8)])
  await backlog.look()
  backlog.forget([0])
  expect(shown(await next(backlog))?.[1][0]).toBeGreaterThan(23)
})
