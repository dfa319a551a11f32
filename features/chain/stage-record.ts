import { UserError } from '../../configs/user-error.ts'
import { eventDecoder, type DecodedBatch } from '../../datasets/log/event-json.ts'
import type { NewRecord, RecordBatch } from '../../datasets/log/event-log.ts'
import { partitionOf } from '../../datasets/log/murmur2.ts'
import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import { isNoKey } from '../../datasets/table/key.ts'
import { FRAUD_LABEL, type DurationMs } from '../../datasets/table/transaction.ts'
import { featureMatrix, type FeatureMatrix } from '../fold/fold-output.ts'
import { packPlace } from '../window/log-place.ts'

/** A batch of a stage's topic, decoded. Valid until the next batch, which reuses the columns. */
export interface StageInput {
  /** The records as they stand in the stage's topic. In every stage, keys and timestamps are the producer's. */
  records: RecordBatch
  /** The same records with the values that the producer wrote, without the header of this file. */
  values: RecordBatch
  decoded: DecodedBatch
  /** Where each record stands in the topic of the first stage, by its index in `records`. `offsets` likewise. */
  partitions: Uint32Array
  offsets: Float64Array
  /** The features that the stages before computed for the batch's transactions. Absent in the first stage. */
  earlier?: FeatureMatrix
}

/**
 * A record between two stages, little endian. Its header is u8 late, u24 bits of the truncated views, u32 partition and
 * f64 offset in the topic of the first stage. Then come all features of the service as f64, as far as they are known (a
 * label has zeros), and the value as the producer wrote it. Key and timestamp are the producer's. The partition follows
 * from the entity's key as text, or where there is none from the record's.
 */
const HEADER = 16

/**
 * A reader of a stage's topic. Records carry a header and `width` features, those of the first stage neither.
 *
 * @param maxAhead as `eventDecoder` takes it; by default an hour.
 *
 * The reader throws a UserError when a record is too short to be one of a scorer's.
 */
export function stageReader(
  schema: DatasetSchema,
  width: number,
  first: boolean,
  maxAhead?: DurationMs,
): (records: RecordBatch) => StageInput {
  // The first stage has judged which events are ahead of time. A later one sees when its own record was appended.
  const decode = eventDecoder(schema, { maxAhead: first ? maxAhead : Infinity })
  if (first) {
    return (records) => ({
      records,
      values: records,
      decoded: decode(records),
      partitions: new Uint32Array(records.size).fill(records.partition),
      offsets: records.offsets,
    })
  }
  const earlier = featureMatrix()
  return (records) => {
    const values = withoutHeader(records, HEADER + 8 * width)
    const decoded = decode(values)
    gatherFeatures(records, decoded, width, earlier)
    return { records, values, decoded, ...origins(records), earlier }
  }
}

/**
 * Where the records of a later stage stand in the topic of the first.
 *
 * @throws UserError when a record is too short to be one of a scorer's.
 */
export function origins(records: RecordBatch): Pick<StageInput, 'partitions' | 'offsets'> {
  const partitions = new Uint32Array(records.size)
  const offsets = new Float64Array(records.size)
  for (let i = 0; i < records.size; i++) {
    if (records.valueEnd[i] - records.valueStart[i] < HEADER) throw foreign(records, i)
    partitions[i] = records.bytes.readUInt32LE(records.valueStart[i] + 4)
    offsets[i] = records.bytes.readDoubleLE(records.valueStart[i] + 8)
  }
  return { partitions, offsets }
}

/** Where the rows of a batch stand in the topic of the first stage, as `packPlace` gives it. */
export function placesOf({ decoded: { events, index }, partitions, offsets }: StageInput): Float64Array {
  const places = new Float64Array(events.size)
  for (let row = 0; row < events.size; row++) places[row] = packPlace(partitions[index[row]], offsets[index[row]])
  return places
}

function withoutHeader(records: RecordBatch, length: number): RecordBatch {
  const valueStart = records.valueStart.slice(0, records.size)
  for (let i = 0; i < records.size; i++) {
    valueStart[i] += length
    if (valueStart[i] > records.valueEnd[i]) throw foreign(records, i)
  }
  return { ...records, keyStart: valueStart, valueStart }
}

function foreign({ topic, partition, offsets }: RecordBatch, i: number): UserError {
  return new UserError(
    `Record ${offsets[i]} of "${topic}", partition ${partition}, is not what a scorer writes there: ` +
      'something else has appended to the topic. ' +
      'Score as another group, which has topics of its own: fd score --group NAME',
  )
}

function gatherFeatures(
  records: RecordBatch,
  { events, index }: DecodedBatch,
  width: number,
  into: FeatureMatrix,
): void {
  if (into.late.length < events.size) {
    Object.assign(into, featureMatrix(events.size, width))
  }
  const bytes = Buffer.from(into.values.buffer)
  let k = 0
  for (let row = 0; row < events.size; row++) {
    if (events.kind[row] === FRAUD_LABEL) continue
    const at = records.valueStart[index[row]]
    into.late[k] = records.bytes[at]
    into.truncated[k] = records.bytes.readUIntLE(at + 1, 3)
    records.bytes.copy(bytes, 8 * width * k, at + HEADER, at + HEADER + 8 * width)
    k++
  }
  into.rows = k
}

/**
 * How a stage passes its events on: by the key of `schema.entities[entity]`, over this number of partitions. An event
 * without that key goes by the key of its record, so that such events are spread as all others are.
 */
export interface StageTarget {
  entity: number
  partitions: number
}

/** The transactions and labels of a batch from record `from` on, as the next stage reads them. The bytes are copied. */
export function stageRecords(
  input: StageInput,
  features: FeatureMatrix,
  width: number,
  target: StageTarget,
  from: number,
): NewRecord[] {
  const { records, values, decoded } = input
  const { events, index } = decoded
  const featureBytes = Buffer.from(features.values.buffer, features.values.byteOffset, features.values.byteLength)
  const prefix = HEADER + 8 * width
  const out = Buffer.alloc(outputSize(input, prefix))
  const written: NewRecord[] = []
  let at = 0
  let k = 0
  for (let row = 0; row < events.size; row++) {
    const i = index[row]
    const label = events.kind[row] === FRAUD_LABEL
    if (i >= from) {
      const start = at
      out[at] = label ? 0 : features.late[k]
      if (!label) out.writeUIntLE(features.truncated[k], at + 1, 3)
      out.writeUInt32LE(input.partitions[i], at + 4)
      out.writeDoubleLE(input.offsets[i], at + 8)
      if (!label) featureBytes.copy(out, at + HEADER, 8 * width * k, 8 * width * (k + 1))
      at += prefix
      at += values.bytes.copy(out, at, values.valueStart[i], values.valueEnd[i])
      const key = records.bytes.subarray(records.keyStart[i], records.valueStart[i])
      const next = events.entities[target.entity][row]
      const partition = partitionOf(isNoKey(next) ? key : Buffer.from(String(next)), target.partitions)
      written.push({ key, value: out.subarray(start, at), timestamp: records.timestamps[i], partition })
    }
    if (!label) k++
  }
  return written
}

function outputSize({ values, decoded }: StageInput, prefix: number): number {
  let size = 0
  for (let row = 0; row < decoded.events.size; row++) {
    const i = decoded.index[row]
    size += prefix + values.valueEnd[i] - values.valueStart[i]
  }
  return size
}
