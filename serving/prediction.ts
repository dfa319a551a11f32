import type { NewRecord, RecordBatch } from '../datasets/log/event-log.ts'
import type { StageInput } from '../features/chain/stage-record.ts'
import type { CategoryColumn } from '../features/view/view.ts'

export type Decision = 'alert' | 'approve'

/** The value of a record in `predictions` and `fraud_alerts`: enough to explain the decision and to make it again. */
export interface Prediction {
  transaction_id: number | string
  /** Event time of the transaction, EpochMs. */
  event_time: number
  /** The model's output, a float32: the probability of fraud. */
  score: number
  /** `alert` where score ≥ threshold. */
  decision: Decision
  threshold: number
  /** Entry of the model's history that set the threshold. Absent: it is the one that the version was trained with. */
  threshold_entry?: number
  model: { name: string; version: number }
  /**
   * What the fold computed, by name; null where missing. The model read a number as float32, and a category as this
   * name.
   */
  features: Record<string, number | string | null>
  /** The place of the transaction in the topic `transactions`. */
  input: { partition: number; offset: number }
  /** Consumer group of the scorer. Two groups over one topic write predictions of their own. */
  group: string
  /** Version of the base that the features were computed on; 0 without a backfill. Older versions wrote none. */
  base?: number
  /** Present, and true, when the event came later than the allowed lateness. Then its windows may lack events. */
  late?: true
  /** Names of the views whose windows lack events here, because their key has more of them than a ring holds. */
  truncated?: string[]
}

/** The model version, threshold and group that decide; stamped on every prediction. */
export interface Judge {
  name: string
  version: number
  threshold: number
  /** Entry of the model's history that set the threshold, if one did. */
  entry?: number
  group: string
}

/**
 * Writes predictions as JSON records.
 *
 * The text is put together by hand, because `JSON.stringify` of one object for each transaction took most of the
 * scorer's time. The feature names, the model and the order of fields are the same in every record, so they are encoded
 * once. Numbers are written as ECMAScript's shortest text, which reads back to the same bits.
 */
export function predictionWriter(
  names: readonly string[],
  categories: readonly CategoryColumn[],
  judge: Judge,
  base: number,
): PredictionWriter {
  const labels = names.map((name, f) => `${f === 0 ? '' : ','}${JSON.stringify(name)}:`)
  const entry = judge.entry === undefined ? '' : `,"threshold_entry":${judge.entry}`
  const model =
    `,"threshold":${json(judge.threshold)}${entry},"model":{"name":${JSON.stringify(judge.name)},` +
    `"version":${judge.version}},"features":{`
  const group = `},"group":${JSON.stringify(judge.group)},"base":${base}`
  const sourceOf = names.map((_, f) => categories.find(({ feature }) => feature === f)?.source)
  return (row, score, features, k, { records, partitions, offsets, decoded }, late, truncated) => {
    const { ids, time, categorical } = decoded.events
    const [id, eventTime, index] = [ids[row], time[row], decoded.index[row]]
    let value = `{"transaction_id":${typeof id === 'number' ? id : JSON.stringify(id)},"event_time":${eventTime}`
    value += `,"score":${json(score)},"decision":"${decide(score, judge.threshold)}"${model}`
    const first = k * labels.length
    for (let f = 0; f < labels.length; f++) {
      const source = sourceOf[f]
      value += labels[f] + (source === undefined ? json(features[first + f]) : nameOf(categorical[source][row]))
    }
    value += `},"input":{"partition":${partitions[index]},"offset":${offsets[index]}${group}`
    if (late) value += ',"late":true'
    if (truncated.length > 0) value += `,"truncated":${JSON.stringify(truncated)}`
    value += '}'
    return { key: keyOf(records, index), value, timestamp: records.timestamps[index] }
  }
}

/**
 * Writes the prediction of one transaction.
 *
 * @param row of the transaction among the events of `input`.
 * @param features feature values, row-major; those of the transaction are row `k`.
 * @param truncated names of the views that lack events here.
 */
export type PredictionWriter = (
  row: number,
  score: number,
  features: Float64Array,
  k: number,
  input: StageInput,
  late: boolean,
  truncated: readonly string[],
) => NewRecord

export function decide(score: number, threshold: number): Decision {
  return score >= threshold ? 'alert' : 'approve'
}

/**
 * The shortest text that reads back to the same bits; null for NaN, which JSON lacks. −0 would read back as 0, but
 * the fold never makes it.
 */
function json(value: number): string {
  return value === value ? String(value) : 'null'
}

/** A category's name; null for a missing one. */
function nameOf(category: string): string {
  return category === '' ? 'null' : JSON.stringify(category)
}

/** The key of the input record, so that the predictions of a card share a partition as its transactions do. */
function keyOf(records: RecordBatch, index: number): Uint8Array {
  return records.bytes.subarray(records.keyStart[index], records.valueStart[index])
}
