import { Command } from 'commander'
import type { Tell } from '../../configs/tell.ts'
import { errorMessage } from '../../configs/user-error.ts'
import type { ScoredBatch } from '../../serving/scorer/batch.ts'
import type { ScorerOptions } from '../../serving/scorer/scorer.ts'
import { action, example, portNumber, stopSignal, wallClock, type Context } from '../console/command.ts'
import { readyInput } from '../console/input-topic.ts'
import { instant, count, pairs } from '../console/output.ts'
import { openLog, openRegistry, openStore } from '../console/parts.ts'

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
        'serve /metrics, for Prometheus, and /healthz on this port ' +
          '(default: metrics.port of the configuration, else not at all)',
        portNumber,
      )
      .option('--until-idle', 'end when everything in the log is scored'),
    'fd score --model card-fraud --until-idle',
  ).action(action(run))
}

/** The totals of a run of the scorer, over all its batches. */
export interface ScoreTotals extends Omit<ScoredBatch, 'timestamps' | 'done' | 'rejections'> {
  /** From the first to the last batch that had something to score. */
  seconds: number
  p50Ms: number
  p99Ms: number
}

async function run({ config, output }: Context, options: ScoreOptions): Promise<void> {
  const { note } = output
  const [{ score }, { openMeter }] = await Promise.all([
    import('../../serving/scorer/scorer.ts'),
    import('./score-metrics.ts'),
  ])
  await using registry = await openRegistry(config)
  await using meter = await openMeter({ ...config.metrics, port: options.metrics ?? config.metrics.port }, note)
  await using log = await openLog(config, both(note, meter.hear('event_log')))
  await readyInput(log, config.scorer)
  await using store = await openStore(config, both(note, meter.hear('online_store')))
  using parts = meter.parts({ log, store, registry })
  const group = options.group ?? config.scorer.group
  const totals = await scoreTotals()
  const progress = output.progress('scored')
  await score(
    parts,
    meter.options({
      ...config.scorer,
      model: options.model,
      alias: options.alias,
      group,
      endWhenIdle: () => options.untilIdle ?? false,
      signal: stopSignal(),
      now: wallClock,
      ...changeNotes(note, group),
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

function both(note: Tell, hear: Tell): Tell {
  return (line, outage) => {
    note(line)
    hear(line, outage)
  }
}

/** Notes each change of the champion, and of the partitions that this scorer has. */
function changeNotes(
  note: (line: string) => void,
  group: string,
): Pick<ScorerOptions, 'onAssigned' | 'onStandby' | 'onGap' | 'onRevoked' | 'onStart' | 'onSwap' | 'onRefused'> {
  return {
    onAssigned: (topic, from) => note(assignedLine(topic, from)),
    onStandby: (topic) => note(standbyLine(topic)),
    onGap: (topic, { from, to }) =>
      note(
        `The history ends at ${instant(from)}, and ${topic} begins at ${instant(to)}: windows lack what lies between.`,
      ),
    onRevoked: (topic, gone, left) => note(revokedLine(topic, gone, left)),
    onStart: ({ name, version }, base) =>
      note(`Scoring with ${name} version ${version}, group ${group}, ${historyLine(base?.history?.transactions)}.`),
    onSwap: ({ name, version }) => note(`New champion: ${name} version ${version}.`),
    onRefused: (error) => note(`The new champion was refused, the old one goes on: ${errorMessage(error)}`),
  }
}

function assignedLine(topic: string, from: ReadonlyMap<number, number>): string {
  const offsets = `${from.size === 1 ? 'offset' : 'offsets'} ${[...from.values()].join(', ')}`
  return `${partitionsOf(topic, [...from.keys()])}: folding from ${offsets}.`
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

/** Adds up batches. Latency is measured from a record's append to its prediction on disk. */
export async function scoreTotals(): Promise<{ add(batch: ScoredBatch): void; value(): ScoreTotals }> {
  const { latencyHistogram } = await import('../../serving/metrics/latency.ts')
  const latency = latencyHistogram()
  const totals = { scored: 0, alerts: 0, rejected: 0, labels: 0, unmatched: 0, late: 0, truncated: 0, replayed: 0 }
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
    ...(totals.unmatched === 0 ? [] : [['labels without a transaction', totals.unmatched] as [string, number]]),
    ['rejected (transactions.dlq)', totals.rejected],
    ['late', totals.late],
    ...(totals.truncated === 0 ? [] : [['truncated histories', totals.truncated] as [string, number]]),
    ['replayed after a restart', totals.replayed],
    ['transactions a second', totals.seconds > 0 ? Math.round(totals.scored / totals.seconds) : Number.NaN],
    ['latency p50, ms', totals.p50Ms],
    ['latency p99, ms', totals.p99Ms],
  ])
}
