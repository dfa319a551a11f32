import { type Connection, type Reader, ResponseError, Writer } from '@platformatic/kafka'
import type { DurationMs } from '../../table/transaction.ts'
import type { AbortedTransaction } from './record-decoder.ts'

const FETCH = 1
const FETCH_VERSION = 12
const READ_COMMITTED = 1
/** Most bytes of an answer, and of one partition in it. A batch over the limit comes alone. */
const ANSWER_BYTES = 16 << 20
const PARTITION_BYTES = 2 << 20

/** What a broker sent for one partition. */
export interface FetchedPartition {
  partition: number
  /** Kafka's error code, 0 for none. */
  error: number
  aborted: AbortedTransaction[]
  /** Record batches, one after the other. The last one may be cut off. */
  bytes: Buffer
}

/**
 * Sends a fetch request, version 12 (Kafka protocol guide), for committed records. The client library's own makes an
 * object of every record and a BigInt of every offset; this one leaves the batches as they came.
 *
 * @param wait how long the broker holds back an answer that would be empty
 */
export function fetchPartitions(
  connection: Connection,
  topic: string,
  from: { partition: number; offset: number }[],
  wait: DurationMs,
): Promise<FetchedPartition[]> {
  const writer = (): Writer =>
    Writer.create()
      .appendInt32(-1)
      .appendInt32(wait)
      .appendInt32(1)
      .appendInt32(ANSWER_BYTES)
      .appendInt8(READ_COMMITTED)
      .appendInt32(0)
      .appendInt32(-1)
      .appendArray([topic], (w) => {
        w.appendString(topic).appendArray(from, (v, { partition, offset }) => {
          v.appendInt32(partition)
            .appendInt32(-1)
            .appendInt64(BigInt(offset))
            .appendInt32(-1)
            .appendInt64(-1n)
            .appendInt32(PARTITION_BYTES)
        })
      })
      .appendArray([], () => {})
      .appendString('')
      .appendTaggedFields()
  const { promise, resolve, reject } = Promise.withResolvers<FetchedPartition[]>()
  connection.send(FETCH, FETCH_VERSION, writer, readAnswer, true, true, (error, answer) =>
    error === null ? resolve(answer ?? []) : reject(error),
  )
  return promise
}

function readAnswer(_correlation: number, apiKey: number, apiVersion: number, reader: Reader): FetchedPartition[] {
  reader.readInt32()
  const error = reader.readInt16()
  reader.readInt32()
  const topics = reader.readArray((r) => {
    r.readString()
    return r.readArray(readPartition)
  })
  if (error !== 0) throw new ResponseError(apiKey, apiVersion, { '/': [error, null] }, {})
  return topics.flat()
}

function readPartition(reader: Reader): FetchedPartition {
  const partition = reader.readInt32()
  const error = reader.readInt16()
  reader.readInt64()
  reader.readInt64()
  reader.readInt64()
  const aborted = reader.readNullableArray((r) => ({ producerId: r.readInt64(), firstOffset: r.readInt64() })) ?? []
  reader.readInt32()
  return { partition, error, aborted, bytes: reader.readNullableBytes() ?? Buffer.alloc(0) }
}
