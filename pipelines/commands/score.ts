import { Command } from 'commander'
import type { Tell } from '../../configs/tell.ts'
import { errorMessage } from '../../configs/user-error.ts'
import type { Registry } from '../../registry/registry.ts'
import type { ScoredBatch } from '../../serving/scorer/batch.ts'
import type { ScorerOptions } from '../../serving/scorer/scorer.ts'
import type { GroupTopics } from '../../serving/topics.ts'
import { withNext } from '../console/command-line.ts'
import { action, example, portNumber, stopSignal, wallClock, type Context } from '../console/command.ts'
import { readyInput } from '../console/input-topic.ts'
import { modelName } from '../console/model-name.ts'
import { instant, count, pairs } from '../console/output.ts'
import { openLog, openRegistry, openStore } from '../console/parts.ts'
import { scoreFile, scoresFile, type ScoreOptions } from './batch/score-file.ts'

export function scoreCommand(): Command {
  return example(
    new Command('score')
      .description(
        'score the topic "transactions" with the champion, into "predictions" and "fraud_alerts"; ' +
          'a group that is not the champion\'s writes "fraud_alerts.GROUP" and "transactions.dlq.GROUP".\n\n' +
          'With --file, score the rows of a file instead, each with what stood before it: no log has a part in it',
      )
      .option('--model <name>', 'registered model (default: the only one there is); of a file also NAME/VERSION')
      .option('--alias <alias>', 'which of its versions decides', 'champion')
      .option(
        '--group <group>',
        'consumer group: offsets and state are its own; its scorers share the partitions ' +
          '(default: scorer.group of the configuration; of another alias than champion, its name)',
      )
      .option(
        '--metrics <port>',
        'serve /metrics, for Prometheus, and /healthz on this port ' +
          '(default: metrics.port of the configuration, else not at all)',
        portNumber,
      )
      .option('--until-idle', 'end when everything in the log is scored')
      .option('--file <file>', "CSV or Parquet with the columns of the model's dataset; the label may be missing")
      .option('--history <file>', 'what was before it, in the same form (default: the file begins with nothing)')
      .option('--out <file>', 'its rows with score, alert, threshold and version: .parquet, .csv or .csv.gz')
      .option('--sort', 'score both files in the order of time; the rows keep that of the file'),
    'fd score --model card-fraud --until-idle',
    'fd score --file july.csv --history june.csv --out july-scores.parquet',
  ).action(action(run))
}

/** The totals of a run of the scorer, over all its batches. */
export interface ScoreTotals extends Omit<ScoredBatch, 'timestamps' | 'done' | 'rejections'> {
  /** In which there was something to score: from a batch's first record, or the batch before, to its decisions. */
  seconds: number
  /** Latency of what came while the scorer ran, NaN when nothing did. */
  p50Ms: number
  p99Ms: number
  /** Of what was in the log before the scorer ran: how long it waited. */
  backlog: { scored: number; p50Ms: number; p99Ms: number }
  /** Scored records whose timestamp cannot be that of their append, so that neither figure counts them. */
  undated: number
}

async function run(context: Context, options: ScoreOptions): Promise<void> {
  if (scoresFile(options)) return scoreFile(context, options)
  const { config, output, fd } = context
  const { note } = output
  const [{ score }, { openMeter }] = await Promise.all([
    import('../../serving/scorer/scorer.ts'),
    import('./score-metrics.ts'),
  ])
  await using registry = await openRegistry(config)
  const judge = await judgeOf(registry, options, config.scorer.group, fd)
  await using meter = await openMeter({ ...config.metrics, port: options.metrics ?? config.metrics.port }, note)
  await using log = await openLog(config, both(note, meter.hear('event_log')))
  await readyInput(log, config.scorer)
  await using store = await openStore(config, both(note, meter.hear('online_store')))
  using parts = meter.parts({ log, store, registry })
  const totals = await scoreTotals(wallClock())
  const progress = output.progress('scored')
  await score(
    parts,
    meter.options({
      ...config.scorer,
      ...judge,
      endWhenIdle: () => options.untilIdle ?? false,
      signal: stopSignal(),
      now: wallClock,
      ...changeNotes(note, judge.group),
      onBatch: (batch) => {
        totals.add(batch)
        progress.update(totals.value().scored, `${count(totals.value().alerts)} alerts`)
      },
    }),
  )
  progress.end()
  const value = totals.value()
  const { topics, ...who } = judge
  output.result({ ...value, ...who, alertTopic: topics.alerts, deadLetterTopic: topics.deadLetters }, () =>
    withNext(describe(value, topics), verification(judge, options, fd)),
  )
}

/** What decides, and where its alerts and dead letters go. */
type ScoringJudge = Required<Pick<ScorerOptions, 'model' | 'alias' | 'group' | 'topics'>>

async function judgeOf(
  registry: Registry,
  options: ScoreOptions,
  own: string,
  fd: Context['fd'],
): Promise<ScoringJudge> {
  const [{ groupOf, groupTopics }, { checkLogName }] = await Promise.all([
    import('../../serving/topics.ts'),
    import('../../datasets/log/log-name.ts'),
  ])
  const { alias } = options
  const model = await modelName(registry, options.model, (name) => fd('score', { model: name }))
  const group = groupOf(options, own)
  checkLogName(group)
  return { model, alias, group, topics: groupTopics({ group, alias }, own) }
}

/** The command that proves what was served. */
function verification({ model, alias }: ScoringJudge, { group }: ScoreOptions, fd: Context['fd']): string {
  return fd('features', 'verify', { model, alias: alias === 'champion' ? undefined : alias, group })
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
): Pick<
  ScorerOptions,
  'onAssigned' | 'onStandby' | 'onGap' | 'onRevoked' | 'onStart' | 'onSwap' | 'onThreshold' | 'onRefused'
> {
  return {
    onAssigned: (topic, from) => note(assignedLine(topic, from)),
    onStandby: (topic) => note(standbyLine(topic)),
    onGap: (topic, { from, to }) =>
      note(
        `The history ends at ${instant(from)}, and ${topic} begins at ${instant(to)}: windows lack what lies between.`,
      ),
    onRevoked: (topic, gone, left) => note(revokedLine(topic, gone, left)),
    onStart: ({ name, version, card }, base) => {
      note(`Scoring with ${name} version ${version}, group ${group}, ${historyLine(base?.history?.transactions)}.`)
      const dataset = base?.history?.dataset ?? card.dataset.name
      if (dataset !== card.dataset.name) note(otherDatasetLine(dataset, card.dataset.name))
    },
    onSwap: ({ name, version }) => note(`New champion: ${name} version ${version}.`),
    onThreshold: ({ name, version, threshold }) =>
      note(`New threshold of ${name} version ${version}: ${threshold.value}.`),
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

function otherDatasetLine(history: string, trained: string): string {
  return (
    `The history is of dataset ${history}, and the model was trained on ${trained}: where their transactions are not ` +
    `of the same customers, windows hold foreign ones. To bring in its own: ` +
    `fd features backfill --dataset ${trained} --until DATE --online`
  )
}

function historyLine(transactions: number | undefined): string {
  return transactions === undefined
    ? 'no history (fd features backfill --online brings it)'
    : `on a history of ${count(transactions)} transactions`
}

/**
 * Adds up batches. Latency is measured from a record's append to its prediction on disk. What was appended before
 * `began`, EpochMs, waited for the scorer, and is counted apart.
 */
export async function scoreTotals(began: number): Promise<{ add(batch: ScoredBatch): void; value(): ScoreTotals }> {
  const { latencyHistogram, latencyOf } = await import('../../serving/metrics/latency.ts')
  const [latency, waiting] = [latencyHistogram(), latencyHistogram()]
  const counts = { scored: 0, alerts: 0, rejected: 0, labels: 0, late: 0, truncated: 0, replayed: 0 }
  const totals = { ...counts, early: 0, matched: 0, unmatched: 0 }
  let busyMs = 0
  let last = began
  return {
    add: (batch) => {
      for (const key of Object.keys(totals) as (keyof typeof totals)[]) totals[key] += batch[key]
      if (batch.scored === 0) return
      let oldest = 0
      for (const timestamp of batch.timestamps) {
        const milliseconds = latencyOf(timestamp, batch.done)
        if (milliseconds > oldest) oldest = milliseconds
        if (timestamp < began) waiting.add(milliseconds)
        else latency.add(milliseconds)
      }
      busyMs += Math.max(0, Math.min(batch.done - last, oldest))
      last = Math.max(last, batch.done)
    },
    value: () => ({
      ...totals,
      seconds: busyMs / 1000,
      p50Ms: latency.quantile(0.5),
      p99Ms: latency.quantile(0.99),
      backlog: { scored: waiting.count(), p50Ms: waiting.quantile(0.5), p99Ms: waiting.quantile(0.99) },
      undated: totals.scored - latency.count() - waiting.count(),
    }),
  }
}

function describe(totals: ScoreTotals, { alerts, deadLetters }: GroupTopics): string {
  const { backlog } = totals
  const live = totals.scored - backlog.scored - totals.undated
  return pairs([
    ['scored', totals.scored],
    [`alerts (${alerts})`, totals.alerts],
    ['labels', totals.labels],
    ...(totals.early === 0 ? [] : [entry('labels before their transaction', totals.early)]),
    ...(totals.matched === 0 ? [] : [entry('their transaction has come', totals.matched)]),
    ...(totals.unmatched === 0 ? [] : [entry('labels without a transaction', totals.unmatched)]),
    [`rejected (${deadLetters})`, totals.rejected],
    ['late', totals.late],
    ...(totals.truncated === 0 ? [] : [['truncated histories', totals.truncated] as [string, number]]),
    ['replayed after a restart', totals.replayed],
    ...(totals.seconds > 0 ? [entry('transactions a second', Math.round(totals.scored / totals.seconds))] : []),
    ...(live === 0 ? [] : [entry('latency p50, ms', totals.p50Ms), entry('latency p99, ms', totals.p99Ms)]),
    ...(backlog.scored === 0
      ? []
      : [
          entry('scored from the backlog', backlog.scored),
          entry('its waiting time p50, s', backlog.p50Ms / 1000),
          entry('its waiting time p99, s', backlog.p99Ms / 1000),
        ]),
    ...(totals.undated === 0 ? [] : [entry('scored with a timestamp that is none', totals.undated)]),
  ])
}

function entry(name: string, value: number): [string, number] {
  return [name, value]
}
