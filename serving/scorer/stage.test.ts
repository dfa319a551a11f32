import { expect, test } from 'vitest'
import { errorMessage } from '../../configs/user-error.ts'
import { randomStream } from '../../datasets/random/random.ts'
import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import { DAY } from '../../datasets/table/transaction.ts'
import { MemoryBroker } from '../../datasets/testing/memory-broker.ts'
import { openMemoryLog } from '../../datasets/testing/memory-log.ts'
import { atOnce, type Scheduler } from '../../datasets/testing/scheduler.ts'
import { planChain } from '../../features/chain/chain.ts'
import type { HistoryGap } from '../../features/chain/seam.ts'
import type { Base, Checkpoint, OnlineStore } from '../../features/store/online-store.ts'
import { MemoryServer, openMemoryStore } from '../../features/testing/memory-store.ts'
import { serviceDigest } from '../../features/view/view.ts'
import { schema, service, smallStream } from '../testing/small-stream.ts'
import { GROUP, JUDGE, standIn } from '../testing/stand-in.ts'
import { PREDICTIONS, TRANSACTIONS } from '../topics.ts'
import type { ScoredBatch } from './batch.ts'
import { judgeBatch } from './scorer.ts'
import { openStage, type OpenStage, type StageOptions } from './stage.ts'

const START = Date.UTC(2018, 3, 1)

/** Steps at once, and waits that are over at once. */
const hasty: Scheduler = { ...atOnce, wait: (_, woken) => atOnce.wait(1, woken) }

/** A log with transactions in each of its partitions, a store, and stages that read them. */
class World {
  readonly broker = new MemoryBroker()
  readonly server = new MemoryServer()
  readonly #partitions: number

  constructor(partitions = 1) {
    this.#partitions = partitions
    this.broker.ensure(TRANSACTIONS, { partitions })
  }

  /** Appends `count` transactions to each partition. */
  produce(count: number, start = START): void {
    for (let partition = 0; partition < this.#partitions; partition++) {
      const records = smallStream(randomStream(partition), { events: count, blankKeys: false }, start)
      this.broker.write(
        TRANSACTIONS,
        records.map((record) => ({ ...record, partition })),
      )
    }
  }

  open(change: Partial<StageOptions> = {}, scheduler: Scheduler = hasty): Promise<OpenStage> {
    const [stage] = planChain(service, schema, { name: TRANSACTIONS, partitions: 1 }, GROUP)
    const model = { score: async ({ numbers, rows }: Parameters<Judged>[0]) => standIn(numbers, rows) }
    return openStage({
      log: openMemoryLog(this.broker, scheduler),
      store: openMemoryStore(this.server, scheduler),
      group: GROUP,
      stage,
      service,
      schema,
      maxBatch: 16,
      maxAhead: Infinity,
      checkpointEveryMs: Infinity,
      emit: (folded) => judgeBatch(folded, { service, schema }, JUDGE, model),
      endWhenIdle: () => true,
      signal: new AbortController().signal,
      now: () => 0,
      ...change,
    })
  }

  async run(change: Partial<StageOptions> = {}): Promise<void> {
    await using stage = await this.open(change)
    await stage.run()
  }

  async publish(change: Partial<Base> = {}): Promise<void> {
    const base = { service: service.name, serviceDigest: serviceDigest(service), watermark: START - 9, minorUnits: 2 }
    await openMemoryStore(this.server, hasty).publish({ ...base, schema, ...change }, [])
  }

  /** Leaves a state as another process would have written it. */
  async leave(partition: number, checkpoint: Partial<Checkpoint>): Promise<void> {
    const store = openMemoryStore(this.server, hasty)
    using state = await store.take(service.name, { group: GROUP, topic: TRANSACTIONS, partition }, async () => {})
    await state.write([], { offset: 0, watermark: START, minorUnits: 2, ...checkpoint })
  }

  predictions(): string[] {
    return this.broker
      .require(PREDICTIONS)
      .partitions.flat()
      .map(({ value }) => value.toString())
      .toSorted()
  }

  /** By partition: the next offset by its checkpoint, by what is committed, and by the log. */
  offsets(): unknown[] {
    const { owners } = this.broker.group(GROUP, TRANSACTIONS)
    return owners.map(({ committed }, partition) => [
      this.server.stored(service.name, { group: GROUP, topic: TRANSACTIONS, partition }).checkpoint?.offset,
      committed,
      this.broker.require(TRANSACTIONS).partitions[partition].length,
    ])
  }
}

async function predictionsInPeace(partitions: number, count: number): Promise<string[]> {
  const world = new World(partitions)
  world.produce(count)
  await world.run()
  return world.predictions()
}

type Judged = Parameters<typeof judgeBatch>[3]['score']

/** Takes step after step until `met` says so. */
async function until(met: () => boolean, step = (): Promise<unknown> => hasty.call('look', () => {})): Promise<void> {
  while (!met()) await step()
}

test('a state of another definition, of other records, or ahead of the log is refused at once', async () => {
  const mills: DatasetSchema = { ...schema, amount: { ...schema.amount, minorUnits: 3 } }
  const refusals: [(world: World) => Promise<void>, RegExp][] = [
    [(world) => world.publish({ serviceDigest: 'other' }), /were backfilled with another definition/],
    [(world) => world.publish({ schema: mills }), /^The champion was trained on/],
    [(world) => world.leave(0, { offset: 5 }), /has folded partition 0 .* up to offset 5, but the log .* up to 0/],
    [(world) => world.leave(1, { partitions: 3 }), /has 2 partitions, and had 3/],
  ]
  for (const [prepare, message] of refusals) {
    const world = new World(2)
    world.produce(4)
    await prepare(world)
    await expect(world.run()).rejects.toThrow(message)
    expect(
      world
        .offsets()
        .flat()
        .filter((offset) => offset === 4),
    ).toEqual([4, 4])
    expect(world.broker.names()).toEqual([TRANSACTIONS])
  }
})

test('partitions that were added are found out by who is given those alone', async () => {
  const world = new World(3)
  await world.leave(0, { partitions: 2 })
  const log = openMemoryLog(world.broker, hasty)
  await using other = await log.join(GROUP, TRANSACTIONS)
  await using stage = await world.open()
  let over = false
  const outcome = stage.run().then(() => 'ended', errorMessage)
  void outcome.then(() => (over = true))
  await until(
    () => over,
    () => other.poll({ maxRecords: 1, timeoutMs: 0 }),
  )
  expect(await outcome).toMatch(/has 3 partitions, and had 2/)
  expect([...other.committed.keys()]).toEqual([0, 1])
})

test('it says from which offsets it folds, and goes on where it stopped', async () => {
  const world = new World(2)
  world.produce(5)
  const told: unknown[] = []
  const onAssigned: StageOptions['onAssigned'] = (topic, from) => told.push([topic, ...from])
  const onStandby = (): unknown => told.push('standby')
  await world.run({ onAssigned, onStandby })
  world.produce(3, START + DAY)
  await world.run({ onAssigned, onStandby })
  expect(told).toEqual([
    [TRANSACTIONS, [0, 0], [1, 0]],
    [TRANSACTIONS, [0, 5], [1, 5]],
  ])
  expect(world.offsets()).toEqual([
    [8, 8, 8],
    [8, 8, 8],
  ])
})

test('a gap between history and log is told once, with its topic, and not again by who goes on', async () => {
  const world = new World()
  const history = { dataset: 'd', file: 'f', fileDigest: '', transactions: 1, until: START - 4 * DAY }
  await world.publish({ watermark: START - 5 * DAY, history })
  world.produce(3)
  const gaps: [string, HistoryGap][] = []
  const onGap: StageOptions['onGap'] = (topic, gap) => gaps.push([topic, gap])
  await world.run({ onGap, maxBatch: 1 })
  world.produce(3, START + DAY)
  await world.run({ onGap })
  expect(gaps).toMatchObject([[TRANSACTIONS, { from: START - 5 * DAY }]])
  expect(gaps[0][1].to).toBeLessThan(START + DAY / 2)
  // Nobody has to listen.
  await world.publish({ watermark: START - 5 * DAY, history })
  await world.run()
})

test('on a new history the log is folded again, and nothing of it is written a second time', async () => {
  const world = new World()
  world.produce(6)
  const batches: Pick<ScoredBatch, 'scored' | 'replayed' | 'done'>[] = []
  const onBatch: StageOptions['onBatch'] = ({ scored, replayed, done }) => batches.push({ scored, replayed, done })
  await world.run({ onBatch, maxBatch: 3, now: () => 7 })
  await world.publish()
  const commits: number[] = []
  world.broker.onCommit = (_, partition, next) => commits.push(partition, next)
  await world.run({ onBatch, maxBatch: 3, now: () => 8 })
  expect(commits).toEqual([])
  expect(world.offsets()).toEqual([[6, 6, 6]])
  const predictions = world.broker.require(PREDICTIONS).partitions.flat().length
  expect(batches.map(({ replayed, done }) => [replayed, done])).toEqual([
    [0, 7],
    [0, 7],
    [3, 8],
    [3, 8],
  ])
  expect(batches.map(({ scored }) => scored)).toEqual([batches[0].scored, predictions - batches[0].scored, 0, 0])
})

test('a failed commit ends it though no further record comes', async () => {
  const world = new World()
  world.produce(2)
  let looks = 0
  const failing: Scheduler = {
    ...hasty,
    call: async (name, effect) => {
      if (name.startsWith('commit of')) throw new Error('no disk')
      return hasty.call(name, effect)
    },
  }
  await using stage = await world.open({ endWhenIdle: () => ++looks === 99 }, failing)
  await expect(stage.run()).rejects.toThrow('no disk')
  expect(looks).toBeLessThan(99)
})

test('what it has taken is given back once, when a partition goes and when it is closed', async () => {
  const world = new World(2)
  world.produce(2)
  let disposed = 0
  const store = openMemoryStore(world.server, hasty)
  const counted: OnlineStore = {
    ...store,
    take: async (...asked) => ({ ...(await store.take(...asked)), [Symbol.dispose]: () => void disposed++ }),
  }
  const first = await world.open({ store: counted, endWhenIdle: () => disposed === 1 })
  const running = first.run()
  const second = await world.open()
  await second.run()
  await running
  expect(disposed).toBe(1)
  for (const stage of [first, first, second]) await stage[Symbol.asyncDispose]()
  expect(disposed).toBe(2)
})

test('a checkpoint is written as soon as it is due, after a batch, and once more at the end', async () => {
  const world = new World()
  world.produce(8)
  const offsets: number[] = []
  world.server.onCheckpoint = (_, { offset }) => offsets.push(offset)
  let now = 0
  await world.run({
    maxBatch: 1,
    checkpointEveryMs: 10,
    now: () => now,
    emit: async (folded) => {
      now += 4
      return { batch: { scored: folded.fresh.length } as never, outputs: new Map() }
    },
  })
  expect(offsets).toEqual([3, 6, 8])
})

test('a checkpoint that becomes due while there are no records does not wait for the next ones', async () => {
  const world = new World()
  world.produce(3)
  const written: [offset: number, looks: number][] = []
  let [now, looks] = [0, 0]
  world.server.onCheckpoint = (_, { offset }) => written.push([offset, looks])
  await world.run({
    checkpointEveryMs: 10,
    now: () => now,
    endWhenIdle: () => {
      if (++looks === 3) now = 10
      return looks === 9
    },
  })
  expect(written).toEqual([[3, 3]])
})

test('who gives a partition up has written all it has folded first, and the next one goes on there', async () => {
  const world = new World(2)
  world.produce(6)
  const [revoked, from]: [unknown[], unknown[]] = [[], []]
  const stop = new AbortController()
  // Commits and checkpoints take long, so that they are under way when the partition is asked for.
  const slow: Scheduler = {
    ...hasty,
    call: async (name, effect) => {
      for (let turn = 0; /^c(ommit|heckpoint) of/.test(name) && turn < 50; turn++) await hasty.call(name, () => {})
      return hasty.call(name, effect)
    },
  }
  let folded = 0
  const first = await world.open(
    {
      signal: stop.signal,
      maxBatch: 2,
      endWhenIdle: () => false,
      onBatch: () => folded++,
      onRevoked: (topic, partitions, left) => revoked.push([topic, ...partitions, left, world.offsets()]),
    },
    slow,
  )
  const running = first.run()
  await until(() => folded > 0)
  const opened = world.open({ onStandby: (topic) => from.push(topic), onAssigned: (_, of) => from.push(...of) })
  await using second = await opened
  expect(from).toEqual([TRANSACTIONS])
  await second.run()
  const [[, partition, , at]] = revoked as [[string, number, number, unknown[][]]]
  const [checkpoint, committed] = at[partition]
  expect(checkpoint).toBe(committed)
  expect(committed).toBeGreaterThan(0)
  expect(revoked).toEqual([[TRANSACTIONS, partition, 1, at]])
  expect(from).toEqual([TRANSACTIONS, [partition, committed]])
  stop.abort()
  await running
  await first[Symbol.asyncDispose]()
  expect(world.offsets()).toEqual([
    [6, 6, 6],
    [6, 6, 6],
  ])
})

/** Steps at once, but for commits: they are held until `open` is called. */
function gated(): { scheduler: Scheduler; begun: () => boolean; open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  let begun = false
  const call: Scheduler['call'] = async (name, effect) => {
    if (name.startsWith('commit of')) {
      begun = true
      await promise
    }
    return hasty.call(name, effect)
  }
  return { scheduler: { ...hasty, call }, begun: () => begun, open: resolve }
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await hasty.call('look', () => {})
}

test('a partition that is lost is given up when its commit has ended, which then is refused', async () => {
  const world = new World()
  world.produce(6)
  const { scheduler, begun, open } = gated()
  let [lost, over] = [false, false]
  const first = await world.open({ onRevoked: () => (lost = true), endWhenIdle: () => over }, scheduler)
  const running = first.run()
  await until(begun)
  world.broker.evict(world.broker.group(GROUP, TRANSACTIONS), () => true)
  await using second = await world.open()
  await second.run()
  await turns(50)
  expect(lost).toBe(false)
  open()
  await until(() => lost)
  over = true
  await running
  await first[Symbol.asyncDispose]()
  expect(world.offsets()).toEqual([[6, 6, 6]])
  expect(world.predictions()).toEqual(await predictionsInPeace(1, 6))
})

test('a partition that is lost while it is given up is given up all the same', async () => {
  const world = new World(2)
  world.produce(6)
  const { scheduler, begun, open } = gated()
  let [left, over] = [0, false]
  const first = await world.open({ onRevoked: () => left++, endWhenIdle: () => over }, scheduler)
  const running = first.run()
  await until(begun)
  // It hears that the second is due a partition, and waits for its commits.
  await using second = await world.open({ endWhenIdle: () => over })
  await turns(50)
  expect(left).toBe(0)
  world.broker.evict(world.broker.group(GROUP, TRANSACTIONS), ({ number }) => number === 0)
  open()
  const rest = second.run()
  await until(() => world.offsets().every((of) => (of as number[])[1] === 6))
  over = true
  await Promise.all([running, rest])
  await first[Symbol.asyncDispose]()
  expect(left).toBeGreaterThan(0)
  expect(world.predictions()).toEqual(await predictionsInPeace(2, 6))
})
