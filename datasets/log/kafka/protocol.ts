import { Reader, Writer } from '@platformatic/kafka'

/**
 * What members of a Kafka consumer group tell each other through the coordinator. The bytes are those that Kafka's own
 * consumers and tools write and read: ConsumerProtocolSubscription version 1 and ConsumerProtocolAssignment version 0,
 * of one topic.
 */

/** The topic that a member reads, and which of its partitions the member owns. */
export function encodeSubscription(topic: string, owned: readonly number[]): Buffer {
  return writeTopics(
    Writer.create()
      .appendInt16(1)
      .appendArray([topic], (w) => void w.appendString(topic, false), false, false)
      .appendBytes(null, false),
    topic,
    owned,
  ).buffer
}

/** The topic's partitions that the member owns; none in version 0, and none in an empty buffer. */
export function decodeOwned(bytes: Buffer, topic: string): number[] {
  if (bytes.length === 0) return []
  const reader = Reader.from(bytes)
  const version = reader.readInt16()
  reader.readArray((r) => r.readString(false), false, false)
  reader.readNullableBytes(false)
  return version === 0 ? [] : readTopics(reader, topic)
}

export function encodeAssignment(topic: string, partitions: readonly number[]): Buffer {
  return writeTopics(Writer.create().appendInt16(0), topic, partitions).appendBytes(null, false).buffer
}

/** The topic's partitions in an assignment; none in an empty buffer. */
export function decodeAssignment(bytes: Buffer, topic: string): number[] {
  if (bytes.length === 0) return []
  const reader = Reader.from(bytes)
  reader.readInt16()
  return readTopics(reader, topic)
}

function writeTopics(writer: Writer, topic: string, partitions: readonly number[]): Writer {
  const topics = partitions.length === 0 ? [] : [topic]
  return writer.appendArray(
    topics,
    (w) =>
      void w
        .appendString(topic, false)
        .appendArray([...partitions], (v, number) => void v.appendInt32(number), false, false),
    false,
    false,
  )
}

function readTopics(reader: Reader, topic: string): number[] {
  const topics = reader.readArray(
    (r) => ({ name: r.readString(false), partitions: r.readArray((p) => p.readInt32(), false, false) }),
    false,
    false,
  )
  return topics.filter(({ name }) => name === topic).flatMap(({ partitions }) => partitions)
}
