/**
 * Sends a soak's stream as a process of its own, so that it can be killed. Started again, it goes on after the last
 * record that came into the log. Its only argument is a `ProducerOrder` as JSON.
 */
import { setTimeout as wait } from 'node:timers/promises'
import type { EventLog, NewRecord } from '../../datasets/log/event-log.ts'
import { openEventLog } from '../../datasets/open.ts'
import type { EpochMs } from '../../datasets/table/transaction.ts'
import { DEAD_LETTERS, PREDICTIONS, TRANSACTIONS } from '../../serving/topics.ts'
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

async function produce(order: ProducerOrder): Promise<void> {
  await using log = await openEventLog(order.log, (line) => void process.stderr.write(`${line}\n`))
  const stream = soakStream(order)
  let n = await nextNumber(log)
  process.stderr.write(`sending from ${n}\n`)
  let ahead = order.lead
  while (n < order.events) {
    while (ahead >= order.lead) {
      ahead = n - (await answered(log))
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
  const { offsets } = await log.topic(TRANSACTIONS)
  const from = Math.max(0, offsets[0].end - 1)
  let next = 0
  for await (const { size, timestamps } of log.read(TRANSACTIONS, 0, { from })) {
    if (size > 0) next = timestamps[size - 1] - FIRST_TIMESTAMP + 1
  }
  return next
}

/** About how many records have been scored or rejected. Labels, one in a hundred, give no record to count. */
async function answered(log: EventLog): Promise<number> {
  const ends = await Promise.all([PREDICTIONS, DEAD_LETTERS].map((topic) => endOf(log, topic)))
  return (ends[0] + ends[1]) / 0.985
}

async function endOf(log: EventLog, topic: string): Promise<number> {
  return (await log.topic(topic)).offsets[0].end
}

const order: unknown = JSON.parse(process.argv[2])
await produce(order as ProducerOrder)
