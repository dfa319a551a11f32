import { UserError } from '../../configs/user-error.ts'
import { UNLABELLED } from '../../datasets/table/transaction.ts'
import { subset, type TrainingSet } from '../../features/backfill/training-set.ts'

/**
 * Requires labels of 0 and 1, and at least one of each. In the message `where` completes "No fraud …", and `advice`
 * is the next sentence.
 *
 * @throws UserError when `set` has no rows, a label other than 0 and 1, or only one class.
 */
export function requireLabels(set: TrainingSet, where: string, advice = 'Use a longer training period.'): void {
  let frauds = 0
  for (const label of set.y) {
    if (label > 1) throw new UserError(`A label is ${label}; labels are 0 (genuine) and 1 (fraud).`)
    frauds += label
  }
  if (frauds > 0 && frauds < set.rows) return
  const found = set.rows === 0 ? 'No rows' : frauds === 0 ? 'No fraud' : 'Nothing but frauds'
  throw new UserError(`${found} ${where}. ${advice}`)
}

/** The rows whose label is known; the set itself where all are. */
export function labelled(set: TrainingSet): TrainingSet {
  if (!set.y.includes(UNLABELLED)) return set
  return subset(set, Int32Array.from(set.y.keys().filter((row) => set.y[row] !== UNLABELLED)))
}

export function fraudsIn({ y }: TrainingSet): number {
  return y.reduce((frauds, label) => frauds + (label === 1 ? 1 : 0), 0)
}

/** Whether some row is known to be a fraud, and another to be genuine. */
export function hasBothClasses({ y }: TrainingSet): boolean {
  return y.includes(0) && y.includes(1)
}
