import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { loadConfig, type Config } from '../../configs/config.ts'
import type { Finding } from '../../configs/finding.ts'
import type { NewRecord } from '../../datasets/log/event-log.ts'
import { partitionOf } from '../../datasets/log/murmur2.ts'
import { openEventLog } from '../../datasets/open.ts'
import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import { DAY } from '../../datasets/table/transaction.ts'
import { openOnlineStore } from '../../features/open.ts'
import { logOnnxModel } from '../../registry/ml-model.ts'
import { modelCardTags } from '../../registry/model-card.ts'
import { openRegistry } from '../../registry/open.ts'
import { sampleCard } from '../../registry/testing/sample-card.ts'
import { STREAM } from './stream.ts'

const home = mkdtempSync(join(tmpdir(), 'fd-doctor-stream-'))
afterAll(() => rmSync(home, { recursive: true }))

const PARTITIONS = 4
const MARCH = Date.UTC(2018, 2, 31)
const schema: DatasetSchema = {
  id: { column: 'id', type: 'integer' },
  time: { column: 'at', unit: 'timestamp' },
  amount: { column: 'amount', minorUnits: 2 },
  entities: [{ name: 'card', column: 'card', type: 'string' }],
  numeric: [],
  categorical: [],
}

const config: Config = loadConfig(undefined, { FD_HOME: home })
let ids = 0
const record = (card: string, at: number, partition = partitionOf(Buffer.from(card), PARTITIONS)): NewRecord => ({
  key: card,
  value: JSON.stringify({ id: ids++, at, amount: 1, card }),
  timestamp: Date.now(),
  partition,
})

/** What doctor says of a world of its own, with these records, behind a history that ends with March. */
async function told(records: NewRecord[]): Promise<Finding[]> {
  const place = mkdtempSync(join(home, 'world-'))
  const own = { ...config, eventLog: `lmdb:${place}/log`, onlineStore: `lmdb:${place}/online` }
  {
    await using log = await openEventLog(own.eventLog)
    await log.createTopic('transactions', { partitions: PARTITIONS })
    await log.append('transactions', records)
    await using store = await openOnlineStore(own.onlineStore)
    const history = { dataset: 'shop', file: 'shop.csv', fileDigest: 'd', transactions: 1 }
    await store.publish({ service: 'user-anomaly', serviceDigest: 'd', watermark: MARCH, minorUnits: 2, history }, [])
  }
  return STREAM['stream'](own, { now: Date.now, id: 'x', tell: () => {} })
}

beforeAll(async () => {
  await using registry = await openRegistry(config.registry, { now: Date.now })
  const card = sampleCard({
    service: { name: 'user-anomaly', digest: 'd' },
    dataset: { name: 'shop', digest: 'd', schema },
  })
  await registry.createRegisteredModel('m')
  const { runId } = await registry.createRun('0')
  const source = await logOnnxModel(registry, runId, { onnx: Buffer.from('graph'), signature: card.signature, now: 1 })
  const { version } = await registry.createModelVersion({ name: 'm', source, tags: modelCardTags(card) })
  await registry.setRegisteredModelAlias('m', 'champion', version)
})

test('history and log that meet, and keys in their partitions', async () => {
  const found = await told(['a', 'b', 'c', 'd', 'e'].map((card) => record(card, MARCH + DAY / 2)))
  expect(found.map(({ aspect, state }) => `${aspect} ${state}`)).toEqual(['history ok', 'keys ok'])
  expect(found[1].detail).toMatch(/^5 keys/)
})

test('a log that begins long after history is told, with the backfill that fills the gap', async () => {
  const [history] = await told([
    { ...record('a', 0), value: 'no event' },
    record('a', MARCH + 9 * DAY),
    record('b', MARCH + 8 * DAY),
  ])
  expect(history).toEqual({
    aspect: 'history',
    state: 'warning',
    detail: expect.stringMatching(
      /ends at 2018-03-31 .* begins at 2018-04-08 00:00:00: .* shop .*--until 2018-04-08T00:00:00.000Z --online$/,
    ),
  })
})

test('a log without transactions has no gap', async () => {
  expect((await told([]))[0].state).toBe('ok')
})

test('a key in two partitions is named with them; a card number is not shown', async () => {
  const card = '4111111111111111'
  const first = partitionOf(Buffer.from(card), PARTITIONS)
  const other = (first + 1) % PARTITIONS
  const [, keys] = await told([record(card, MARCH), record('b', MARCH), record(card, MARCH, other)])
  const [from, to] = [first, other].toSorted((a, b) => a - b)
  expect(keys.state).toBe('broken')
  expect(keys.detail).toMatch(new RegExp(`^card …1111 is in partitions ${from} and ${to} of transactions: `))
  expect(keys.detail).toMatch(/partitioner=murmur2_random/)
  expect(keys.detail).not.toContain(card)
})

test('keys that all lie where another partitioner puts them are a warning', async () => {
  const elsewhere = (card: string): number => (partitionOf(Buffer.from(card), PARTITIONS) + 1) % PARTITIONS
  const [, keys] = await told(['a', 'b'].map((card) => record(card, MARCH, elsewhere(card))))
  expect(keys).toMatchObject({ state: 'warning', detail: expect.stringMatching(/^2 of 2 keys \(card\)/) })
})

test('without a champion, or without transactions, there is nothing to say', async () => {
  const bare = { ...config, registry: `sqlite:${join(home, 'none')}` }
  const empty = { ...config, eventLog: `lmdb:${join(home, 'empty')}` }
  for (const each of [bare, empty])
    expect(await STREAM['stream'](each, { now: Date.now, id: 'x', tell: () => {} })).toEqual([])
})
