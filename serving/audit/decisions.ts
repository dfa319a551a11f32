import type { EventLog } from '../../datasets/log/event-log.ts'
import { readPredictions } from '../../features/parity/served.ts'
import type { Registry } from '../../registry/registry.ts'
import { decide, type Prediction } from '../prediction.ts'
import { PREDICTIONS } from '../topics.ts'
import { openJudges, type FormerJudge } from './former-judge.ts'

/** Something in a prediction that is not what its version makes of it. */
export interface DecisionDifference {
  /** Place of the transaction in the topic `transactions`. */
  partition: number
  offset: number
  transactionId: number | string
  what: 'decision' | 'threshold' | 'score'
  served: string
  /** What it must be. */
  due: string
}

export interface DecisionReport {
  /** Predictions whose decision was made again. */
  decisions: number
  /** Predictions whose score was computed again. */
  scores: number
  differences: number
  /** The first 20 of them. */
  first: DecisionDifference[]
  /** Predictions that were not checked, and why. */
  uncovered: { predictions: number; reason: string }[]
}

export interface DecisionRequest {
  log: EventLog
  registry: Registry
  /** Scorer group that made the predictions. */
  group: string
  /** Input offsets to check in every partition, `from` included, `to` excluded. Default: all. */
  from?: number
  to?: number
  /** Compute the scores again, too, by the graph of the version that each prediction names. */
  scores?: boolean
  /** Called after each batch with the number of decisions made again so far. */
  report?: (decisions: number) => void
}

const SHOWN = 20

/**
 * Makes the decisions of a group again. The threshold of a prediction must be the one that the named entry of the
 * model's history set for its version, or that of its card; the decision must follow from score and threshold. With
 * `scores`, the features of the prediction must give its score, bit for bit.
 *
 * @throws UserError when a record of the topic is not JSON.
 */
export async function checkDecisions(request: DecisionRequest): Promise<DecisionReport> {
  const { log, registry, scores = false } = request
  const report: DecisionReport = { decisions: 0, scores: 0, differences: 0, first: [], uncovered: [] }
  await using judges = openJudges(registry, scores)
  for await (const batch of readPredictions<Served>(log, PREDICTIONS)) {
    const asked = batch.filter((prediction) => isAsked(prediction, request))
    const named = Map.groupBy(asked, ({ model }) => `${model?.version} of ${model?.name}`)
    for (const predictions of named.values()) {
      const judge = await judges.of(predictions[0].model)
      if (typeof judge === 'string') leaveOut(report, predictions.length, judge)
      else await checkAll(predictions, judge, scores, report)
    }
    request.report?.(report.decisions)
  }
  return report
}

/** A prediction as it may stand in the log: an older scorer named no model. */
type Served = Omit<Prediction, 'model'> & { model?: Prediction['model'] }

function isAsked({ group, input: { offset } }: Served, request: DecisionRequest): boolean {
  return group === request.group && offset >= (request.from ?? 0) && offset < (request.to ?? Infinity)
}

function leaveOut({ uncovered }: DecisionReport, predictions: number, reason: string): void {
  const known = uncovered.find((each) => each.reason === reason)
  if (known === undefined) uncovered.push({ predictions, reason })
  else known.predictions += predictions
}

async function checkAll(
  predictions: Served[],
  judge: FormerJudge,
  scores: boolean,
  report: DecisionReport,
): Promise<void> {
  for (const prediction of predictions) checkDecision(prediction, judge, report)
  if (!scores) return
  if (typeof judge.scores === 'string') return leaveOut(report, predictions.length, judge.scores)
  const due = await judge.scores(predictions.map(({ features }) => features))
  for (const [i, prediction] of predictions.entries()) {
    const { score } = prediction
    report.scores++
    if (!Object.is(numberOf(score), due[i])) differ(report, prediction, { what: 'score', served: score, due: due[i] })
  }
}

function checkDecision(prediction: Served, judge: FormerJudge, report: DecisionReport): void {
  const { score, decision, threshold, threshold_entry: entry } = prediction
  report.decisions++
  const due = judge.threshold(entry)
  if (due === undefined) {
    const none = `no entry ${entry} that set a threshold of this version`
    differ(report, prediction, { what: 'threshold', served: threshold, due: none })
  } else if (!Object.is(threshold, due)) {
    differ(report, prediction, { what: 'threshold', served: threshold, due })
  }
  const right = decide(numberOf(score), threshold)
  if (decision !== right) {
    differ(report, prediction, { what: 'decision', served: decision, due: `${right}: ${score} against ${threshold}` })
  }
}

/** NaN stands as null in JSON. */
function numberOf(score: number | null): number {
  return score ?? Number.NaN
}

function differ(
  report: DecisionReport,
  { input, transaction_id: transactionId }: Served,
  { what, served, due }: { what: DecisionDifference['what']; served: number | string; due: number | string },
): void {
  report.differences++
  if (report.first.length === SHOWN) return
  report.first.push({ ...input, transactionId, what, served: String(served), due: String(due) })
}
