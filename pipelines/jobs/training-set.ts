import { UserError } from '../../configs/user-error.ts'
import type { SplitRule } from '../../datasets/table/dataset.ts'
import type { EpochMs } from '../../datasets/table/transaction.ts'
import type { TrainingSet } from '../../features/backfill/training-set.ts'
import { instant, type OpenProgress } from '../console/output.ts'
import { runBackfill, type History } from './backfill-run.ts'

/** What a training set is made of, and how. The same values make the same set again. */
export interface TrainingSetRequest extends History {
  split: SplitRule
  /** Use only what was known before this instant. Default: everything. */
  until?: EpochMs
  /** Order the file by time first. */
  sort?: boolean
  /** Keep the transactions whose label is not known, for a fit without labels. Default: false. */
  unlabelled?: boolean
}

/** Folds a dataset into the features, in memory, as a model reads them. @throws UserError when it has no row. */
export async function buildTrainingSet(
  { dataset, service, split, until, sort, unlabelled = false }: TrainingSetRequest,
  openProgress: OpenProgress,
): Promise<TrainingSet> {
  const { trainingSetSink } = await import('../../features/backfill/training-set.ts')
  const sink = trainingSetSink(service, dataset.schema, {
    cardEntity: split.kind === 'delayed' ? split.cardEntity : undefined,
    knownBy: until,
    unlabelled,
  })
  await runBackfill({ dataset, service }, [sink], { until, sort }, openProgress)
  const set = sink.set()
  if (set.rows > 0) return set
  if (unlabelled) throw new UserError(`${dataset.file} has no transaction to train on. Give another: --data FILE`)
  throw new UserError(
    until === undefined
      ? `No transaction of ${dataset.file} has a label, so there is nothing to train on. ` +
          'Give a file with labels (--data FILE), or a model that needs none: --model isolation'
      : `No transaction of ${dataset.file} has a label that was known by ${instant(until)}, ` +
          'so there is nothing to train on. Give a later instant: --until DATE',
  )
}
