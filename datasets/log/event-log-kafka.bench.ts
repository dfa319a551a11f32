/**
 * What the event log on Kafka costs, next to the client library's own Producer and Consumer on the same broker:
 * `FD_TEST_KAFKA_URL=kafka://HOST:PORT node datasets/log/event-log-kafka.bench.ts`. Prints one JSON document on stdout.
 *
 * append and read: events of 250 bytes with a key, one partition. commit: offset, n predictions, one alert in ten.
 * Rates are the median of 3 rounds. Each round does all of it once, so that drift of the machine affects both alike.
 */
import { randomUUID } from 'node:crypto'
import { Consumer, deleteTopicsV6, Connection, MessagesStreamModes, ProduceAcks, Producer } from '@platformatic/kafka'
import { openEventLog } from '../open.ts'
import type { EventLog, NewRecord } from './event-log.ts'

const EVENTS = 256 * 400
const BATCH = 256
const VALUE = 'x'.repeat(250)
const ROUNDS = 3
const NOW = Date.now()

const records = (count: number): NewRecord[] =>
  Array.from({ length: count }, (_, i) => ({ key: `card-${i}`, value: VALUE, timestamp: NOW + i }))
const perSecond = (count: number, start: number): number => Math.round((count / (performance.now() - start)) * 1000)
const median = (samples: number[]): number => samples.toSorted((a, b) => a - b)[samples.length >> 1]

function quantiles(samples: number[]): { p50: number; p99: number } {
  const sorted = samples.toSorted((a, b) => a - b)
  const at = (q: number): number =>
    Number(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))].toFixed(2))
  return { p50: at(0.5), p99: at(0.99) }
}

async function driverRates(log: EventLog, topic: string): Promise<{ append: number; read: number; poll: number }> {
  await log.createTopic(topic)
  const batch = records(BATCH)
  let start = performance.now()
  for (let i = 0; i < EVENTS; i += BATCH) await log.append(topic, batch)
  const append = perSecond(EVENTS, start)
  start = performance.now()
  let seen = 0
  for await (const { size } of log.read(topic, 0)) seen += size
  const read = perSecond(seen, start)
  await using member = await log.join('bench', topic)
  start = performance.now()
  for (seen = 0; seen < EVENTS;) seen += (await member.poll({ maxRecords: 512, timeoutMs: 5000 }))?.size ?? 0
  return { append, read, poll: perSecond(seen, start) }
}

async function clientRates(
  log: EventLog,
  prefix: string,
  topic: string,
  brokers: string[],
): Promise<{ produce: number; consume: number }> {
  await log.createTopic(topic)
  const produce = await produceRate(prefix + topic, brokers)
  return { produce, consume: await consumeRate(prefix + topic, `${prefix}client-${topic}`, brokers) }
}

async function produceRate(topic: string, bootstrapBrokers: string[]): Promise<number> {
  const producer = new Producer({ clientId: 'bench', bootstrapBrokers, idempotent: true, acks: ProduceAcks.ALL })
  const batch = records(BATCH)
  const start = performance.now()
  for (let i = 0; i < EVENTS; i += BATCH) {
    const messages = batch.map(({ key, value, timestamp }) => ({
      topic,
      partition: 0,
      key: Buffer.from(String(key)),
      value: Buffer.from(String(value)),
      timestamp: BigInt(timestamp),
    }))
    await producer.send({ messages })
  }
  const produce = perSecond(EVENTS, start)
  await producer.close()
  return produce
}

async function consumeRate(topic: string, groupId: string, bootstrapBrokers: string[]): Promise<number> {
  const consumer = new Consumer({ clientId: 'bench', bootstrapBrokers, groupId })
  let start = performance.now()
  const stream = await consumer.consume({
    topics: [topic],
    mode: MessagesStreamModes.EARLIEST,
    autocommit: false,
    maxWaitTime: 500,
  })
  let seen = 0
  for await (const { value } of stream) {
    if (value !== undefined) seen++
    if (seen === 1) start = performance.now()
    if (seen === EVENTS) break
  }
  const consume = perSecond(seen, start)
  await consumer.close(true)
  return consume
}

async function commits(log: EventLog, size: number): Promise<{ p50: number; p99: number }> {
  await using member = await log.join(`bench-${size}`, 'driver-0')
  const outputs = new Map([
    ['predictions', records(size)],
    ['fraud_alerts', records(Math.ceil(size / 10))],
  ])
  const samples: number[] = []
  for (let i = 0; i < 300; i++) {
    const start = performance.now()
    const { durable } = await member.commit(0, i, outputs)
    await durable
    if (i >= 50) samples.push(performance.now() - start)
  }
  return quantiles(samples)
}

async function deleteTopics(broker: string, names: string[]): Promise<void> {
  const connection = new Connection('bench')
  const [host, port] = broker.split(':')
  await connection.connect(host, Number(port))
  await deleteTopicsV6.api.async(
    connection,
    names.map((name) => ({ name })),
    10_000,
  )
  await connection.close()
}

async function bench(server: string): Promise<Record<string, unknown>> {
  const prefix = `fd-bench-${randomUUID().slice(0, 8)}.`
  const brokers = server.slice('kafka://'.length).split(',')
  await using log = await openEventLog(`${server}?prefix=${prefix}`)
  const driver: Awaited<ReturnType<typeof driverRates>>[] = []
  const client: Awaited<ReturnType<typeof clientRates>>[] = []
  for (let round = 0; round < ROUNDS; round++) {
    driver.push(await driverRates(log, `driver-${round}`))
    client.push(await clientRates(log, prefix, `client-${round}`, brokers))
  }
  const commitMs = { 1: await commits(log, 1), 10: await commits(log, 10), 256: await commits(log, 256) }
  await deleteTopics(
    brokers[0],
    (await log.topics()).map(({ name }) => prefix + name),
  )
  return {
    appendPerSecond: median(driver.map(({ append }) => append)),
    readPerSecond: median(driver.map(({ read }) => read)),
    pollPerSecond: median(driver.map(({ poll }) => poll)),
    client: {
      producePerSecond: median(client.map(({ produce }) => produce)),
      consumePerSecond: median(client.map(({ consume }) => consume)),
    },
    commitMs,
  }
}

const server = process.env.FD_TEST_KAFKA_URL
const result =
  server === undefined
    ? { notRun: 'there is no broker: set FD_TEST_KAFKA_URL=kafka://HOST:PORT (fd services up kafka)' }
    : await bench(server)
process.stdout.write(`${JSON.stringify({ bench: 'event-log-kafka', node: process.version, ...result }, null, 2)}\n`)
