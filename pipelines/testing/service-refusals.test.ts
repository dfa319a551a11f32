import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Kafka, logLevel } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { redisServerOnPath, startRedis } from '../../configs/testing/redis-process.ts'
import { runFd } from '../console/fd-process.ts'
import { makeWorld, type World } from './world.ts'

const run = `fd-test-${randomUUID().slice(0, 8)}`
const empty = mkdtempSync(join(tmpdir(), 'fd-faults-'))
afterAll(() => rmSync(empty, { recursive: true, force: true }))

const { FD_TEST_KAFKA_URL: kafka, FD_TEST_S3_URL: s3 } = process.env

/** `fd` must end with 2 and say why and what to do. It must show no stack and no secret, and print no result. */
async function expectRefusal(
  home: string,
  args: string[],
  environment: Record<string, string>,
  reason: RegExp,
): Promise<void> {
  const { code, stdout, stderr } = await runFd(home, args, environment)
  expect({ code, stdout }, stderr).toEqual({ code: 2, stdout: '' })
  expect(stderr).toMatch(reason)
  expect(stderr).not.toMatch(/^ {4}at /m)
  expect(stderr).not.toContain('wrong-secret')
}

let world: World
beforeAll(async () => {
  world = await makeWorld({ customers: 60, terminals: 120, days: 80, liveDays: 30 })
}, 120_000)
afterAll(() => world[Symbol.asyncDispose]())

describe('every command that opens a service says which one it cannot reach, as whom, and what to do', () => {
  const simulated = (): string[] => ['--dataset', 'simulated', '--data', world.file]
  const commands: Record<string, () => string[]> = {
    produce: () => ['produce', ...simulated(), '--limit', '5'],
    score: () => ['score', '--until-idle'],
    'topics list': () => ['topics', 'list'],
    'topics read': () => ['topics', 'read', 'transactions'],
    archive: () => ['archive', '--until-idle'],
    'features verify': () => ['features', 'verify'],
    'features backfill': () => ['features', 'backfill', ...simulated(), '--online'],
    'features get': () => ['features', 'get', '--service', 'card-fraud', '--entity', 'customer=1'],
    'models list': () => ['models', 'list'],
    'models promote': () => ['models', 'promote', 'card-fraud', '1'],
    train: () => ['train', ...simulated(), '--until', world.cut, '--param', 'rounds=2', '--register', 'card-fraud'],
  }
  const nowhere = 'no-such-host.invalid'
  const opens = {
    kafka: ['produce', 'score', 'topics list', 'topics read', 'archive', 'features verify'],
    redis: ['score', 'features verify', 'features backfill', 'features get'],
    mlflow: ['score', 'features verify', 'models list', 'models promote', 'train'],
  }

  test.each(opens.kafka)('%s: a Kafka host that is unknown, a port that is closed', async (command) => {
    await expectRefusal(
      world.home,
      commands[command](),
      { FD_EVENT_LOG: `kafka://me:wrong-secret@${nowhere}:9092` },
      /No Kafka broker answers at kafka:\/\/\S*no-such-host\.invalid:9092.*FD_EVENT_LOG.*fd services up kafka/,
    )
    await expectRefusal(
      world.home,
      commands[command](),
      { FD_EVENT_LOG: 'kafka://127.0.0.1:1' },
      /No Kafka broker answers at kafka:\/\/127\.0\.0\.1:1: .*ECONNREFUSED/,
    )
  })

  test.each(opens.redis)('%s: a Redis host that is unknown, a port that is closed', async (command) => {
    await expectRefusal(
      world.home,
      commands[command](),
      { FD_ONLINE_STORE: `redis://:wrong-secret@${nowhere}:6379` },
      /no host of the name in redis:\/\/no-such-host\.invalid:6379.*FD_ONLINE_STORE/,
    )
    await expectRefusal(
      world.home,
      commands[command](),
      { FD_ONLINE_STORE: 'redis://127.0.0.1:1' },
      /No Redis answers at redis:\/\/127\.0\.0\.1:1.*fd services up redis/,
    )
  })

  test.runIf(redisServerOnPath).each(opens.redis)('%s: a Redis password that is wrong', async (command) => {
    await using server = await startRedis(['--requirepass', 'right'], 'right')
    await expectRefusal(
      world.home,
      commands[command](),
      { FD_ONLINE_STORE: server.url('', ':wrong-secret@') },
      /refused the password.*redis:\/\/:PASSWORD@HOST:PORT/,
    )
  })

  test.each(opens.mlflow)('%s: an MLflow host that is unknown', { timeout: 120_000 }, async (command) => {
    await expectRefusal(
      world.home,
      commands[command](),
      { MLFLOW_TRACKING_URI: `http://me:wrong-secret@${nowhere}` },
      /MLflow server at http:\/\/no-such-host\.invalid cannot be reached \(E\w+\).*MLFLOW_TRACKING_URI.*fd doctor/,
    )
  })

  test.runIf(s3 !== undefined)(
    'archive: an S3 secret that is wrong, a key that is unknown, a bucket and a host that are not there',
    { timeout: 120_000 },
    async () => {
      const sent = JSON.parse(
        await world.fd('produce', ...simulated(), '--from', world.cut, '--limit', '5', '--json'),
      ) as { transactions: number; labels: number }
      const archive = commands['archive']()
      await expectRefusal(
        world.home,
        archive,
        { FD_LAKE: s3 ?? '', AWS_SECRET_ACCESS_KEY: 'wrong-secret' },
        /secret key is wrong.*AWS_SECRET_ACCESS_KEY/,
      )
      await expectRefusal(
        world.home,
        archive,
        { FD_LAKE: s3 ?? '', AWS_ACCESS_KEY_ID: 'nobody' },
        /access key is not known/,
      )
      await expectRefusal(
        world.home,
        archive,
        { FD_LAKE: s3?.replace(/\/\/[^?/]+/, '//no-such-bucket') ?? '' },
        /There is no bucket "no-such-bucket"/,
      )
      await expectRefusal(
        world.home,
        archive,
        { FD_LAKE: `s3://b?endpoint=http://${nowhere}` },
        /store cannot be reached \(E\w+\).*AWS_ENDPOINT_URL/,
      )
      // The archive must not take for written what it could not write.
      expect(JSON.parse(await world.fd('archive', '--until-idle', '--json'))).toMatchObject({
        records: sent.transactions + sent.labels,
      })
    },
  )
})

test('a topic with fewer partitions than the configuration wants is refused, on the embedded log too', async () => {
  const config = join(empty, 'three.yaml')
  writeFileSync(config, 'scorer: { partitions: 3 }\n')
  const produce = ['produce', '--dataset', 'kaggle-cc-synthetic', '--limit', '5']
  expect((await runFd(empty, produce)).code).toBe(0)
  for (const command of [produce, ['score', '--model', 'any']]) {
    await expectRefusal(
      empty,
      [...command, '--config', config],
      {},
      new RegExp(
        String.raw`Topic "transactions" has 1 partition, the configuration wants 3 \(scorer\.partitions\)\. ` +
          String.raw`Set scorer\.partitions: 1`,
      ),
    )
  }
  const other = { FD_EVENT_LOG: `lmdb:${join(empty, 'other')}` }
  expect((await runFd(empty, [...produce, '--config', config], other)).code).toBe(0)
  expect(JSON.parse((await runFd(empty, ['topics', 'list', '--json'], other)).stdout)).toMatchObject([
    { name: 'transactions', partitions: 3 },
  ])
})

describe.runIf(kafka !== undefined)('settings of topics on Kafka', () => {
  const bootstrap = kafka?.slice('kafka://'.length) ?? ''
  const prefix = `${run}.`
  const admin = new Kafka({ brokers: [bootstrap], logLevel: logLevel.NOTHING }).admin()
  beforeAll(() => admin.connect())
  afterAll(async () => {
    const topics = (await admin.listTopics()).filter((topic) => topic.startsWith(prefix))
    if (topics.length > 0) await admin.deleteTopics({ topics })
    await admin.disconnect()
  })
  const limit = (topic: string, bytes: number): Promise<unknown> =>
    admin.alterConfigs({
      validateOnly: false,
      resources: [
        {
          type: 2,
          name: prefix + topic,
          configEntries: [
            { name: 'max.message.bytes', value: String(bytes) },
            { name: 'retention.ms', value: '-1' },
          ],
        },
      ],
    })
  /** A pattern: how records that are too large for a topic are refused. */
  const overLimit = (topic: string, bytes: number): string =>
    String.raw`\d+ records sent together, \d{5,} bytes, are over the limit of topic "${topic}", ` +
    `which takes ${bytes} bytes at once`
  /** The limit that the refusal tells the user to set. */
  const advised = (stderr: string): number => Number(/--add-config max\.message\.bytes=(\d+)$/m.exec(stderr)?.[1])

  test(
    'fd produce and the scorer name topic, size, limit and the command; ' +
      'after it the stream goes on, nothing lost or doubled',
    { timeout: 180_000 },
    async () => {
      const onKafka = world.with({ FD_EVENT_LOG: `${kafka}?prefix=${prefix}` })
      const produce = ['produce', '--json', '--dataset', 'simulated', '--data', world.file, '--from', world.cut]
      await onKafka.fd(...produce, '--limit', '20')
      await limit('transactions', 5000)
      const refused = await onKafka.try(...produce, '--limit', '500')
      expect(refused.code).toBe(2)
      const nothing = String.raw`\(max\.message\.bytes\); nothing of it was written`
      expect(refused.stderr).toMatch(new RegExp(`^${overLimit('transactions', 5000)} ${nothing}`, 'm'))
      expect(refused.stderr).toContain(
        `kafka-configs.sh --bootstrap-server ${bootstrap} --alter --topic ${prefix}transactions --add-config`,
      )
      await limit('transactions', advised(refused.stderr))
      // The rest starts at the second day of the stream, so that each event is in the log once.
      const secondDay = new Date(Date.parse(world.cut) + 86_400_000).toISOString()
      const rest = JSON.parse(await onKafka.fd(...produce, '--from', secondDay, '--limit', '500')) as {
        transactions: number
      }
      const sent = 20 + rest.transactions

      await onKafka.fd('score', '--until-idle', '--group', 'makes-the-topics')
      await limit('predictions', 3000)
      const stuck = await onKafka.try('score', '--until-idle')
      expect(stuck.code).toBe(2)
      expect(stuck.stderr).toMatch(new RegExp(overLimit('predictions', 3000)))
      expect(await onKafka.predictions('scorer')).toEqual([])
      await limit('predictions', advised(stuck.stderr))
      await onKafka.fd('score', '--until-idle')
      const predictions = await onKafka.predictions('scorer')
      expect([predictions.length, new Set(predictions.map(({ input }) => input.offset)).size]).toEqual([sent, sent])
      expect(JSON.parse(await onKafka.fd('features', 'verify', '--json'))).toMatchObject({
        transactions: sent,
        differences: 0,
        duplicates: 0,
        missing: 0,
      })
    },
  )

  test(
    'partitions that were added to transactions are refused by a group that has state, also while it runs',
    { timeout: 120_000 },
    async () => {
      const onKafka = world.with({
        FD_EVENT_LOG: `${kafka}?prefix=${prefix}grown.`,
        FD_ONLINE_STORE: `lmdb:${join(empty, 'grown')}`,
      })
      await onKafka.fd('produce', '--dataset', 'simulated', '--data', world.file, '--from', world.cut, '--limit', '20')
      await onKafka.fd('score', '--until-idle')
      const running = onKafka.start('score')
      await running.says('Scoring with')
      await admin.createPartitions({ topicPartitions: [{ topic: `${prefix}grown.transactions`, count: 2 }] })
      const reason =
        /Topic "transactions" has 2 partitions, and had 1 when this group wrote its state.*Begin another log/
      for (const beside of [true, false]) {
        const refused = await onKafka.try('score', '--until-idle')
        expect(refused.code).toBe(2)
        expect(refused.stderr).toMatch(reason)
        if (beside) running.child.kill('SIGKILL')
      }
    },
  )
})
