/**
 * Sends a soak's stream as a process of its own, so that it can be killed. Started again, it goes on after the last
 * record that came into the log. Its only argument is a `ProducerOrder` as JSON.
 */
import { setTimeout as wait } from 'node:timers/promises'
import type { EventLog, NewRecord } from '../../datasets/log/event-log.ts'
import { openEventLog } from '../../datasets/open.ts'
import type { EpochMs } from '../../datasets/table/transaction.ts'
import type { Prediction } from '../../serving/prediction.ts'
import { PREDICTIONS, TRANSACTIONS } from '../../serving/topics.ts'
import { FIRST_TIMESTAMP, soakStream } from './soak-stream.ts'

/** What a producer is to do. */
export interface ProducerOrder {
  log: string
  seed: number
  events: number
  start: EpochMs
  /** It waits while there are so many records that nobody has scored. */
  lead: number
}

const BATCH = 512
const LOOK_MS = 20
const LOOK_BACK = 32

async function produce(order: ProducerOrder): Promise<void> {
  await using log = await openEventLog(order.log, (line) => void process.stderr.write(`${line}\n`))
  const stream = soakStream(order)
  let n = await nextNumber(log)
  process.stderr.write(`sending from ${n}\n`)
  let ahead = order.lead
  while (n < order.events) {
    while (ahead >= order.lead) {
      ahead = await unanswered(log)
      if (ahead >= order.lead) await wait(LOOK_MS)
    }
    const records: NewRecord[] = []
    for (const end = Math.min(order.events, n + BATCH); n < end; n++) {
      const { key, value } = stream.record(n)
      records.push({ key, value, timestamp: FIRST_TIMESTAMP + n, partition: 0 })
    }
    await log.append(TRANSACTIONS, records)
    ahead += records.length
  }
}

/** The number after the last record in the log. */
async function nextNumber(log: EventLog): Promise<number> {
  const last = await lastRecord(log, TRANSACTIONS)
  return last === undefined ? 0 : last.timestamp - FIRST_TIMESTAMP + 1
}

/** How many records lie after the last one that has a prediction. */
async function unanswered(log: EventLog): Promise<number> {
  const { offsets } = await log.topic(TRANSACTIONS)
  const last = await lastRecord(log, PREDICTIONS)
  if (last === undefined) return offsets[0].end
  const { input } = JSON.parse(last.value) as Pick<Prediction, 'input'>
  return offsets[0].end - input.offset - 1
}

interface LastRecord {
  timestamp: number
  value: string
}

/**
 * The last record of a topic. Looks back ever further: on Kafka the last offsets may be of marks, or of a transaction
 * that was given up when its scorer was killed.
 */
async function lastRecord(log: EventLog, topic: string): Promise<LastRecord | undefined> {
  const [{ start, end }] = (await log.topic(topic)).offsets
  for (let back = LOOK_BACK; ; back *= 8) {
    const from = Math.max(start, end - back)
    const last = await lastSince(log, topic, from)
    if (last !== undefined || from === start) return last
  }
}

async function lastSince(log: EventLog, topic: string, from: number): Promise<LastRecord | undefined> {
  let last: LastRecord | undefined
  for await (const batch of log.read(topic, 0, { from })) {
    const i = batch.size - 1
    if (i < 0) continue
    const value = Buffer.from(batch.bytes.subarray(batch.valueStart[i], batch.valueEnd[i])).toString('utf8')
    last = { timestamp: batch.timestamps[i], value }
  }
  return last
}

const order: unknown = JSON.parse(process.argv[2])
await produce(order as ProducerOrder)
