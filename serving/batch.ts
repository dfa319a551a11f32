import type { DecodedBatch, RejectionKind } from '../datasets/event-json.ts'
import type { NewRecord, RecordBatch } from '../datasets/event-log.ts'
import { FRAUD_LABEL } from '../datasets/transaction.ts'
import { decodeState } from '../features/entity-state.ts'
import type { FeatureMatrix, ServiceFold } from '../features/fold.ts'
import type { GroupState } from '../features/online-store.ts'
import { toModelInput } from '../features/training-set.ts'
import { deadLetter } from './dead-letter.ts'
import { decide, predictionWriter, type Judge } from './prediction.ts'

export const TRANSACTIONS = 'transactions'
export const PREDICTIONS = 'predictions'
export const FRAUD_ALERTS = 'fraud_alerts'
export const DEAD_LETTERS = 'transactions.dlq'

export type Outputs = Map<string, NewRecord[]>

/** A batch of the input topic, folded; what of it is fresh is still to be scored. `decoded` and `features` are reused by the next batch. */
export interface FoldedBatch {
  records: RecordBatch
  decoded: DecodedBatch
  features: FeatureMatrix
  /** Records below the committed offset: folded again after a restart, with their outputs already written. They stand first. */
  replayed: number
  /** Rows of `decoded.events` that are transactions to be scored, in order; the features of the i-th are row `firstFeature + i`. */
  fresh: number[]
  firstFeature: number
}

/** Decodes and folds a batch, after giving its new keys the state they had when the group last wrote it, or when history ended. */
export async function foldBatch(records: RecordBatch, committed: number, fold: ServiceFold, state: GroupState, decode: (records: RecordBatch) => DecodedBatch): Promise<FoldedBatch> {
  const decoded = decode(records)
  for (const { view, keys } of fold.prepare(decoded.events)) {
    const stored = await state.read(view.view.name, keys)
    for (const [i, bytes] of stored.entries()) {
      const slot = view.slot(keys[i])
      if (bytes !== undefined && slot !== undefined) decodeState(view, slot, bytes)
    }
  }
  const features = fold.fold(decoded.events)
  const replayed = firstAtOrAfter(records, committed)
  return { records, decoded, features, replayed, ...freshRows(decoded, replayed) }
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

/** What became of one batch. */
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
  const { records, decoded, features, replayed, fresh, firstFeature } = folded
  const { events, index } = decoded
  const write = predictionWriter(names, judge)
  const predictions: NewRecord[] = []
  const alerts: NewRecord[] = []
  const timestamps = new Float64Array(fresh.length)
  let lateRows = 0
  for (let i = 0; i < fresh.length; i++) {
    const row = fresh[i]
    const k = firstFeature + i
    const late = features.late[k] === 1
    const record = write(events.ids[row], events.time[row], scores[i], features.values, k, records, index[row], late)
    predictions.push(record)
    if (decide(scores[i], judge.threshold) === 'alert') alerts.push(record)
    if (late) lateRows++
    timestamps[i] = records.timestamps[index[row]]
  }
  const rejected = decoded.rejected.filter(({ index }) => index >= replayed)
  const letters = rejected.map((rejection) => deadLetter(records, rejection))
  const topics: [string, NewRecord[]][] = [[PREDICTIONS, predictions], [FRAUD_ALERTS, alerts], [DEAD_LETTERS, letters]]
  const labels = records.size - replayed - fresh.length - letters.length
  return {
    batch: { scored: predictions.length, alerts: alerts.length, rejected: letters.length, rejections: countByKind(rejected), labels, late: lateRows, replayed, timestamps, done: 0 },
    outputs: new Map(topics.filter(([, written]) => written.length > 0)),
  }
}

function countByKind(rejected: readonly { kind: RejectionKind }[]): Partial<Record<RejectionKind, number>> {
  const counts: Partial<Record<RejectionKind, number>> = {}
  for (const { kind } of rejected) counts[kind] = (counts[kind] ?? 0) + 1
  return counts
}
