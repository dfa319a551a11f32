import { Reader, createRecordsBatch, readRecordsBatch } from '@platformatic/kafka'
import { expect, test } from 'vitest'
import { randomStream } from '../../random/random.ts'
import { DAY } from '../../table/transaction.ts'
import { recordsOf } from '../event-log.contract.ts'
import type { NewRecord } from '../event-log.ts'
import { decodeBatches } from './record-decoder.ts'
import { batchLength, encodeBatch } from './records.ts'

const WEEK = 7 * DAY
const chance = randomStream(5).uniform
const PLAIN = { id: -1n, epoch: -1, sequence: -1, transactional: false }

/** Key, value, timestamp and offset of a record. */
type Seen = [key: string, value: string, timestamp: number, offset: number]

function randomRecords(count: number): (NewRecord & { key?: string; value: string })[] {
  return Array.from({ length: count }, (_, i) => ({
    key: chance() < 0.3 ? undefined : `k-${'é'.repeat(Math.floor(chance() * 80))}`,
    value: 'w'.repeat(Math.floor(chance() ** 6 * 70_000)) + String(i),
    timestamp: Math.floor((chance() - 0.2) * 2e12),
  }))
}

const seen = (bytes: Buffer, from = 0): Seen[] =>
  decodeBatches(bytes, 't', 0, from, []).batches.flatMap((batch) =>
    recordsOf(batch).map(({ key, value, timestamp, offset }): Seen => {
      return [Buffer.from(key, 'latin1').toString(), value, timestamp, offset]
    }),
  )

test('the client’s own codec reads what we encode, and we read what it encodes', () => {
  for (let round = 0; round < 30; round++) {
    const records = randomRecords(1 + Math.floor(chance() ** 3 * 200))
    const ours = encodeBatch(records, 0, records.length, { id: 77n, epoch: 3, sequence: 12, transactional: true })
    const theirs = readRecordsBatch(Reader.from(Buffer.from(ours)))
    expect([
      theirs.producerId,
      theirs.producerEpoch,
      theirs.firstSequence,
      theirs.attributes,
      theirs.maxTimestamp,
    ]).toEqual([77n, 3, 12, 16, BigInt(Math.max(...records.map(({ timestamp }) => timestamp)))])
    expect(
      theirs.records.map(({ key, value, timestampDelta, offsetDelta }) => [
        key?.toString(),
        value?.toString(),
        Number(theirs.firstTimestamp + timestampDelta),
        offsetDelta,
      ]),
    ).toEqual(records.map(({ key, value, timestamp }, i) => [key, value, timestamp, i]))
    const expected = records.map(({ key, value, timestamp }, i): Seen => [key ?? '', value, timestamp, i])
    expect(seen(ours)).toEqual(expected)
    // Times within a week of each other: the client library (2.12.1) writes deltas of more than 2^31 ms wrongly.
    const near = expected.map(([key, value, timestamp, offset]): Seen => [key, value, timestamp % WEEK, offset])
    const messages = near.map(([key, value, timestamp], i) => ({
      topic: 't',
      key: records[i].key === undefined ? undefined : Buffer.from(key),
      value: Buffer.from(value),
      timestamp: BigInt(timestamp),
      headers: new Map([[Buffer.from('h'), Buffer.from('x')]]),
    }))
    for (const compression of ['none', 'gzip', 'zstd', 'lz4', 'snappy'] as const) {
      expect(seen(createRecordsBatch(messages, { compression }).buffer)).toEqual(near)
    }
  }
})

/** Batches one after the other, each with the offset of its first record, as a broker stores and sends them. */
function stored(parts: { bytes: Buffer; offset: number }[]): Buffer {
  return Buffer.concat(
    parts.map(({ bytes, offset }) => {
      const copy = Buffer.from(bytes)
      copy.writeBigInt64BE(BigInt(offset), 0)
      return copy
    }),
  )
}

test('reads from the middle of a batch, and leaves one that was cut off for the next fetch', () => {
  const records = Array.from({ length: 10 }, (_, i) => ({ key: 'k', value: String(i), timestamp: i }))
  const batch = encodeBatch(records, 0, 10, PLAIN)
  const bytes = stored([
    { bytes: batch, offset: 100 },
    { bytes: batch, offset: 110 },
  ])
  expect(seen(Buffer.from(bytes), 107).map(([, value, , offset]) => [value, offset])).toEqual(
    [7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19].map((n) => [String(n % 10), 100 + n]),
  )
  for (const missing of [1, 30, batch.length - 62, batch.length - 1]) {
    const { batches, next } = decodeBatches(Buffer.from(bytes.subarray(0, bytes.length - missing)), 't', 0, 100, [])
    expect([batches.length, next]).toEqual([1, 110])
  }
})

const one = (id: bigint, value: string): Buffer =>
  encodeBatch([{ value, timestamp: 1 }], 0, 1, { id, epoch: 0, sequence: 0, transactional: true })

test('leaves out what was aborted, up to the marker that says so, and the markers', () => {
  const marker = (id: bigint): Buffer => {
    const bytes = one(id, '')
    bytes.writeInt16BE(0b110000, 21)
    // The checksum covers the attributes.
    bytes.writeUInt32BE(checksum(bytes), 17)
    return bytes
  }
  const parts = [
    one(1n, 'gone'),
    one(2n, 'kept'),
    one(1n, 'gone too'),
    marker(1n),
    one(1n, 'later'),
    marker(2n),
    marker(1n),
  ]
  const bytes = stored(parts.map((part, offset) => ({ bytes: part, offset })))
  const { batches, next } = decodeBatches(bytes, 't', 0, 0, [{ producerId: 1n, firstOffset: 0n }])
  expect(batches.flatMap((batch) => recordsOf(batch).map(({ value, offset }) => [value, offset]))).toEqual([
    ['kept', 1],
    ['later', 4],
  ])
  expect(next).toBe(7)
})

/** CRC-32C bit by bit (Castagnoli, reflected). */
function checksum(bytes: Buffer): number {
  let crc = 0xffffffff
  for (const byte of bytes.subarray(21)) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) * 0x82f63b78)
  }
  return ~crc >>> 0
}

test('a changed byte behind the checksum is found, and said where', () => {
  const batch = encodeBatch([{ key: 'k', value: 'value', timestamp: 1 }], 0, 1, PLAIN)
  for (let at = 21; at < batch.length; at++) {
    const changed = Buffer.from(batch)
    changed[at] ^= 4
    expect(() => decodeBatches(changed, 't', 3, 0, [])).toThrow(/Topic "t", partition 3, batch of offset 0 is damaged/)
  }
})

const sized = (...lengths: number[]): NewRecord[] =>
  lengths.map((length) => ({ value: Buffer.alloc(length), timestamp: 0 }))
const written = (letters: string): NewRecord[] =>
  Array.from(letters, (letter) => ({ value: letter.repeat(400_000), timestamp: 0 }))

test('a batch stays under the size that every broker takes; a larger record goes alone', () => {
  const lengths: [records: NewRecord[], from: number, length: number][] = [
    [sized(400_000, 400_000, 400_000), 0, 2],
    [sized(2_000_000, 1), 0, 1],
    [sized(2_000_000, 1), 1, 1],
    [written('aéa'), 0, 1],
    [written('abc'), 0, 2],
  ]
  for (const [records, from, length] of lengths) expect(batchLength(records, from)).toBe(length)
})
