import { UserError } from '../../configs/user-error.ts'
import type { SplitRule } from '../../datasets/table/dataset.ts'
import { DAY } from '../../datasets/table/transaction.ts'
import type { TrainingSet } from '../../features/backfill/training-set.ts'

/** Row numbers of a set, rising in each part. No row is in both parts. */
export interface Split {
  train: Int32Array
  test: Int32Array
}

/**
 * Parts a set by time, so that a model is judged on rows that came after those it learned from.
 *
 * - `ordered`: the first `⌊rows × trainShare⌋` rows train, the rest test.
 * - `delayed`: the protocol of the Fraud Detection Handbook. Days count from `trainFrom`. The first `trainDays` days
 *   train. The next `delayDays` days are left out, since their labels were not known yet. The next `testDays` days
 *   test, without the cards already known to be compromised. These are the cards with a fraud on a training day and, on
 *   test day i (from 0), also those with a fraud up to i days after the last training day. So a label is known
 *   `delayDays + 1` days back, one day more than the delay, as in the Handbook's code.
 *
 * @param needs what each part must have: `labels` a fraud and a genuine row, `rows` a row.
 * @throws UserError when a part lacks what it needs, or when the `delayed` rule needs cards and the set has none.
 */
export function splitRows(set: TrainingSet, rule: SplitRule, needs: 'labels' | 'rows' = 'labels'): Split {
  const split = rule.kind === 'ordered' ? splitOrdered(set, rule.trainShare) : splitDelayed(set, rule)
  for (const part of ['train', 'test'] as const) {
    if (needs === 'labels' || split[part].length === 0) requireBothClasses(set, split[part], part)
  }
  return split
}

function splitOrdered(set: TrainingSet, trainShare: number): Split {
  const rows = Int32Array.from({ length: set.rows }, (_, row) => row)
  const first = Math.floor(set.rows * trainShare)
  return { train: rows.slice(0, first), test: rows.slice(first) }
}

function splitDelayed(set: TrainingSet, rule: SplitRule & { kind: 'delayed' }): Split {
  const { cards } = set
  if (cards === undefined) {
    throw new UserError(
      'The delayed split removes known cards, and this dataset has no entity to be the card. ' +
        'Use: fd train --split ordered',
    )
  }
  const { trainDays, delayDays, testDays } = rule
  const dayOf = (row: number): number => Math.floor((set.time[row] - rule.trainFrom) / DAY)
  const firstFraud = firstFraudDays(set, dayOf)
  const testFrom = trainDays + delayDays
  const [train, test]: number[][] = [[], []]
  for (let row = 0; row < set.rows; row++) {
    const day = dayOf(row)
    if (day >= 0 && day < trainDays) train.push(row)
    if (day < testFrom || day >= testFrom + testDays) continue
    const known = firstFraud.get(cards[row])
    if (known === undefined || known > day - delayDays - 1) test.push(row)
  }
  return { train: Int32Array.from(train), test: Int32Array.from(test) }
}

/** Day of each card's first fraud on or after the first training day. Earlier frauds do not count. */
function firstFraudDays(set: TrainingSet, dayOf: (row: number) => number): Map<number | string, number> {
  const first = new Map<number | string, number>()
  if (set.cards === undefined) return first
  for (let row = 0; row < set.rows; row++) {
    if (set.y[row] !== 1 || dayOf(row) < 0 || first.has(set.cards[row])) continue
    first.set(set.cards[row], dayOf(row))
  }
  return first
}

function requireBothClasses(set: TrainingSet, rows: Int32Array, part: 'train' | 'test'): void {
  const frauds = rows.reduce((sum, row) => sum + (set.y[row] === 1 ? 1 : 0), 0)
  if (frauds > 0 && frauds < rows.length) return
  throw new UserError(
    `The ${part} part of the split has ${lackOf(rows.length, frauds)}; the data ${period(set)}. ` +
      'Choose another period (fd train --split delayed --train-from DATE) or use more data.',
  )
}

function lackOf(rows: number, frauds: number): string {
  if (rows === 0) return 'no rows'
  return frauds === 0 ? `no fraud among its ${rows} rows` : `nothing but frauds in its ${rows} rows`
}

function period(set: TrainingSet): string {
  if (set.rows === 0) return 'have no labelled rows'
  if (set.untimed === true) return `have ${set.rows} rows, in the order of their file`
  const [from, to] = [set.time[0], set.time[set.rows - 1]].map((time) => new Date(time).toISOString())
  return `run from ${from} to ${to}`
}
