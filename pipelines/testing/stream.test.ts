import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { RecordBatch } from '../../datasets/log/event-log.ts'
import { openEventLog, openLake } from '../../datasets/open.ts'
import type { DeadLetter } from '../../serving/dead-letter.ts'
import type { Prediction } from '../../serving/prediction.ts'
import type { FdProcess } from '../console/fd-process.ts'
import { UNDER_WAY } from './fault.contract.ts'
import { makeWorld, type World } from './world.ts'

let world: World
beforeAll(async () => {
  world = await makeWorld({ customers: 300, terminals: 500, days: 80, liveDays: 30 })
})
afterAll(() => world[Symbol.asyncDispose]())

/** The values of a topic, as `fd topics read` prints them. */
async function values<T>(topic: string): Promise<T[]> {
  const lines = (await world.fd('topics', 'read', topic)).split('\n').filter((line) => line !== '')
  return lines.map((line) => (JSON.parse(line) as { value: T }).value)
}

test(
  'three terminals: produce, score, and read the alerts as they come; ' +
    'a promotion at 5,000 a second loses and doubles nothing',
  { timeout: 120_000 },
  async () => {
    const history = ['--dataset', 'simulated', '--data', world.file, '--until', world.cut]
    await world.fd('train', ...history, '--model', 'forest', '--param', 'trees=20', '--register', 'card-fraud')
    const scorer = world.start('score', '--json')
    await scorer.says('Scoring with card-fraud version 1')
    const reader = world.start('topics', 'read', 'fraud_alerts', '--follow')
    let followed = ''
    reader.child.stdout?.on('data', (text: string) => (followed += text))
    const produce = (...range: string[]): FdProcess =>
      world.start('produce', '--dataset', 'simulated', '--data', world.file, ...range, '--rate', '5000', '--json')
    const sentBy = async ({ ended }: FdProcess): Promise<number> =>
      (JSON.parse((await ended).stdout) as { transactions: number }).transactions
    // First two thirds of the stream. The promotion comes while they are sent, or on a slow machine after them. Then
    // the rest.
    const later = new Date(Date.parse(world.cut) + 20 * 86_400_000).toISOString()
    const first = produce('--from', world.cut, '--until', later)
    await scorer.says(UNDER_WAY)
    await world.fd('models', 'promote', 'card-fraud', '2', '--force', '--reason', 'the stream must not notice')
    await scorer.says('New champion: card-fraud version 2')
    const transactions = (await sentBy(first)) + (await sentBy(produce('--from', later)))
    await expect.poll(async () => (await world.predictions('scorer')).length, { interval: 500 }).toBe(transactions)
    scorer.child.kill('SIGTERM')
    const totals = JSON.parse((await scorer.ended).stdout) as Record<string, number>

    const predictions = await world.predictions('scorer')
    expect(transactions).toBeGreaterThan(10_000)
    expect(totals).toMatchObject({ scored: transactions, rejected: 0, late: 0, replayed: 0 })
    expect(predictions.length).toBe(transactions)
    expect(new Set(predictions.map(({ transaction_id }) => transaction_id)).size).toBe(transactions)
    const versions = predictions.map(({ model }) => model.version)
    const swap = versions.indexOf(2)
    expect(swap).toBeGreaterThan(0)
    expect(versions).toEqual(versions.map((_, i) => (i < swap ? 1 : 2)))
    for (const prediction of predictions)
      expect(prediction.decision).toBe(prediction.score >= prediction.threshold ? 'alert' : 'approve')

    const alerts = predictions.filter(({ decision }) => decision === 'alert')
    expect(alerts.length).toBeGreaterThan(0)
    const lines = (): string[] => followed.split('\n').slice(0, -1)
    await expect.poll(() => lines().length).toBe(alerts.length)
    reader.child.kill('SIGTERM')
    await reader.ended
    expect(lines().map((line) => (JSON.parse(line) as { value: Prediction }).value)).toEqual(alerts)
  },
)

test('malformed records go to transactions.dlq with reason and bytes, and the scorer goes on', async () => {
  const bad = [
    'not json',
    '{"TRANSACTION_ID":1}',
    '\ufffd',
    JSON.stringify({ TRANSACTION_ID: 1, TX_DATETIME: 1, CUSTOMER_ID: 'x', TERMINAL_ID: 1, TX_AMOUNT: 1 }),
  ]
  const good = {
    TRANSACTION_ID: 9_000_001,
    TX_DATETIME: Date.UTC(2018, 8, 1),
    CUSTOMER_ID: 1,
    TERMINAL_ID: 1,
    TX_AMOUNT: 12.5,
    note: 'unknown fields are ignored',
  }
  {
    await using log = await openEventLog(`lmdb:${join(world.home, 'log')}`)
    await log.append('transactions', [
      ...bad.map((value) => ({ value, timestamp: 0 })),
      { value: Buffer.from([0xc3, 0x28, 0]), timestamp: 0 },
      { value: JSON.stringify(good), timestamp: 0 },
    ])
  }
  await world.fd('score', '--until-idle')
  const letters = await values<DeadLetter>('transactions.dlq')
  expect(letters.map(({ bytes }) => Buffer.from(bytes, 'base64'))).toEqual([
    ...bad.map((value) => Buffer.from(value)),
    Buffer.from([0xc3, 0x28, 0]),
  ])
  expect(letters.map(({ reason }) => reason)).toEqual([
    expect.stringMatching(/^not JSON/),
    expect.stringMatching(/^[A-Z_]+: expected .*, found nothing/),
    expect.stringMatching(/^not JSON/),
    expect.stringMatching(/^CUSTOMER_ID: expected a whole number from 0 to 2\^53 − 1, found "x"/),
    expect.stringMatching(/^not JSON/),
  ])
  expect((await world.predictions('scorer')).at(-1)?.transaction_id).toBe(good.TRANSACTION_ID)
  await world.fd('features', 'verify')
})

test(
  'a second scorer of the group stands by while the first has the one partition, and goes on when it is gone',
  { timeout: 60_000 },
  async () => {
    const first = world.start('score')
    await first.says('Partition 0 of transactions: folding from offset')
    const second = world.start('score', '--until-idle')
    await second.says('Standing by: other scorers have all partitions of transactions')
    first.child.kill('SIGKILL')
    await second.says('Partition 0 of transactions: folding from offset')
    expect((await second.ended).code).toBe(0)
  },
)

test('served features that were tampered with are found: verify ends with 1 and names them', async () => {
  const [prediction] = await world.predictions('scorer')
  {
    await using log = await openEventLog(`lmdb:${join(world.home, 'log')}`)
    const forged = {
      ...prediction,
      group: 'forged',
      features: { ...prediction.features, tx_amount: Number(prediction.features['tx_amount']) + 0.01 },
    }
    await log.append('predictions', [{ value: JSON.stringify(forged), timestamp: 0 }])
  }
  const { code, stdout } = await world.try('features', 'verify', '--group', 'forged')
  expect(code).toBe(1)
  expect(stdout).toMatch(/differences +1\n/)
  expect(stdout).toMatch(/tx_amount/)
})

test.each<[string[], RegExp]>([
  [['score', '--group', ''], /^"" cannot be the name of a topic or group/],
  [['score', '--group', 'a/b c'], /^"a\/b c" cannot be the name of a topic or group: use at most 249 letters, digits/],
  [
    ['features', 'verify', '--group', 'nobody'],
    /has no prediction of group "nobody"\. It has those of: .*scorer.*fd features verify --group/,
  ],
  [
    ['features', 'verify', '--from', '5', '--to', '3'],
    /no prediction of group "scorer" is of an input offset from 5 to before 3\. Change --from and --to/,
  ],
  [['archive', '--topic', 'nothing'], /^No topic "nothing"\. Topics: .*transactions/],
])('fd %j is refused: there is nothing of that name, or nothing to compare', async (args, reason) => {
  const { code, stdout, stderr } = await world.try(...args)
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
  expect(stderr).toMatch(reason)
})

test('a stretch without events is sent, and said to be empty', async () => {
  const produce = ['produce', '--dataset', 'simulated', '--data', world.file]
  const { code, stderr, stdout } = await world.try(...produce, '--from', '2030-01-01', '--json')
  expect(JSON.parse(stdout)).toMatchObject({ transactions: 0, labels: 0 })
  expect(stderr).toMatch(
    /transactions\.parquet has no event in this time\. Change --from and --until, or leave them out\./,
  )
  expect(code).toBe(0)
})

test(
  'the archive holds every record of the topic once, with partition and offset, also after it was killed',
  { timeout: 60_000 },
  async () => {
    const archiver = world.start('archive', '--records', '500', '--every', '0')
    await wait(700)
    archiver.child.kill('SIGKILL')
    await archiver.ended
    await world.fd('archive', '--records', '500', '--until-idle')
    await using log = await openEventLog(`lmdb:${join(world.home, 'log')}`)
    await using lake = await openLake(`file:${join(world.home, 'lake')}`)
    expect(await gather(lake.read('transactions'))).toEqual(await gather(log.read('transactions', 0)))
    expect((await lake.list('transactions')).length).toBeGreaterThan(1)
  },
)

/** The offset, key and value of every record. */
async function gather(batches: AsyncIterable<RecordBatch>): Promise<[number, string, string][]> {
  const records: [number, string, string][] = []
  for await (const batch of batches) {
    for (let i = 0; i < batch.size; i++) {
      records.push([
        batch.offsets[i],
        batch.bytes.toString('latin1', batch.keyStart[i], batch.valueStart[i]),
        batch.bytes.toString('latin1', batch.valueStart[i], batch.valueEnd[i]),
      ])
    }
  }
  return records
}
