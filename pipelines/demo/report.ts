import type { EventLog } from '../../datasets/log/event-log.ts'
import type { Dataset } from '../../datasets/table/dataset.ts'
import type { ParityReport } from '../../features/parity/report.ts'
import type { ScoreTotals } from '../commands/score.ts'
import { count, figure, pairs } from '../console/output.ts'

/** How the alerts of the live stream compare with what turned out to be fraud. */
export interface AlertTruth {
  alerts: number
  caught: number
  frauds: number
  transactions: number
  precision: number
  recall: number
}

export interface DemoResult {
  seconds: number
  history: { transactions: number; keys: number; features: number }
  metrics: Record<string, number>
  live: { backlog: ScoreTotals; paced: ScoreTotals }
  parity: ParityReport
  alerts: AlertTruth
}

/**
 * Compares the alerts in their topic with the labels of the dataset, known in hindsight.
 *
 * @param from EpochMs of the first transaction that counts.
 */
export async function alertsAgainstTruth(log: EventLog, dataset: Dataset, from: number): Promise<AlertTruth> {
  const alerted = await alertedTransactions(log)
  const truth = { alerts: alerted.size, caught: 0, frauds: 0, transactions: 0 }
  for await (const batch of dataset.batches()) {
    for (let row = 0; row < batch.size; row++) {
      if (batch.time[row] < from) continue
      truth.transactions++
      if (batch.label[row] !== 1) continue
      truth.frauds++
      if (alerted.has(batch.ids[row])) truth.caught++
    }
  }
  return { ...truth, precision: truth.caught / truth.alerts, recall: truth.caught / truth.frauds }
}

async function alertedTransactions(log: EventLog): Promise<Set<number | string>> {
  const { FRAUD_ALERTS } = await import('../../serving/topics.ts')
  const alerted = new Set<number | string>()
  for await (const batch of log.read(FRAUD_ALERTS, 0)) {
    for (let i = 0; i < batch.size; i++) {
      const value = batch.bytes.toString('utf8', batch.valueStart[i], batch.valueEnd[i])
      alerted.add((JSON.parse(value) as { transaction_id: number | string }).transaction_id)
    }
  }
  return alerted
}

/** What the demo prints at its end: a summary, and what to look at next. */
export function closing(result: DemoResult, home: string): string {
  const at = `FD_HOME=${home}`
  return [
    '',
    pairs(summary(result)),
    '',
    'Look around in what the demo left:',
    `  ${at} npx fd topics read fraud_alerts --limit 3`,
    `  ${at} npx fd models describe card-fraud@champion`,
    `  ${at} npx fd features get --service card-fraud --entity customer=42`,
    `  ${at} npx fd models history card-fraud`,
    'Then with your own data: npx fd train --help',
  ].join('\n')
}

function summary({ seconds, history, metrics, live, parity, alerts }: DemoResult): [string, string][] {
  const { backlog, paced } = live
  const rate = Math.round(backlog.scored / backlog.seconds)
  return [
    [
      'history',
      `${count(history.transactions)} transactions, ${history.features} features, ${count(history.keys)} keys online`,
    ],
    [
      'model',
      `average precision ${figure(metrics['average_precision'])}, ` +
        `ROC AUC ${figure(metrics['roc_auc'])} on the holdout`,
    ],
    ['backlog', `${count(backlog.scored)} transactions at ${count(rate)}/s, durable`],
    [
      'live stream',
      `${count(paced.scored)} transactions, latency p50 ${figure(paced.p50Ms)} ms, ` +
        `p99 ${figure(paced.p99Ms)} ms from append to decision on disk`,
    ],
    [
      'alerts',
      `${count(alerts.alerts)} raised, ${count(alerts.caught)} of ${count(alerts.frauds)} frauds caught: ` +
        `precision ${percent(alerts.precision)}, recall ${percent(alerts.recall)}`,
    ],
    [
      'parity',
      `${count(parity.values)} served values recomputed in batch: ${count(parity.differences)} differ, ` +
        `${count(parity.missing)} transactions without and ${count(parity.duplicates)} with a second prediction`,
    ],
    ['took', `${seconds.toFixed(1)} s`],
  ]
}

function percent(share: number): string {
  return Number.isFinite(share) ? `${(share * 100).toFixed(1)} %` : 'n/a'
}
