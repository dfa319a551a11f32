import { expect, test } from 'vitest'
import { UserError } from '../../configs/user-error.ts'
import type { EventLog } from '../../datasets/log/event-log.ts'
import { partitionOf } from '../../datasets/log/murmur2.ts'
import { randomStream } from '../../datasets/random/random.ts'
import { MemoryBroker } from '../../datasets/testing/memory-broker.ts'
import { openMemoryLog } from '../../datasets/testing/memory-log.ts'
import { atOnce, type Scheduler } from '../../datasets/testing/scheduler.ts'
import { stageTopic } from '../../features/chain/chain.ts'
import { stageReader } from '../../features/chain/stage-record.ts'
import { MemoryServer, openMemoryStore } from '../../features/testing/memory-store.ts'
import { featureNames, type FeatureService } from '../../features/view/view.ts'
import { schema, service, smallStream } from '../testing/small-stream.ts'
import { JUDGE, standIn } from '../testing/stand-in.ts'
import { PREDICTIONS, TRANSACTIONS } from '../topics.ts'
import { runChain, type ChainOptions } from './chain.ts'
import { judgeBatch } from './scorer.ts'

const BETWEEN = stageTopic(TRANSACTIONS, 'g', 'terminal', service)
const START = Date.UTC(2018, 3, 1)

/** Runs a chain until all is scored. */
function run(log: EventLog, change: Partial<ChainOptions> = {}): Promise<void> {
  const of = change.service ?? service
  return runChain({
    log,
    store: openMemoryStore(new MemoryServer(), atOnce),
    group: 'g',
    service: of,
    schema,
    partitions: 3,
    maxBatch: 16,
    maxAhead: Infinity,
    checkpointEveryMs: 60_000,
    endWhenIdle: () => true,
    signal: new AbortController().signal,
    now: () => Date.now(),
    finish: (folded) =>
      judgeBatch(folded, { service: of, schema }, JUDGE, {
        score: async ({ numbers, rows }) => standIn(numbers, rows),
      }),
    ...change,
  })
}

const records = (events: number): ReturnType<typeof smallStream> =>
  smallStream(randomStream(9), { events, blankKeys: false }, START)

async function partitions(log: EventLog): Promise<unknown> {
  const topics = await log.topics()
  return Promise.all(
    [TRANSACTIONS, BETWEEN].map(async (name) =>
      topics.some((topic) => topic.name === name) ? (await log.topic(name)).partitions : 0,
    ),
  )
}

const written = async (log: EventLog): Promise<number> =>
  (await log.topic(PREDICTIONS)).offsets.reduce((sum, { end }) => sum + end, 0)

test('topics that are missing are made: that of transactions as it is asked for, those between like it', async () => {
  const fresh = openMemoryLog(new MemoryBroker(), atOnce)
  await run(fresh)
  expect(await partitions(fresh)).toEqual([3, 3])
  const given = openMemoryLog(new MemoryBroker(), atOnce)
  await given.createTopic(TRANSACTIONS, { partitions: 2 })
  await run(given)
  expect(await partitions(given)).toEqual([2, 2])
  const alone = openMemoryLog(new MemoryBroker(), atOnce)
  await run(alone, { partitions: 1 })
  expect(await partitions(alone)).toEqual([1, 0])
})

test('events come to the next stage by the key of its entity', async () => {
  const log = openMemoryLog(new MemoryBroker(), atOnce)
  await log.createTopic(TRANSACTIONS, { partitions: 3 })
  await log.append(TRANSACTIONS, records(60))
  await run(log)
  const read = stageReader(schema, featureNames(service).length, false, Infinity)
  let count = 0
  for (let partition = 0; partition < 3; partition++)
    for await (const batch of log.read(BETWEEN, partition)) {
      const { events } = read(batch).decoded
      for (let row = 0; row < events.size; row++, count++)
        expect(partitionOf(Buffer.from(String(events.entities[1][row])), 3)).toBe(partition)
    }
  expect(count).toBeGreaterThan(30)
})

test('a stage does not end before the one that feeds it, however long that one takes', async () => {
  const gate = Promise.withResolvers<void>()
  let looks = 0
  // The first stage's commits wait until the second has looked for records, in vain, some times.
  const slow: Scheduler = {
    ...atOnce,
    call: async (name, effect) => {
      if (name === `fetch of ${BETWEEN}` && ++looks > 3) gate.resolve()
      if (name.startsWith(`commit of ${TRANSACTIONS}/`)) await gate.promise
      return atOnce.call(name, effect)
    },
  }
  const log = openMemoryLog(new MemoryBroker(), slow)
  await log.createTopic(TRANSACTIONS, { partitions: 3 })
  await log.append(TRANSACTIONS, records(20))
  await run(log)
  const whole = openMemoryLog(new MemoryBroker(), atOnce)
  await whole.createTopic(TRANSACTIONS, { partitions: 3 })
  await whole.append(TRANSACTIONS, records(20))
  await run(whole)
  expect(await written(log)).toBe(await written(whole))
  expect(await written(log)).toBeGreaterThan(5)
})

test('a group that has read the log without the topics between is refused, and another is not', async () => {
  const plain = service.views.filter(({ kind }) => kind !== 'derived')
  const cards: FeatureService = { ...service, views: plain.filter(({ name }) => name !== 'terminals') }
  const log = openMemoryLog(new MemoryBroker(), atOnce)
  await log.createTopic(TRANSACTIONS, { partitions: 3 })
  // Nothing read yet is nothing lost.
  await run(log, { service: cards })
  await run(log, { service: { ...service, views: plain.toReversed() } })
  const some = records(6).map((record) => ({ ...record, partition: 1 }))
  await log.append(TRANSACTIONS, some)
  await run(log, { service: cards })
  await expect(run(log)).rejects.toThrow(
    new UserError(
      `Group "g" has read "transactions" (partition 1 up to offset ${some.length}) for another definition of service ` +
        '"small", or when there was one partition; its stages would lack those events. ' +
        'Score as another group: fd score --group NAME',
    ),
  )
  expect(await partitions(log)).toEqual([3, 0])
  await run(log, { group: 'another' })
})
