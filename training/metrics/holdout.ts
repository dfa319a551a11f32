import { UserError } from '../../configs/user-error.ts'
import type { SplitRule } from '../../datasets/table/dataset.ts'
import { DAY } from '../../datasets/table/transaction.ts'
import type { TrainingSet } from '../../features/backfill/training-set.ts'

/** Row numbers of a set, rising, without a row in common. */
export interface Split {
  train: Int32Array
  test: Int32Array
}

/**
 * Parts a set by time, so that a model is judged on what came after what it learned from.
 *
 * - `ordered`: the first `⌊rows × trainShare⌋` rows train, the rest test.
 * - `delayed`: the Handbook's protocol. `trainDays` days from `trainFrom` train; the next `delayDays` are left out, since their
 *   labels were not known yet; the next `testDays` test, without the cards known to be compromised: those with a fraud while
 *   training, and on test day i (from 0) also those with a fraud between the last training day and i days after it. A label is
 *   thus known `delayDays + 1` days back, one more than the delay, as in the Handbook's code. Days are counted from `trainFrom`.
 *
 * @throws UserError when a part has no fraud or no genuine row, or the set has no cards to tell known ones by.
 */
export function splitRows(set: TrainingSet, rule: SplitRule): Split {
  const split = rule.kind === 'ordered' ? splitOrdered(set, rule.trainShare) : splitDelayed(set, rule)
  requireBothClasses(set, split.train, 'train')
  requireBothClasses(set, split.test, 'test')
  return split
}

function splitOrdered(set: TrainingSet, trainShare: number): Split {
  const rows = Int32Array.from({ length: set.rows }, (_, row) => row)
  const first = Math.floor(set.rows * trainShare)
  return { train: rows.slice(0, first), test: rows.slice(first) }
}

function splitDelayed(set: TrainingSet, rule: SplitRule & { kind: 'delayed' }): Split {
  const { cards } = set
  if (cards === undefined)
    throw new UserError(
      'The delayed split removes known cards, and this dataset has no entity to be the card. Use: fd train --split ordered',
    )
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

/** Day of each card's first fraud from the first training day on; earlier frauds are not looked at. */
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
  const frauds = rows.reduce((sum, row) => sum + set.y[row], 0)
  if (frauds > 0 && frauds < rows.length) return
  const lacks =
    rows.length === 0
      ? 'no rows'
      : frauds === 0
        ? `no fraud among its ${rows.length} rows`
        : `nothing but frauds in its ${rows.length} rows`
  throw new UserError(
    `The ${part} part of the split has ${lacks}; the data ${period(set)}. Choose another period (fd train --split delayed --train-from DATE) or use more data.`,
  )
}

function period(set: TrainingSet): string {
  if (set.rows === 0) return 'have no labelled rows'
  const [from, to] = [set.time[0], set.time[set.rows - 1]].map((time) => new Date(time).toISOString())
  return `run from ${from} to ${to}`
}
