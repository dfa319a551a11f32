/**
 * A scorer that reports its heap: `node --expose-gc heap-child.ts FOLDER COUNT`. It scores `COUNT` hostile records from
 * a log in `FOLDER`, then as many other ones, and others once more. After each part it prints the bytes that are left
 * when all garbage is gone: those of objects, and those of buffers.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { openEventLog } from '../../datasets/open.ts'
import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import { cardFraud } from '../../features/definition/card-fraud.ts'
import { openOnlineStore } from '../../features/open.ts'
import { runChain } from '../scorer/chain.ts'
import { judgeBatch } from '../scorer/scorer.ts'
import { TRANSACTIONS } from '../topics.ts'
import { hostileRecords } from './hostile-records.ts'
import { GROUP, JUDGE, standIn } from './stand-in.ts'

const schema: DatasetSchema = {
  id: { column: 'TRANSACTION_ID', type: 'integer' },
  time: { column: 'TX_DATETIME', unit: 'timestamp' },
  amount: { column: 'TX_AMOUNT', minorUnits: 2 },
  entities: [
    { name: 'customer', column: 'CUSTOMER_ID', type: 'integer' },
    { name: 'terminal', column: 'TERMINAL_ID', type: 'integer' },
  ],
  numeric: [],
  categorical: [],
}

const [folder, text] = process.argv.slice(2)
const count = Number(text)
const TIME = Date.UTC(2018, 5, 1)
/** Records in one append: they do not all stand in memory while they are scored. */
const PIECE = 500

await using log = await openEventLog(`lmdb:${folder}/log`)
await using store = await openOnlineStore(`lmdb:${folder}/features`)
await log.createTopic(TRANSACTIONS, { partitions: 1 })
const stop = new AbortController()
/** Records whose outputs are durable. */
const progress = { handled: 0 }

const scoring = runChain({
  log,
  store,
  group: GROUP,
  service: cardFraud,
  schema,
  partitions: 1,
  maxBatch: 1_000,
  checkpointEveryMs: 100,
  signal: stop.signal,
  now: () => Date.now(),
  endWhenIdle: () => false,
  finish: (folded) =>
    judgeBatch(folded, { service: cardFraud, schema }, JUDGE, {
      score: async ({ numbers, rows }) => standIn(numbers, rows),
    }),
  onBatch: ({ scored, rejected, labels }) => void (progress.handled += scored + rejected + labels),
})
// A scorer that ends before it is told to is the failure to report, not the silence that follows.
scoring.catch((error: unknown) => {
  throw error
})

for (const part of [1, 2, 3]) {
  for (let done = 0; done < count; done += PIECE)
    await log.append(TRANSACTIONS, hostileRecords(part * 10_000 + done, PIECE, TIME))
  while (progress.handled < part * count) await wait(20)
  process.stdout.write(`${heap()}\n`)
}
stop.abort()
await scoring

/** Bytes of objects, and of buffers. What one collection frees may free more at the next. */
function heap(): string {
  for (let n = 0; n < 4; n++) globalThis.gc?.()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return `${heapUsed} ${arrayBuffers}`
}
