import type { RecordBatch } from './event-log.ts'

/** Records `from` to `to` (excluded) of a batch, over the same bytes. */
export function sliceBatch(batch: RecordBatch, from: number, to: number): RecordBatch {
  if (from === 0 && to === batch.size) return batch
  return {
    ...batch,
    size: to - from,
    offsets: batch.offsets.subarray(from, to),
    timestamps: batch.timestamps.subarray(from, to),
    ...(batch.appended === undefined ? {} : { appended: batch.appended.subarray(from, to) }),
    keyStart: batch.keyStart.subarray(from, to),
    valueStart: batch.valueStart.subarray(from, to),
    valueEnd: batch.valueEnd.subarray(from, to),
  }
}

/** Joins batches of one partition, at least one, in order, into one batch. A single batch is returned as it is. */
export function joinBatches(batches: RecordBatch[]): RecordBatch {
  const [first] = batches
  if (batches.length === 1) return first
  const size = batches.reduce((sum, batch) => sum + batch.size, 0)
  const joined: RecordBatch = {
    topic: first.topic,
    partition: first.partition,
    size,
    offsets: new Float64Array(size),
    timestamps: new Float64Array(size),
    ...(batches.every(({ appended }) => appended === undefined)
      ? {}
      : { appended: new Float64Array(size).fill(Infinity) }),
    bytes: Buffer.allocUnsafeSlow(batches.reduce((sum, batch) => sum + batchBytes(batch), 0)),
    keyStart: new Uint32Array(size),
    valueStart: new Uint32Array(size),
    valueEnd: new Uint32Array(size),
  }
  let row = 0
  let at = 0
  for (const batch of batches) {
    copyBatch(batch, joined, row, at)
    row += batch.size
    at += batchBytes(batch)
  }
  return joined
}

/** Bytes that the batch's keys and values span. The records lie in order, but a driver may leave bytes between them. */
export function batchBytes(batch: RecordBatch): number {
  return batch.size === 0 ? 0 : batch.valueEnd[batch.size - 1] - batch.keyStart[0]
}

function copyBatch(batch: RecordBatch, joined: RecordBatch, row: number, at: number): void {
  const shift = at - batch.keyStart[0]
  joined.offsets.set(batch.offsets, row)
  joined.timestamps.set(batch.timestamps, row)
  if (batch.appended !== undefined) joined.appended?.set(batch.appended, row)
  batch.bytes.copy(joined.bytes, at, batch.keyStart[0], batch.valueEnd[batch.size - 1])
  for (let i = 0; i < batch.size; i++) {
    joined.keyStart[row + i] = batch.keyStart[i] + shift
    joined.valueStart[row + i] = batch.valueStart[i] + shift
    joined.valueEnd[row + i] = batch.valueEnd[i] + shift
  }
}
