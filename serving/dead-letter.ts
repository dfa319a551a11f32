import type { Rejection } from '../datasets/log/event-json.ts'
import type { NewRecord } from '../datasets/log/event-log.ts'
import type { StageInput } from '../features/chain/stage-record.ts'

/** The value of a record in `transactions.dlq`: what was wrong, and all that is needed to mend it and send it again. */
export interface DeadLetter {
  reason: string
  input: { partition: number; offset: number }
  /** The value of the record exactly as it came, in base64. */
  bytes: string
  /** The same as text, with replacement characters where it is not UTF-8. */
  text: string
}

export function deadLetter(
  { records, values, partitions, offsets }: StageInput,
  { index, reason }: Rejection,
): NewRecord {
  const bytes = values.bytes.subarray(values.valueStart[index], values.valueEnd[index])
  const letter: DeadLetter = {
    reason,
    input: { partition: partitions[index], offset: offsets[index] },
    bytes: bytes.toString('base64'),
    text: bytes.toString('utf8'),
  }
  return {
    key: records.bytes.subarray(records.keyStart[index], records.valueStart[index]),
    value: JSON.stringify(letter),
    timestamp: records.timestamps[index],
  }
}
