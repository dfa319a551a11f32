import { DAY } from '../../datasets/table/transaction.ts'
import type { TrainingSet } from '../../features/backfill/training-set.ts'
import { decisionsAt } from './metrics.ts'
import { alertThreshold } from './threshold.ts'

/** What alerts at a threshold cost and bring, on rows of the past. */
export interface BudgetRow {
  threshold: number
  alertsPerDay: number
  /** Absent, as what follows, where no label is known. */
  precision?: number
  recall?: number
  /** Sum of the amounts of the alerted frauds, in minor units a day, and its share of the amounts of all frauds. */
  preventedPerDay?: number
  prevented?: number
}

/** Length of the rows' period in days, from the first to the last. Rows without times count as those of one day. */
export function daysOf({ time, rows, untimed }: Pick<TrainingSet, 'time' | 'rows' | 'untimed'>): number {
  return untimed === true ? 1 : (time[rows - 1] - time[0]) / DAY
}

/** What the threshold of each budget of alerts a day does. */
export function budgetTable(test: TrainingSet, scores: Float32Array, budgets: readonly number[]): BudgetRow[] {
  return budgets.map((budget) => budgetRow(test, scores, alertThreshold(scores, daysOf(test), budget)))
}

/** What one threshold does. Rows without a label count as alerts only. */
export function budgetRow(test: TrainingSet, scores: Float32Array, threshold: number): BudgetRow {
  const { y, amounts } = test
  const days = daysOf(test)
  const { alerts } = decisionsAt(scores, y, threshold)
  const alertsPerDay = alerts / days
  if (!y.includes(1)) return { threshold, alertsPerDay }
  const known = y.map((label) => (label <= 1 ? 1 : 0))
  const { precision, recall } = decisionsAt(
    scores.filter((_, row) => known[row] === 1),
    y.filter((_, row) => known[row] === 1),
    threshold,
  )
  const row = { threshold, alertsPerDay, precision, recall }
  if (amounts === undefined) return row
  let [caught, all] = [0, 0]
  for (let i = 0; i < y.length; i++) {
    if (y[i] !== 1) continue
    all += amounts[i]
    if (scores[i] >= threshold) caught += amounts[i]
  }
  return { ...row, preventedPerDay: caught / days, prevented: all === 0 ? 0 : caught / all }
}
