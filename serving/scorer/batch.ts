import type { RejectionKind } from '../../datasets/log/event-field.ts'
import type { Rejection } from '../../datasets/log/event-json.ts'
import type { NewRecord } from '../../datasets/log/event-log.ts'
import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import type { FoldedBatch } from '../../features/chain/folded-batch.ts'
import { stageRecords, type StageTarget } from '../../features/chain/stage-record.ts'
import type { LabelCounts } from '../../features/fold/fraud-labels.ts'
import { truncatedViews } from '../../features/fold/service-fold.ts'
import { categoryColumns, featureNames, type FeatureService } from '../../features/view/view.ts'
import { deadLetter } from '../dead-letter.ts'
import { decide, predictionWriter, type Judge } from '../prediction.ts'
import { LIVE_TOPICS, PREDICTIONS, type GroupTopics } from '../topics.ts'

/** Records to write, by topic. */
export type Outputs = Map<string, NewRecord[]>

/**
 * The counts of one batch of one stage. The first stage of a chain counts `rejected` and `labels`; the last one counts
 * `scored`, `alerts`, `late` and `truncated`.
 */
export interface ScoredBatch {
  scored: number
  alerts: number
  rejected: number
  /** `rejected` by kind of fault. */
  rejections: Partial<Record<RejectionKind, number>>
  labels: number
  /** As in `LabelCounts`, summed over the views that read labels. Counts what was replayed, too. */
  early: number
  matched: number
  unmatched: number
  late: number
  /** Transactions of a key with more events than a ring holds, so that a view lacks some of them. */
  truncated: number
  /** Records that were folded again after a restart; their outputs had been written before. */
  replayed: number
  /** When each scored record was put into the log, EpochMs. */
  timestamps: Float64Array
  /** When the batch's predictions were durable, EpochMs; 0 until they are. */
  done: number
}

export interface WrittenBatch {
  batch: ScoredBatch
  /** To be written in one commit. */
  outputs: Outputs
}

/** Whose features are the columns of a folded batch, and what its events are made of. */
export interface ComputedFeatures {
  service: FeatureService
  schema: DatasetSchema
}

/**
 * The outputs of a batch in the last stage: a prediction for each fresh transaction, an alert for each at or above the
 * threshold, and a dead letter for each record that is not a valid event.
 *
 * @param scores one for each row of `folded.fresh`.
 * @param topics where alerts and dead letters go.
 */
export function writeOutputs(
  folded: FoldedBatch,
  scores: Float32Array,
  { service, schema }: ComputedFeatures,
  judge: Judge,
  topics: GroupTopics = LIVE_TOPICS,
): WrittenBatch {
  const { input, features, fresh, firstFeature } = folded
  const { index } = input.decoded
  const write = predictionWriter(featureNames(service), categoryColumns(service, schema), judge, folded.base)
  const predictions: NewRecord[] = []
  const alerts: NewRecord[] = []
  const timestamps = new Float64Array(fresh.length)
  const counts = { late: 0, truncated: 0 }
  for (let i = 0; i < fresh.length; i++) {
    const row = fresh[i]
    const k = firstFeature + i
    const late = features.late[k] === 1
    const lacking = truncatedViews(service, features.truncated[k])
    const record = write(row, scores[i], features.values, k, input, late, lacking)
    predictions.push(record)
    if (decide(scores[i], judge.threshold) === 'alert') alerts.push(record)
    if (late) counts.late++
    if (lacking.length > 0) counts.truncated++
    timestamps[i] = input.records.timestamps[index[row]]
  }
  const letters = deadLetters(folded)
  const scored = predictions.length
  return {
    batch: { ...intake(folded), scored, alerts: alerts.length, ...counts, timestamps, done: 0 },
    outputs: nonEmpty([
      [PREDICTIONS, predictions],
      [topics.alerts, alerts],
      [topics.deadLetters, letters],
    ]),
  }
}

/**
 * The outputs of a batch in a stage before the last: its fresh events with the features so far, for the next stage, and
 * dead letters as above.
 */
export function passOn(
  folded: FoldedBatch,
  width: number,
  next: StageTarget & { topic: string },
  deadLetterTopic = LIVE_TOPICS.deadLetters,
): WrittenBatch {
  const letters = deadLetters(folded)
  const events = stageRecords(folded.input, folded.features, width, next, folded.replayed)
  return {
    batch: { ...intake(folded), scored: 0, alerts: 0, late: 0, truncated: 0, timestamps: new Float64Array(0), done: 0 },
    outputs: nonEmpty([
      [next.topic, events],
      [deadLetterTopic, letters],
    ]),
  }
}

/** Records that are not valid events and whose dead letters were not written before. */
function rejections({ input, replayed }: FoldedBatch): Rejection[] {
  return input.decoded.rejected.filter(({ index }) => index >= replayed)
}

function deadLetters(folded: FoldedBatch): NewRecord[] {
  return rejections(folded).map((rejection) => deadLetter(folded.input, rejection))
}

/**
 * Counts what is not a transaction. Labels count in the first stage only, where `input.earlier` is undefined: later
 * stages see the same labels again.
 */
function intake(
  folded: FoldedBatch,
): Pick<ScoredBatch, 'rejected' | 'rejections' | 'labels' | 'replayed' | keyof LabelCounts> {
  const { input, replayed, fresh } = folded
  const rejected = rejections(folded)
  const labels = input.earlier === undefined ? input.records.size - replayed - fresh.length - rejected.length : 0
  return { rejected: rejected.length, rejections: countByKind(rejected), labels, ...folded.labels, replayed }
}

function countByKind(rejected: readonly Rejection[]): Partial<Record<RejectionKind, number>> {
  const counts: Partial<Record<RejectionKind, number>> = {}
  for (const { kind } of rejected) counts[kind] = (counts[kind] ?? 0) + 1
  return counts
}

function nonEmpty(topics: [string, NewRecord[]][]): Outputs {
  return new Map(topics.filter(([, written]) => written.length > 0))
}
