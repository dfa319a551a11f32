import { createHash } from 'node:crypto'
import type { Rejection } from '../datasets/log/event-json.ts'
import type { NewRecord } from '../datasets/log/event-log.ts'
import type { StageInput } from '../features/chain/stage-record.ts'

/** The value of a record of `transactions.dlq`. It says what was wrong, and how to correct the record and resend it. */
export interface DeadLetter {
  reason: string
  /** Where the record stands in `transactions`. */
  input: { partition: number; offset: number }
  /** Of a transaction that came twice: where the first one stands there, unless it was in history. */
  first?: { partition: number; offset: number }
  /** The record's value as it came, base64. Of a value that was cut, its beginning. */
  bytes: string
  /** The same bytes as text, with replacement characters where they are not UTF-8. */
  text: string
  /** Of a value that was cut: what it was, so that the original in `transactions` can be told. */
  cut?: { size: number; sha256: string }
}

/**
 * Most bytes of a value that a letter carries whole. As base64 and as text, where a control character takes six, they
 * come to at most 7.4 times as much, which fits into a topic with Kafka's usual limit of 1 MB.
 */
const MOST_BYTES = 32 * 1024
/** Bytes that are left of a larger value. */
const KEPT_BYTES = 4 * 1024
/** A record with a longer key gets a letter without one. */
const LONGEST_KEY = 1024

export function deadLetter(
  { records, values, partitions, offsets }: StageInput,
  { index, reason, first }: Rejection,
): NewRecord {
  const whole = values.bytes.subarray(values.valueStart[index], values.valueEnd[index])
  const cut = whole.length > MOST_BYTES
  const bytes = cut ? whole.subarray(0, KEPT_BYTES) : whole
  const letter: DeadLetter = {
    reason,
    input: { partition: partitions[index], offset: offsets[index] },
    ...(first === undefined ? {} : { first }),
    bytes: bytes.toString('base64'),
    text: bytes.toString('utf8'),
    ...(cut ? { cut: { size: whole.length, sha256: createHash('sha256').update(whole).digest('hex') } } : {}),
  }
  const key = records.bytes.subarray(records.keyStart[index], records.valueStart[index])
  return {
    ...(key.length > LONGEST_KEY ? {} : { key }),
    value: JSON.stringify(letter),
    timestamp: records.timestamps[index],
  }
}
