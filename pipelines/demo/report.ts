import type { Dataset } from '../../datasets/table/dataset.ts'
import type { ParityReport } from '../../features/parity/parity.ts'
import type { ScoreTotals } from '../commands/score.ts'
import type { Context } from '../console/command.ts'
import { count, figure, pairs } from '../console/output.ts'
import { openLog } from '../console/parts.ts'

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

/** Reads the alerts from their topic and the truth, in hindsight, from the dataset. */
export async function alertsAgainstTruth(context: Context, dataset: Dataset, from: number): Promise<AlertTruth> {
  const { FRAUD_ALERTS } = await import('../../serving/topics.ts')
  await using log = await openLog(context)
  const alerted = new Set<number | string>()
  for await (const batch of log.read(FRAUD_ALERTS, 0)) {
    for (let i = 0; i < batch.size; i++)
      alerted.add(
        (
          JSON.parse(batch.bytes.toString('utf8', batch.valueStart[i], batch.valueEnd[i])) as {
            transaction_id: number | string
          }
        ).transaction_id,
      )
  }
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

export function closing({ seconds, history, metrics, live, parity, alerts }: DemoResult, home: string): string {
  const percent = (share: number): string => (Number.isFinite(share) ? `${(share * 100).toFixed(1)} %` : 'n/a')
  const summary = pairs([
    [
      'history',
      `${count(history.transactions)} transactions, ${history.features} features, ${count(history.keys)} keys online`,
    ],
    [
      'model',
      `average precision ${figure(metrics['average_precision'])}, ROC AUC ${figure(metrics['roc_auc'])} on the holdout`,
    ],
    [
      'backlog',
      `${count(live.backlog.scored)} transactions at ${count(Math.round(live.backlog.scored / live.backlog.seconds))}/s, durable`,
    ],
    [
      'live stream',
      `${count(live.paced.scored)} transactions, latency p50 ${figure(live.paced.p50Ms)} ms, p99 ${figure(live.paced.p99Ms)} ms from append to decision on disk`,
    ],
    [
      'alerts',
      `${count(alerts.alerts)} raised, ${count(alerts.caught)} of ${count(alerts.frauds)} frauds caught: precision ${percent(alerts.precision)}, recall ${percent(alerts.recall)}`,
    ],
    [
      'parity',
      `${count(parity.values)} served values recomputed in batch: ${count(parity.differences)} differ, ${count(parity.missing)} transactions without and ${count(parity.duplicates)} with a second prediction`,
    ],
    ['took', `${seconds.toFixed(1)} s`],
  ])
  const at = `FD_HOME=${home}`
  return [
    '',
    summary,
    '',
    'Look around in what the demo left:',
    `  ${at} npx fd topics read fraud_alerts --limit 3`,
    `  ${at} npx fd models describe card-fraud@champion`,
    `  ${at} npx fd features get --service card-fraud --entity customer=42`,
    `  ${at} npx fd models history card-fraud`,
    'Then with your own data: npx fd train --help',
  ].join('\n')
}
