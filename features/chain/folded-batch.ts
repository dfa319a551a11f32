import type { DecodedBatch } from '../../datasets/log/event-json.ts'
import type { RecordBatch } from '../../datasets/log/event-log.ts'
import { FRAUD_LABEL } from '../../datasets/table/transaction.ts'
import { decodeState } from '../fold/entity-state.ts'
import { toModelInput } from '../fold/model-input.ts'
import type { FeatureMatrix, ServiceFold } from '../fold/service-fold.ts'
import type { GroupState } from '../store/online-store.ts'
import type { StageInput } from './stage-record.ts'

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
export async function foldBatch(
  input: StageInput,
  committed: number,
  fold: ServiceFold,
  state: GroupState,
): Promise<FoldedBatch> {
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
