import { UserError } from '../configs/user-error.ts'
import { subset, type TrainingSet } from '../features/backfill/training-set.ts'
import { trainCandidate, type Candidate, type CandidateRequest } from './candidate.ts'
import { hasBothClasses, labelled } from './fit/labels.ts'
import type { Report } from './fit/report.ts'
import { splitRows } from './metrics/holdout.ts'

/** The latest share of the training rows, by which the candidates of one command are ranked. */
const SELECTION_SHARE = 0.2

/** Stands before the name of every metric that was measured for the choice. */
export const SELECTION = 'selection_'

/**
 * Trains a candidate for the choice among several: on the earlier training rows, judged on the latest of them. The test
 * rows are not looked at. The best of several on the test rows would owe some of its lead to luck, and the test rows
 * could no longer say how good it is.
 *
 * The metrics are named `selection_…`. So the card of such a candidate does not pass for that of a judged model.
 *
 * @throws UserError as `trainCandidate`, and when the rows of the choice lack a class.
 */
export async function trainForSelection(
  set: TrainingSet,
  request: CandidateRequest,
  report: Report,
): Promise<Candidate> {
  const known = labelled(set)
  const train = subset(known, splitRows(known, request.split).train)
  const split = { kind: 'ordered', trainShare: 1 - SELECTION_SHARE } as const
  requireChoice(train, Math.floor(train.rows * split.trainShare))
  const { metrics, ...candidate } = await trainCandidate(train, { ...request, split, importance: undefined }, report)
  const named = Object.entries(metrics).map(([name, value]) => [SELECTION + name, value] as const)
  return { ...candidate, metrics: Object.fromEntries(named) }
}

function requireChoice(train: TrainingSet, first: number): void {
  const rows = Int32Array.from(train.y.keys())
  if ([rows.subarray(0, first), rows.subarray(first)].every((part) => hasBothClasses(subset(train, part)))) return
  throw new UserError(
    `Several candidates are ranked on the latest ${SELECTION_SHARE * 100} % of the training rows, and there a class ` +
      `is missing, or among the ${first} rows before. Use a longer training period, or train one candidate.`,
  )
}
