import { appendFile, cp } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { loadConfig } from '../../configs/config.ts'
import { openDataset } from '../../datasets/catalog.ts'
import type { NewRecord } from '../../datasets/log/event-log.ts'
import { openEventLog } from '../../datasets/open.ts'
import { inLogOrder } from '../../datasets/order/log-order.ts'
import { FRAUD_KNOWN_AT } from '../../datasets/table/dataset.ts'
import { openDatabase, sqlText } from '../../datasets/table/duckdb.ts'
import { FRAUD_LABEL } from '../../datasets/table/transaction.ts'
import type { DeadLetter } from '../../serving/dead-letter.ts'
import type { Prediction } from '../../serving/prediction.ts'
import { makeWorld, type World } from './world.ts'

// Each test starts many processes, one after the other.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 })

const DAY = 86_400_000

let world: World
/** What is scored where history ends exactly where the log begins. */
let exact: Map<number | string, Prediction>

beforeAll(async () => {
  world = await makeWorld({ customers: 60, terminals: 100, days: 70, liveDays: 12 })
  await produce(world)
  await world.fd('score', '--until-idle')
  exact = new Map((await world.predictions()).map((prediction) => [prediction.transaction_id, prediction]))
})
afterAll(() => world[Symbol.asyncDispose]())

async function produce({ fd, file, cut }: World): Promise<void> {
  await fd('produce', '--dataset', 'simulated', '--data', file, '--from', cut)
}

async function backfill({ fd, file }: World, ...until: string[]): Promise<void> {
  await fd('features', 'backfill', '--dataset', 'simulated', '--data', file, '--online', ...until)
}

async function deadLetters({ fd }: World, group: string): Promise<DeadLetter[]> {
  const lines = (await fd('topics', 'read', `transactions.dlq.${group}`)).split('\n').filter((line) => line !== '')
  return lines.map((line) => (JSON.parse(line) as { value: DeadLetter }).value)
}

/** The same home, model and log, with an online store of its own. */
function otherStore(name: string): World {
  return world.with({ FD_ONLINE_STORE: `lmdb:${world.home}/${name}` })
}

test.each([0, 5])(
  'a history that goes %d days into a log nobody has scored is refused, with the one that fits',
  async (days) => {
    const overlapping = otherStore(`overlap-${days}`)
    const group = ['--group', `overlap-${days}`]
    const until = new Date(Date.parse(world.cut) + days * DAY).toISOString()
    await backfill(overlapping, ...(days === 0 ? [] : ['--until', until]))
    const { code, stderr } = await overlapping.try('score', ...group, '--until-idle')
    expect(code).toBe(2)
    const [, command] = /End it where they begin, then score again: fd (features backfill .*)/.exec(stderr) ?? []
    await overlapping.fd(...command.split(' '))
    await overlapping.fd('score', ...group, '--until-idle')
    const predictions = await overlapping.predictions(group[1])
    const outcome = ({ transaction_id: id, features, score }: Prediction): unknown => ({ id, features, score })
    expect(predictions.map(outcome)).toEqual([...exact.values()].map(outcome))
    await overlapping.fd('features', 'verify', ...group)
  },
)

test('a history that ends days before the log begins is told', async () => {
  const early = otherStore('early')
  await backfill(early, '--until', new Date(Date.parse(world.cut) - 9 * DAY).toISOString())
  const { code, stderr } = await early.try('score', '--group', 'early', '--until-idle')
  expect(code, stderr).toBe(0)
  expect(stderr).toMatch(/The history ends at 2018-05-1\d .*, and transactions begins at 2018-05-29 .*: windows lack/)
})

/** How many fraud labels of the file become known within so many milliseconds from where history ends. */
async function labelsOfNobody(span: number): Promise<number> {
  const dataset = await openDataset('simulated', loadConfig(undefined, {}), { data: world.file })
  const stretch = { from: Date.parse(world.cut), until: Date.parse(world.cut) + span }
  let labels = 0
  for await (const { kind, size } of inLogOrder(dataset.batches(), dataset.schema, stretch))
    labels += kind.subarray(0, size).filter((event) => event === FRAUD_LABEL).length
  return labels
}

test('a stream that begins hours after its history ends: verify counts what neither of them has', async () => {
  const labels = await labelsOfNobody(DAY / 2)
  expect(labels).toBeGreaterThan(0)
  const later = world.with({
    FD_EVENT_LOG: `lmdb:${world.home}/later`,
    FD_ONLINE_STORE: `lmdb:${world.home}/later-store`,
  })
  await later.backfill()
  const from = Date.parse(world.cut) + DAY / 2
  await later.fd('produce', '--dataset', 'simulated', '--data', world.file, '--from', new Date(from).toISOString())
  await later.fd('score', '--group', 'later', '--until-idle')
  const skipped = [...exact.values()].filter(({ event_time: time }) => time < from).length
  expect(skipped).toBeGreaterThan(0)
  const { code, stdout, stderr } = await later.try('features', 'verify', '--group', 'later', '--json')
  expect(code, stderr).toBe(0)
  expect(stderr).toContain(`has ${skipped} transactions and ${labels} fraud labels between`)
  const to = Math.max(...[...exact.values()].map(({ event_time: time }) => time))
  expect(JSON.parse(stdout)).toMatchObject({
    transactions: exact.size - skipped,
    differences: 0,
    lacking: [{ file: world.file, transactions: skipped, labels, from: Date.parse(world.cut), to }],
  })
})

test('a log that was made anew is refused by the state of the old one, until it has a history of its own', async () => {
  const anew = world.with({ FD_EVENT_LOG: `lmdb:${world.home}/anew`, FD_ONLINE_STORE: `lmdb:${world.home}/anew-store` })
  await cp(join(world.home, 'online'), join(world.home, 'anew-store'), { recursive: true })
  await produce(anew)
  const { code, stderr } = await anew.try('score', '--until-idle')
  expect(code, stderr).toBe(2)
  expect(stderr).toMatch(/The state of group "scorer" has folded partition 0 of "transactions" up to offset \d+, but/)
  await anew.backfill()
  await anew.fd('score', '--until-idle')
  const features = (predictions: Iterable<Prediction>): unknown =>
    Array.from(predictions, ({ transaction_id: id, features: served }) => ({ id, served }))
  expect(features(await anew.predictions())).toEqual(features(exact.values()))
})

test('a history of another dataset than the model was trained on is told', async () => {
  const foreign = otherStore('foreign')
  await foreign.fd(
    'features',
    'backfill',
    '--dataset',
    'handbook',
    '--data',
    world.file,
    '--until',
    world.cut,
    '--online',
  )
  const { stderr } = await foreign.try('score', '--group', 'foreign', '--until-idle')
  expect(stderr).toContain('The history is of dataset handbook, and the model was trained on simulated')
})

test('a transaction that comes after history has ended, and that history holds, is a dead letter', async () => {
  const resent = world.with({
    FD_EVENT_LOG: `lmdb:${world.home}/resent`,
    FD_ONLINE_STORE: `lmdb:${world.home}/resent-store`,
  })
  await resent.backfill()
  const day = (days: number): string => new Date(Date.parse(world.cut) + days * DAY).toISOString()
  const send = ['produce', '--dataset', 'simulated', '--data', world.file, '--from']
  await resent.fd(...send, resent.cut)
  await resent.fd(...send, day(-2), '--until', day(0))
  await resent.fd('score', '--group', 'resent', '--until-idle')
  const letters = await deadLetters(resent, 'resent')
  expect(letters.length).toBeGreaterThan(20)
  expect(letters[0].reason).toMatch(/was here before, in the history that was backfilled/)
  expect((await resent.predictions('resent')).length).toBe(exact.size)
  await resent.fd('features', 'verify', '--group', 'resent')
})

test('a second backfill that holds what was scored already: nothing is counted or scored twice', async () => {
  const lines = (await world.fd('topics', 'read', 'predictions')).trim().split('\n')
  const customers = [...new Set(lines.map((line) => (JSON.parse(line) as { key: string }).key))].slice(0, 5)
  const online = (): Promise<string[]> => {
    const of = ['--service', 'card-fraud', '--group', 'scorer', '--entity']
    return Promise.all(customers.map((customer) => world.fd('features', 'get', ...of, `customer=${customer}`)))
  }
  const before = await online()
  await backfill(world)
  await world.fd('score', '--until-idle')
  expect(await online()).toEqual(before)
  expect((await world.predictions('scorer')).length).toBe(exact.size)
})

test('a file in another order: what was sorted for backfill and stream is sorted for verify, too', async () => {
  const sorted = world.with({ FD_EVENT_LOG: `lmdb:${world.home}/sorted`, FD_ONLINE_STORE: `lmdb:${world.home}/sort` })
  const file = join(world.home, 'days-from-the-last.parquet')
  {
    await using database = await openDatabase()
    const order = "date_trunc('day', TX_DATETIME) DESC, TX_DATETIME, TRANSACTION_ID"
    await database.run(`COPY (FROM ${sqlText(world.file)} ORDER BY ${order}) TO ${sqlText(file)} (FORMAT parquet)`)
  }
  const from = ['--dataset', 'simulated', '--data', file, '--sort']
  await sorted.fd('features', 'backfill', ...from, '--until', sorted.cut, '--online')
  await sorted.fd('produce', ...from, '--from', sorted.cut)
  await sorted.fd('score', '--group', 'sorted', '--until-idle')
  expect((await sorted.predictions('sorted')).map(({ transaction_id: id, features }) => ({ id, features }))).toEqual(
    [...exact.values()].map(({ transaction_id: id, features }) => ({ id, features })),
  )
  await sorted.fd('features', 'verify', '--group', 'sorted')
})

test('verify says on which bases it compared what, also after another backfill', async () => {
  const two = world.with({ FD_EVENT_LOG: `lmdb:${world.home}/two`, FD_ONLINE_STORE: `lmdb:${world.home}/two-store` })
  const day = (days: number): string => new Date(Date.parse(world.cut) + days * DAY).toISOString()
  const send = ['produce', '--dataset', 'simulated', '--data', world.file]
  const group = ['--group', 'two']
  const copy = join(world.home, 'copy.parquet')
  await cp(world.file, copy)
  await two.fd('features', 'backfill', '--dataset', 'simulated', '--data', copy, '--online', '--until', two.cut)
  await two.fd(...send, '--from', day(0), '--until', day(5))
  await two.fd('score', ...group, '--until-idle')
  await backfill(two, '--until', day(5))
  await two.fd(...send, '--from', day(5))
  await two.fd('score', ...group, '--until-idle')
  const predictions = await two.predictions('two')
  expect(predictions.map(({ transaction_id: id, features }) => ({ id, features }))).toEqual(
    [...exact.values()].map(({ transaction_id: id, features }) => ({ id, features })),
  )
  const on = (base: number): number => predictions.filter((prediction) => prediction.base === base).length
  expect(on(1)).toBe(predictions.filter(({ event_time: time }) => time < Date.parse(day(5))).length)
  expect(JSON.parse(await two.fd('features', 'verify', ...group, '--json'))).toMatchObject({
    transactions: exact.size,
    differences: 0,
    duplicates: 0,
    missing: 0,
    bases: [
      { version: 1, until: Date.parse(day(0)), transactions: on(1) },
      { version: 2, until: Date.parse(day(5)), transactions: on(2) },
    ],
    ranges: [{ partition: 0, from: predictions[0].input.offset, to: predictions.at(-1)?.input.offset }],
    lacking: [],
    uncovered: [],
  })
  await appendFile(copy, 'a new row')
  expect(JSON.parse(await two.fd('features', 'verify', ...group, '--json'))).toMatchObject({
    transactions: on(2),
    differences: 0,
    bases: [{ version: 2, transactions: on(2) }],
    uncovered: [{ predictions: on(1), reason: expect.stringMatching(/copy\.parquet has changed since/) as string }],
  })
})

test('the same stream sent twice: each transaction has one prediction, and its repeat a dead letter', async () => {
  const twice = world.with({ FD_EVENT_LOG: `lmdb:${world.home}/twice`, FD_ONLINE_STORE: `lmdb:${world.home}/once` })
  await twice.backfill()
  await produce(twice)
  await produce(twice)
  await twice.fd('score', '--group', 'twice', '--until-idle')
  const predictions = await twice.predictions('twice')
  expect(predictions.map(({ transaction_id: id, features }) => ({ id, features }))).toEqual(
    [...exact.values()].map(({ transaction_id: id, features }) => ({ id, features })),
  )
  expect((await deadLetters(twice, 'twice')).length).toBe(exact.size)
  await twice.fd('features', 'verify', '--group', 'twice')
})

test('labels that all come before their transactions: the same features, held over a restart', async () => {
  const url = `lmdb:${world.home}/early-labels`
  const early = world.with({ FD_EVENT_LOG: url, FD_ONLINE_STORE: `lmdb:${world.home}/early-labels-store` })
  await early.backfill()
  const lines = (await world.fd('topics', 'read', 'transactions')).trim().split('\n')
  const records = lines.map((line): NewRecord => {
    const { key, timestamp, value } = JSON.parse(line) as { key: string; timestamp: number; value: unknown }
    return { key, timestamp, value: JSON.stringify(value), partition: 0 }
  })
  const isLabel = ({ value }: NewRecord): boolean => String(value).includes(FRAUD_KNOWN_AT)
  const score = async (...sent: NewRecord[]): Promise<Record<string, number>> => {
    {
      await using log = await openEventLog(url)
      await log.createTopic('transactions', { partitions: 1 })
      await log.append('transactions', sent)
    }
    const totals = await early.fd('score', '--group', 'early-labels', '--until-idle', '--json')
    return JSON.parse(totals) as Record<string, number>
  }
  const first = await score(...records.filter(isLabel))
  expect(first).toMatchObject({ scored: 0, matched: 0, unmatched: 0 })
  expect(first['early']).toBeGreaterThan(5)
  expect(first['early']).toBeLessThan(first['labels'])
  const second = await score(...records.filter((record) => !isLabel(record)))
  expect(second).toMatchObject({ scored: exact.size, early: 0, matched: first['early'], unmatched: 0 })
  // The views leave out what is younger than the labels' delay, so it makes no difference when a label came.
  expect(
    (await early.predictions('early-labels')).map(({ transaction_id: id, features }) => ({ id, features })),
  ).toEqual([...exact.values()].map(({ transaction_id: id, features }) => ({ id, features })))
  await early.fd('features', 'verify', '--group', 'early-labels')
})
