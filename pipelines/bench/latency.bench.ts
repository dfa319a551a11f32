/**
 * Latency in an open loop: another process appends transactions at a fixed rate, however fast the scorer is. Latency is
 * the time from the timestamp of the append to the moment when the prediction is durable. Prints JSON.
 */
import { openEventLog } from '../../datasets/open.ts'
import { openOnlineStore } from '../../features/open.ts'
import { openRegistry } from '../../registry/open.ts'
import { latencyHistogram } from '../../serving/metrics/latency.ts'
import { score } from '../../serving/scorer/scorer.ts'
import { wallClock } from '../console/command.ts'
import { startFd } from '../console/fd-process.ts'
import { makeBenchWorld } from './world.ts'

const RATES = [1_000, 10_000]
const SECONDS = 8

await using world = await makeBenchWorld()
const { config } = world
await using log = await openEventLog(config.eventLog)
await using store = await openOnlineStore(config.onlineStore)
await using registry = await openRegistry(config.registry, { now: Date.now, credentials: config.mlflow })

async function measure(rate: number): Promise<Record<string, number>> {
  const latency = latencyHistogram()
  let sending = true
  let scored = 0
  const scoring = score(
    { log, store, registry },
    {
      model: 'card-fraud',
      alias: 'champion',
      ...config.scorer,
      signal: new AbortController().signal,
      now: wallClock,
      endWhenIdle: () => !sending,
      onBatch: (batch) => {
        scored += batch.scored
        for (const timestamp of batch.timestamps) latency.add(batch.done - timestamp)
      },
    },
  )
  const { name, file } = world.dataset
  const stretch = ['--from', '2018-07-25', '--limit', String(rate * SECONDS), '--rate', String(rate)]
  const producer = startFd(config.home, ['produce', '--json', '--dataset', name, '--data', file, ...stretch])
  const { code, stderr } = await producer.ended
  if (code !== 0) throw new Error(`the producer ended with ${code}: ${stderr}`)
  sending = false
  await scoring
  return {
    rate,
    scored,
    p50Ms: latency.quantile(0.5),
    p90Ms: latency.quantile(0.9),
    p99Ms: latency.quantile(0.99),
    p999Ms: latency.quantile(0.999),
  }
}

const results: Record<string, number>[] = []
for (const rate of RATES) results.push(await measure(rate))
const { machine, dataset } = world
const report = { benchmark: 'latency', machine, dataset: dataset.name, seconds: SECONDS, results }
console.log(JSON.stringify(report, null, 2))
