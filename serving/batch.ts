import type { DecodedBatch, Rejection, RejectionKind } from '../datasets/event-json.ts'
import type { NewRecord, RecordBatch } from '../datasets/event-log.ts'
import { FRAUD_LABEL } from '../datasets/transaction.ts'
import { decodeState } from '../features/entity-state.ts'
import type { FeatureMatrix, ServiceFold } from '../features/fold.ts'
import type { GroupState } from '../features/online-store.ts'
import { stageRecords, type StageInput, type StageTarget } from '../features/stage-record.ts'
import { toModelInput } from '../features/training-set.ts'
import { deadLetter } from './dead-letter.ts'
import { decide, predictionWriter, type Judge } from './prediction.ts'

export const TRANSACTIONS = 'transactions'
export const PREDICTIONS = 'predictions'
export const FRAUD_ALERTS = 'fraud_alerts'
export const DEAD_LETTERS = 'transactions.dlq'

export type Outputs = Map<string, NewRecord[]>

/** A batch of a stage's topic, folded; what of it is fresh is still to be scored, or passed on. `input` and `features` are reused by the next batch. */
export interface FoldedBatch {
  input: StageInput
  features: FeatureMatrix
  /** Records below the committed offset: folded again after a restart, with their outputs already written. They stand first. */
  replayed: number
  /** Rows of the events that are transactions to be scored, in order; the features of the i-th are row `firstFeature + i`. */
  fresh: number[]
  firstFeature: number
}

/** Folds a batch, after giving its new keys the state they had when the group last wrote it, or when history ended. */
export async function foldBatch(input: StageInput, committed: number, fold: ServiceFold, state: GroupState): Promise<FoldedBatch> {
  const { events } = input.decoded
  for (const { view, keys } of fold.prepare(events)) {
    const stored = await state.read(view.view.name, keys)
    for (const [i, bytes] of stored.entries()) {
      const slot = view.slot(keys[i])
      if (bytes !== undefined && slot !== undefined) decodeState(view, slot, bytes)
    }
  }
  const features = fold.fold(events, input.earlier)
  const replayed = firstAtOrAfter(input.records, committed)
  return { input, features, replayed, ...freshRows(input.decoded, replayed) }
}

function firstAtOrAfter(records: RecordBatch, offset: number): number {
  let i = 0
  while (i < records.size && records.offsets[i] < offset) i++
  return i
}

function freshRows({ events, index }: DecodedBatch, replayed: number): { fresh: number[]; firstFeature: number } {
  const fresh: number[] = []
  let firstFeature = 0
  for (let row = 0; row < events.size; row++) {
    if (events.kind[row] === FRAUD_LABEL) continue
    if (index[row] >= replayed) fresh.push(row)
    else firstFeature++
  }
  return { fresh, firstFeature }
}

/** The fresh rows as the model reads them. */
export function modelInput({ features, fresh, firstFeature }: FoldedBatch, width: number): Float32Array {
  const input = new Float32Array(fresh.length * width)
  toModelInput(features.values.subarray(firstFeature * width), input.length, input)
  return input
}

/** What became of one batch of one stage: rejected and labels are counted in the first, scored, alerts and late in the last. */
export interface ScoredBatch {
  scored: number
  alerts: number
  rejected: number
  /** The same by kind of fault. */
  rejections: Partial<Record<RejectionKind, number>>
  labels: number
  late: number
  /** Records folded again after a restart, whose outputs had been written before. */
  replayed: number
  /** When each scored record was put into the log, EpochMs, and when the batch's predictions were durable. */
  timestamps: Float64Array
  done: number
}

export interface WrittenBatch {
  batch: ScoredBatch
  /** By topic, for one commit. */
  outputs: Outputs
}

/** Writes what is to be said of a batch: a prediction a fresh transaction, an alert where it is one, a dead letter a record that is no event. */
export function writeOutputs(folded: FoldedBatch, scores: Float32Array, names: readonly string[], judge: Judge): WrittenBatch {
  const { input, features, fresh, firstFeature } = folded
  const { events, index } = input.decoded
  const write = predictionWriter(names, judge)
  const predictions: NewRecord[] = []
  const alerts: NewRecord[] = []
  const timestamps = new Float64Array(fresh.length)
  let lateRows = 0
  for (let i = 0; i < fresh.length; i++) {
    const row = fresh[i]
    const k = firstFeature + i
    const late = features.late[k] === 1
    const record = write(events.ids[row], events.time[row], scores[i], features.values, k, input, index[row], late)
    predictions.push(record)
    if (decide(scores[i], judge.threshold) === 'alert') alerts.push(record)
    if (late) lateRows++
    timestamps[i] = input.records.timestamps[index[row]]
  }
  const letters = deadLetters(folded)
  return {
    batch: { ...intake(folded), scored: predictions.length, alerts: alerts.length, late: lateRows, timestamps, done: 0 },
    outputs: nonEmpty([[PREDICTIONS, predictions], [FRAUD_ALERTS, alerts], [DEAD_LETTERS, letters]]),
  }
}

/** Passes a batch on to the next stage: its fresh events with the features so far, and dead letters as above. */
export function passOn(folded: FoldedBatch, width: number, next: StageTarget & { topic: string }): WrittenBatch {
  const letters = deadLetters(folded)
  const events = stageRecords(folded.input, folded.features, width, next, folded.replayed)
  return {
    batch: { ...intake(folded), scored: 0, alerts: 0, late: 0, timestamps: new Float64Array(0), done: 0 },
    outputs: nonEmpty([[next.topic, events], [DEAD_LETTERS, letters]]),
  }
}

/** Records that are no events, and were not written before. */
function rejections({ input, replayed }: FoldedBatch): Rejection[] {
  return input.decoded.rejected.filter(({ index }) => index >= replayed)
}

function deadLetters(folded: FoldedBatch): NewRecord[] {
  return rejections(folded).map((rejection) => deadLetter(folded.input, rejection))
}

/** What of a batch was no transaction. A later stage has heard of it from the first. */
function intake(folded: FoldedBatch): Pick<ScoredBatch, 'rejected' | 'rejections' | 'labels' | 'replayed'> {
  const { input, replayed, fresh } = folded
  const rejected = rejections(folded)
  const labels = input.earlier === undefined ? input.records.size - replayed - fresh.length - rejected.length : 0
  return { rejected: rejected.length, rejections: countByKind(rejected), labels, replayed }
}

function countByKind(rejected: readonly Rejection[]): Partial<Record<RejectionKind, number>> {
  const counts: Partial<Record<RejectionKind, number>> = {}
  for (const { kind } of rejected) counts[kind] = (counts[kind] ?? 0) + 1
  return counts
}

function nonEmpty(topics: [string, NewRecord[]][]): Outputs {
  return new Map(topics.filter(([, written]) => written.length > 0))
}
