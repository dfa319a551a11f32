import type { NewRecord, RecordBatch } from '../datasets/log/event-log.ts'
import type { EpochMs } from '../datasets/table/transaction.ts'
import type { StageInput } from '../features/chain/stage-record.ts'

export type Decision = 'alert' | 'approve'

/** The value of a record of `predictions` and `fraud_alerts`: enough to explain the decision and to make it again. */
export interface Prediction {
  transaction_id: number | string
  /** Event time of the transaction, EpochMs. */
  event_time: number
  /** What the model gave, a float32: probability of fraud. */
  score: number
  /** `alert` where score ≥ threshold. */
  decision: Decision
  threshold: number
  model: { name: string; version: number }
  /** By name, the float64 values the fold computed; the model read them as float32. null: missing. */
  features: Record<string, number | null>
  /** Where in `transactions` it stands. */
  input: { partition: number; offset: number }
  /** Consumer group of the scorer: two groups over one topic both write their predictions. */
  group: string
  /** Present and true when the event came later than the allowed lateness, so that its windows may lack events. */
  late?: true
}

/** Who decides: stamped on every prediction. */
export interface Judge {
  name: string
  version: number
  threshold: number
  group: string
}

/**
 * Writes predictions as JSON records. Text is put together by hand: the names, the model and the order of fields are the same in
 * every record, and `JSON.stringify` of one object a transaction was the largest part of the scorer's time.
 * Numbers are ECMAScript's shortest text, which reads back to the same bits.
 */
export function predictionWriter(names: readonly string[], judge: Judge): PredictionWriter {
  const labels = names.map((name, f) => `${f === 0 ? '' : ','}${JSON.stringify(name)}:`)
  const model = `,"threshold":${json(judge.threshold)},"model":{"name":${JSON.stringify(judge.name)},"version":${judge.version}},"features":{`
  const group = `},"group":${JSON.stringify(judge.group)}`
  return (id, eventTime, score, features, k, { records, partitions, offsets }, index, late) => {
    let value = `{"transaction_id":${typeof id === 'number' ? id : JSON.stringify(id)},"event_time":${eventTime},"score":${json(score)},"decision":"${decide(score, judge.threshold)}"${model}`
    const first = k * labels.length
    for (let f = 0; f < labels.length; f++) value += labels[f] + json(features[first + f])
    value += `},"input":{"partition":${partitions[index]},"offset":${offsets[index]}${group}${late ? ',"late":true' : ''}}`
    return { key: keyOf(records, index), value, timestamp: records.timestamps[index] }
  }
}

/**
 * The prediction of one transaction.
 *
 * @param features row-major feature values, of which row `k` is meant.
 * @param index of the record in `input`.
 */
export type PredictionWriter = (
  id: number | string,
  eventTime: EpochMs,
  score: number,
  features: Float64Array,
  k: number,
  input: StageInput,
  index: number,
  late: boolean,
) => NewRecord

export function decide(score: number, threshold: number): Decision {
  return score >= threshold ? 'alert' : 'approve'
}

/** The shortest text that reads back to the same bits (the fold makes no −0, which would not); NaN, which JSON lacks, is null. */
function json(value: number): string {
  return value === value ? String(value) : 'null'
}

/** The input's key, so that a card's predictions share a partition as its transactions do. */
function keyOf(records: RecordBatch, index: number): Uint8Array {
  return records.bytes.subarray(records.keyStart[index], records.valueStart[index])
}
