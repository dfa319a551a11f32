import { Command } from 'commander'
import { errorMessage } from '../configs/user-error.ts'
import type { ScoredBatch } from '../serving/batch.ts'
import { action, example, stopSignal, wallClock, type Context } from './command.ts'
import { count, pairs } from './output.ts'

interface ScoreOptions {
  model: string
  alias: string
  group?: string
  untilIdle?: boolean
  standby?: boolean
}

export function scoreCommand(): Command {
  return example(
    new Command('score')
      .description('score the topic "transactions" with the champion, into "predictions" and "fraud_alerts"')
      .option('--model <name>', 'registered model', 'card-fraud')
      .option('--alias <alias>', 'which of its versions decides', 'champion')
      .option('--group <group>', 'consumer group: offsets and state are its own')
      .option('--standby', 'wait while another scorer of the group lives, and take over when it is gone')
      .option('--until-idle', 'end when everything in the log is scored'),
    'fd score --model card-fraud --until-idle',
  ).action(action(run))
}

/** What a run of the scorer came to: the sums of its batches. */
export interface ScoreTotals extends Omit<ScoredBatch, 'timestamps' | 'done'> {
  /** From the first to the last batch that had something to score. */
  seconds: number
  p50Ms: number
  p99Ms: number
}

async function run({ config, output }: Context, options: ScoreOptions): Promise<void> {
  const [{ openEventLog }, { openOnlineStore }, { openRegistry }, { score }] = await Promise.all([
    import('../datasets/event-log.ts'), import('../features/online-store.ts'), import('../registry/registry.ts'), import('../serving/scorer.ts'),
  ])
  await using registry = await openRegistry(config.registry, { now: Date.now, credentials: config.mlflow })
  await using log = await openEventLog(config.eventLog, output.note)
  await using store = await openOnlineStore(config.onlineStore, output.note)
  const group = options.group ?? config.scorer.group
  const totals = await scoreTotals()
  const progress = output.progress('scored')
  await score(
    { log, store, registry },
    {
      model: options.model,
      alias: options.alias,
      group,
      maxBatch: config.scorer.maxBatch,
      checkpointEveryMs: config.scorer.checkpointEveryMs,
      championEveryMs: config.scorer.championEveryMs,
      endWhenIdle: () => options.untilIdle ?? false,
      standby: options.standby ?? false,
      onStandby: (reason) => output.note(`Standing by. ${reason}`),
      signal: stopSignal(),
      now: wallClock,
      onStart: (champion, state) => output.note(`Scoring with ${champion.name} version ${champion.version}, group ${group}, ${historyLine(state.base.history?.transactions)}.`),
      onSwap: (champion) => output.note(`New champion: ${champion.name} version ${champion.version}.`),
      onRefused: (error) => output.note(`The new champion was refused, the old one goes on: ${errorMessage(error)}`),
      onBatch: (batch) => {
        totals.add(batch)
        progress.update(totals.value().scored, `${count(totals.value().alerts)} alerts`)
      },
    },
  )
  progress.end()
  const value = totals.value()
  output.result(value, () => describe(value))
}

function historyLine(transactions: number | undefined): string {
  return transactions === undefined ? 'no history (fd features backfill --online brings it)' : `on a history of ${count(transactions)} transactions`
}

/** Adds up batches; latency is from a record's append to its prediction on disk. */
export async function scoreTotals(): Promise<{ add(batch: ScoredBatch): void; value(): ScoreTotals }> {
  const { latencyHistogram } = await import('../serving/latency.ts')
  const latency = latencyHistogram()
  const totals = { scored: 0, alerts: 0, rejected: 0, labels: 0, late: 0, replayed: 0 }
  let first = 0
  let last = 0
  return {
    add: (batch) => {
      for (const key of Object.keys(totals) as (keyof typeof totals)[]) totals[key] += batch[key]
      if (batch.scored === 0) return
      if (first === 0) first = performance.now()
      last = performance.now()
      for (const timestamp of batch.timestamps) latency.add(batch.done - timestamp)
    },
    value: () => ({ ...totals, seconds: (last - first) / 1000, p50Ms: latency.quantile(0.5), p99Ms: latency.quantile(0.99) }),
  }
}

function describe(totals: ScoreTotals): string {
  return pairs([
    ['scored', totals.scored],
    ['alerts', totals.alerts],
    ['labels', totals.labels],
    ['rejected (transactions.dlq)', totals.rejected],
    ['late', totals.late],
    ['replayed after a restart', totals.replayed],
    ['transactions a second', totals.seconds > 0 ? Math.round(totals.scored / totals.seconds) : Number.NaN],
    ['latency p50, ms', totals.p50Ms],
    ['latency p99, ms', totals.p99Ms],
  ])
}
