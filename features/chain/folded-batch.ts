import type { DecodedBatch } from '../../datasets/log/event-json.ts'
import type { RecordBatch } from '../../datasets/log/event-log.ts'
import { FRAUD_LABEL, type EventBatch } from '../../datasets/table/transaction.ts'
import { decodeState } from '../fold/entity-state.ts'
import type { FeatureMatrix } from '../fold/fold-output.ts'
import { LABEL_COUNTS, type LabelCounts } from '../fold/fraud-labels.ts'
import { toModelInput } from '../fold/model-input.ts'
import type { ServiceFold } from '../fold/service-fold.ts'
import type { GroupState } from '../store/online-store.ts'
import type { Seam } from './seam.ts'
import { placesOf, type StageInput } from './stage-record.ts'

/**
 * A batch of a stage's topic, folded. Its fresh transactions are still to be scored or passed on. The next batch reuses
 * `input` and `features`.
 */
export interface FoldedBatch {
  input: StageInput
  features: FeatureMatrix
  /** Version of the base under the state. */
  base: number
  /**
   * How many records, all at the start, lie below the committed offset. After a restart they are folded again, but
   * their outputs have been written already.
   */
  replayed: number
  /** Of fraud labels that found no transaction when they came. */
  labels: LabelCounts
  /** Rows of `input.decoded.events` with the transactions to be scored, in order. */
  fresh: number[]
  /** The row in `features` of the first fresh transaction. That of the i-th is `firstFeature + i`. */
  firstFeature: number
}

/**
 * Folds a batch. New keys first get the state that the group last wrote or, where it wrote none, the state at the end
 * of history. Transactions that were here before are taken out (`seam.ts`).
 *
 * @throws UserError as `GroupState.read`, `decodeState` and `Seam.join`.
 */
export async function foldBatch(
  input: StageInput,
  committed: number,
  fold: ServiceFold,
  state: GroupState,
  seam: Seam,
): Promise<FoldedBatch> {
  const { events } = input.decoded
  for (const { view, keys } of fold.prepare(events)) {
    const stored = await state.read(view.view.name, keys)
    for (const [i, bytes] of stored.entries()) {
      const slot = view.slot(keys[i])
      if (bytes !== undefined && slot !== undefined) decodeState(view, slot, bytes)
    }
  }
  seam.join(input, fold, committed)
  const before = fold.labels
  const features = fold.fold(events, input.earlier, placesOf(input))
  const labels = fold.labels
  for (const key of LABEL_COUNTS) labels[key] -= before[key]
  const replayed = firstAtOrAfter(input.records, committed)
  return { input, features, base: state.base.version, replayed, labels, ...freshRows(input.decoded, replayed) }
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

/** What a model reads of some rows, both row-major. */
export interface ModelInput {
  rows: number
  /** Every feature. A column of categories holds no number that a model could use. */
  numbers: Float32Array
  /** The names of the categories, in the order of the service; '' where one is missing. */
  categories: string[]
}

/** Transactions of a batch that a model is to score, the last of the batch, with their features. */
export interface ScoredRows extends Pick<FoldedBatch, 'features' | 'fresh' | 'firstFeature'> {
  events: EventBatch
}

/** The features of the fresh transactions as the model reads them. `sources`: which categorical columns, in order. */
export function modelInput(
  { fresh, firstFeature, features, input }: FoldedBatch,
  width: number,
  sources: readonly number[],
): ModelInput {
  return inputOf({ events: input.decoded.events, fresh, features, firstFeature }, width, sources)
}

/** The same of the last rows of any folded batch. */
export function inputOf(rows: ScoredRows, width: number, sources: readonly number[]): ModelInput {
  return { rows: rows.fresh.length, numbers: numbersOf(rows, width), categories: namesOf(rows, sources) }
}

function namesOf({ fresh, events }: ScoredRows, sources: readonly number[]): string[] {
  const { categorical } = events
  const names = new Array<string>(fresh.length * sources.length)
  for (const [c, source] of sources.entries()) {
    const column = categorical[source]
    for (let i = 0; i < fresh.length; i++) names[i * sources.length + c] = column[fresh[i]]
  }
  return names
}

function numbersOf({ features, fresh, firstFeature }: ScoredRows, width: number): Float32Array {
  const input = new Float32Array(fresh.length * width)
  toModelInput(features.values.subarray(firstFeature * width), input.length, input)
  return input
}
