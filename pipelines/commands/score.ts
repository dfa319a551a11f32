import { Command } from 'commander'
import { errorMessage } from '../../configs/user-error.ts'
import type { ScoredBatch } from '../../serving/scorer/batch.ts'
import { action, example, portNumber, stopSignal, wallClock, type Context } from '../console/command.ts'
import { readyInput } from '../console/input-topic.ts'
import { count, pairs } from '../console/output.ts'
import { openLog, openStore } from '../console/parts.ts'

interface ScoreOptions {
  model: string
  alias: string
  group?: string
  untilIdle?: boolean
  metrics?: number
}

export function scoreCommand(): Command {
  return example(
    new Command('score')
      .description('score the topic "transactions" with the champion, into "predictions" and "fraud_alerts"')
      .option('--model <name>', 'registered model', 'card-fraud')
      .option('--alias <alias>', 'which of its versions decides', 'champion')
      .option('--group <group>', 'consumer group: offsets and state are its own; its scorers share the partitions')
      .option(
        '--metrics <port>',
        'serve /metrics, for Prometheus, and /healthz on this port (default: metrics.port of the configuration, else not at all)',
        portNumber,
      )
      .option('--until-idle', 'end when everything in the log is scored'),
    'fd score --model card-fraud --until-idle',
  ).action(action(run))
}

/** What a run of the scorer came to: the sums of its batches. */
export interface ScoreTotals extends Omit<ScoredBatch, 'timestamps' | 'done' | 'rejections'> {
  /** From the first to the last batch that had something to score. */
  seconds: number
  p50Ms: number
  p99Ms: number
}

async function run(context: Context, options: ScoreOptions): Promise<void> {
  const { config, output } = context
  const [{ openRegistry }, { score }, { openMeter }] = await Promise.all([
    import('../../registry/open.ts'),
    import('../../serving/scorer/scorer.ts'),
    import('./score-metrics.ts'),
  ])
  await using registry = await openRegistry(config.registry, { now: Date.now, credentials: config.mlflow })
  await using meter = await openMeter(context, options.metrics)
  await using log = await openLog(context, meter.hear('event_log'))
  await readyInput(log, config)
  await using store = await openStore(context, meter.hear('online_store'))
  using parts = meter.parts({ log, store, registry })
  const group = options.group ?? config.scorer.group
  const totals = await scoreTotals()
  const progress = output.progress('scored')
  await score(
    parts,
    meter.options({
      model: options.model,
      alias: options.alias,
      group,
      partitions: config.scorer.partitions,
      maxBatch: config.scorer.maxBatch,
      checkpointEveryMs: config.scorer.checkpointEveryMs,
      championEveryMs: config.scorer.championEveryMs,
      endWhenIdle: () => options.untilIdle ?? false,
      signal: stopSignal(),
      now: wallClock,
      onAssigned: (topic, from) => output.note(assignedLine(topic, from)),
      onStandby: (topic) => output.note(standbyLine(topic)),
      onRevoked: (topic, gone, left) => output.note(revokedLine(topic, gone, left)),
      onStart: (champion, base) =>
        output.note(
          `Scoring with ${champion.name} version ${champion.version}, group ${group}, ${historyLine(base?.history?.transactions)}.`,
        ),
      onSwap: (champion) => output.note(`New champion: ${champion.name} version ${champion.version}.`),
      onRefused: (error) => output.note(`The new champion was refused, the old one goes on: ${errorMessage(error)}`),
      onBatch: (batch) => {
        totals.add(batch)
        progress.update(totals.value().scored, `${count(totals.value().alerts)} alerts`)
      },
    }),
  )
  progress.end()
  const value = totals.value()
  output.result(value, () => describe(value))
}

function assignedLine(topic: string, from: ReadonlyMap<number, number>): string {
  return `${partitionsOf(topic, [...from.keys()])}: folding from ${from.size === 1 ? 'offset' : 'offsets'} ${[...from.values()].join(', ')}.`
}

function revokedLine(topic: string, gone: readonly number[], left: number): string {
  return `${partitionsOf(topic, gone)}: gone to another scorer.${left === 0 ? `\n${standbyLine(topic)}` : ''}`
}

function standbyLine(topic: string): string {
  return `Standing by: other scorers have all partitions of ${topic}.`
}

function partitionsOf(topic: string, partitions: readonly number[]): string {
  return `${partitions.length === 1 ? 'Partition' : 'Partitions'} ${partitions.join(', ')} of ${topic}`
}

function historyLine(transactions: number | undefined): string {
  return transactions === undefined
    ? 'no history (fd features backfill --online brings it)'
    : `on a history of ${count(transactions)} transactions`
}

/** Adds up batches; latency is from a record's append to its prediction on disk. */
export async function scoreTotals(): Promise<{ add(batch: ScoredBatch): void; value(): ScoreTotals }> {
  const { latencyHistogram } = await import('../../serving/metrics/latency.ts')
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
    value: () => ({
      ...totals,
      seconds: (last - first) / 1000,
      p50Ms: latency.quantile(0.5),
      p99Ms: latency.quantile(0.99),
    }),
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
