/**
 * Throughput on real servers: a backlog of transactions from Kafka to Kafka through one `fd score`, its state in Redis.
 *
 * Aim: half the rate at which @platformatic/kafka's own Producer, alone, sends to the same broker what the scorer
 * writes, that is, its predictions, in batches as large as the scorer's, without transactions.
 *
 * Beside them run the same producer with the transactions that the scorer reads, which are smaller, and the same
 * backlog on the embedded log and store, which shows what the servers cost. The runs are interleaved. Prints JSON.
 */
import { ProduceAcks, Producer } from '@platformatic/kafka'
import type { Config } from '../../configs/config.ts'
import type { EventLog } from '../../datasets/log/event-log.ts'
import { openEventLog } from '../../datasets/open.ts'
import { PREDICTIONS, TRANSACTIONS } from '../../serving/topics.ts'
import { replay } from '../commands/produce.ts'
import type { ScoreTotals } from '../commands/score.ts'
import { runFd } from '../console/fd-process.ts'
import { ownServices } from '../testing/own-services.ts'
import { makeBenchWorld, median } from './world.ts'

const TRANSACTIONS_SENT = 200_000
const RUNS = 3
const PREFIX = 'bench.'

interface Message {
  key: Buffer
  value: Buffer
}

/** All messages of a topic, in batches as large as the scorer's. */
async function messagesOf(log: EventLog, topic: string, maxRecords: number): Promise<Message[][]> {
  const batches: Message[][] = []
  for await (const { size, bytes, keyStart, valueStart, valueEnd } of log.read(topic, 0, { maxRecords })) {
    batches.push(
      Array.from({ length: size }, (_, i) => ({
        key: bytes.subarray(keyStart[i], valueStart[i]),
        value: bytes.subarray(valueStart[i], valueEnd[i]),
      })),
    )
  }
  return batches
}

/**
 * Messages a second that the broker acknowledges to the client's own producer, which sends one batch after the other.
 */
async function produced(broker: string, topic: string, batches: Message[][]): Promise<number> {
  const producer = new Producer({
    clientId: 'bench',
    bootstrapBrokers: [broker],
    idempotent: true,
    acks: ProduceAcks.ALL,
  })
  const started = performance.now()
  for (const batch of batches)
    await producer.send({ messages: batch.map(({ key, value }) => ({ topic, partition: 0, key, value })) })
  const seconds = (performance.now() - started) / 1000
  await producer.close()
  return batches.reduce((sum, { length }) => sum + length, 0) / seconds
}

/** Transactions a second of a scorer in a process of its own, from its first batch to its last. */
async function scored(config: Config, group: string): Promise<number> {
  const environment = { FD_EVENT_LOG: config.eventLog, FD_ONLINE_STORE: config.onlineStore }
  const score = ['score', '--group', group, '--until-idle', '--json']
  const { code, stdout, stderr } = await runFd(config.home, score, environment)
  if (code !== 0) throw new Error(`fd score ended with ${code}: ${stderr}`)
  const totals = JSON.parse(stdout) as ScoreTotals
  if (totals.scored !== TRANSACTIONS_SENT) throw new Error(`${totals.scored} were scored, ${TRANSACTIONS_SENT} sent`)
  return totals.scored / totals.seconds
}

await using servers = await ownServices('kafka', 'redis')
await servers.start()
const { url, environment } = servers.get('kafka')
await using world = await makeBenchWorld({ eventLog: `${url}?prefix=${PREFIX}`, onlineStore: servers.get('redis').url })
const { config } = world
const embedded = { ...config, eventLog: `lmdb:${config.home}/log`, onlineStore: `lmdb:${config.home}/online` }
await using log = await openEventLog(config.eventLog)
await using embeddedLog = await openEventLog(embedded.eventLog)
for (const each of [log, embeddedLog])
  await replay(each, world.dataset, {
    from: Date.UTC(2018, 6, 25),
    limit: TRANSACTIONS_SENT,
    signal: new AbortController().signal,
  })
await scored(config, 'warm-up')
const peers = {
  predictions: await messagesOf(log, PREDICTIONS, config.scorer.maxBatch),
  transactions: await messagesOf(log, TRANSACTIONS, config.scorer.maxBatch),
}
const rates: Record<'scorer' | 'embedded' | keyof typeof peers, number[]> = {
  scorer: [],
  predictions: [],
  transactions: [],
  embedded: [],
}
for (let run = 0; run < RUNS; run++) {
  rates.scorer.push(await scored(config, `run-${run}`))
  for (const name of ['predictions', 'transactions'] as const) {
    await log.createTopic(`${name}-${run}`)
    rates[name].push(await produced(environment['KAFKA_BROKERS'], `${PREFIX}${name}-${run}`, peers[name]))
  }
  rates.embedded.push(await scored(embedded, `run-${run}`))
}
const shown = (name: keyof typeof rates): { perSecond: number; runs: number[] } => ({
  perSecond: Math.round(median(rates[name])),
  runs: rates[name].map(Math.round),
})
/** The scorer's rate over another's. */
const ratioTo = (name: keyof typeof rates): number => Number((median(rates.scorer) / median(rates[name])).toFixed(3))
const producer = (name: keyof typeof peers): object => {
  const messages = peers[name].flat()
  const bytes = messages.reduce((sum, { key, value }) => sum + key.length + value.length, 0)
  return { bytesOfAMessage: Math.round(bytes / messages.length), ...shown(name), ratio: ratioTo(name) }
}
const report = {
  benchmark: 'services-score',
  machine: world.machine,
  dataset: world.dataset.name,
  transactions: TRANSACTIONS_SENT,
  maxBatch: config.scorer.maxBatch,
  scorer: shown('scorer'),
  producerOfPredictions: { ...producer('predictions'), aimOfTheRatio: 0.5 },
  producerOfTransactions: producer('transactions'),
  embeddedScorer: { ...shown('embedded'), ratio: ratioTo('embedded') },
}
console.log(JSON.stringify(report, null, 2))
