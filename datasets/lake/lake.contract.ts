import { describe, expect, test } from 'vitest'
import { UserError } from '../../configs/user-error.ts'
import { recordsOf } from '../log/event-log.contract.ts'
import type { NewRecord, RecordBatch } from '../log/event-log.ts'
import { decodeBlock, encodeBlocks, stampOffset } from '../log/lmdb/block.ts'
import { joinBatches } from '../log/record-batch.ts'
import { openLake } from '../open.ts'
import { DAY } from '../table/transaction.ts'
import type { Lake } from './lake.ts'
import type { S3Options } from './s3-bucket.ts'

const MIDNIGHT = Date.parse('2018-04-01T00:00:00Z')

/** The records as one batch of the topic, from offset `first` on. */
export function batchFrom(first: number, records: NewRecord[], topic = 't', partition = 0): RecordBatch {
  let next = first
  const parts = encodeBlocks(records).map((block) => {
    stampOffset(block, next)
    next += block.count
    const batch = decodeBlock(block.bytes, topic, partition, next - 1)
    if ('damage' in batch) throw new Error(batch.damage)
    return batch
  })
  return joinBatches(parts)
}

/** Records `from` to `to` (excluded), one every six hours; every fifth is a day late. */
const stretch = (from: number, to: number): NewRecord[] =>
  Array.from({ length: to - from }, (_, i) => ({
    key: (from + i) % 3 === 0 ? undefined : `k${from + i}`,
    value: `v${from + i}`,
    timestamp: MIDNIGHT + (from + i) * (DAY / 4) - ((from + i) % 5 === 0 ? DAY : 0),
  }))

async function readAll(
  lake: Lake,
  topic: string,
  range?: { from?: string; to?: string },
): Promise<ReturnType<typeof recordsOf>> {
  const seen = []
  for await (const batch of lake.read(topic, range)) seen.push(...recordsOf(batch))
  return seen
}

/** What every driver of the lake promises. `fresh` returns the URL of an empty lake. */
export function lakeContract(driver: string, fresh: () => string, s3: S3Options = {}): void {
  describe(`lake contract, ${driver}`, () => {
    test('records come back in the order of partition and offset, and lie by topic and day', async () => {
      await using lake = await openLake(fresh(), s3)
      const [first, second, other] = [
        batchFrom(0, stretch(0, 9)),
        batchFrom(9, stretch(9, 12)),
        batchFrom(5, stretch(5, 8), 't', 1),
      ]
      const written = await lake.write(first)
      await Promise.all([lake.write(other), lake.write(second)])
      expect(written.map((file) => file.path)).toEqual(
        [
          'raw/t/date=2018-03-31/partition-0-offset-0.parquet',
          'raw/t/date=2018-04-01/partition-0-offset-1.parquet',
          'raw/t/date=2018-04-02/partition-0-offset-4.parquet',
          'raw/t/date=2018-04-03/partition-0-offset-8.parquet',
        ].toSorted(),
      )
      expect(await readAll(lake, 't')).toEqual([...recordsOf(first), ...recordsOf(second), ...recordsOf(other)])
      const listed = (await lake.list('t')).map((file) => [file.partition, file.offset])
      expect(listed).toEqual(listed.toSorted(([p, a], [q, b]) => p - q || a - b))
      expect(new Set(listed.map(([partition]) => partition))).toEqual(new Set([0, 1]))
      const day = await readAll(lake, 't', { from: '2018-04-02', to: '2018-04-02' })
      expect(day.every((record) => new Date(record.timestamp).toISOString().startsWith('2018-04-02'))).toBe(true)
      expect(day.length).toBeGreaterThan(0)
    })

    test('the same offsets written again, or overlapping, are there once', async () => {
      await using lake = await openLake(fresh(), s3)
      await lake.write(batchFrom(0, stretch(0, 10)))
      const files = await lake.list('t')
      await lake.write(batchFrom(0, stretch(0, 10)))
      expect(await lake.list('t')).toEqual(files)
      await lake.write(batchFrom(0, stretch(0, 7)))
      await lake.write(batchFrom(3, stretch(3, 20)))
      expect(await readAll(lake, 't')).toEqual(recordsOf(batchFrom(0, stretch(0, 20))))
    })

    test('keys and values are bytes, and thousands of records pass', async () => {
      await using lake = await openLake(fresh(), s3)
      const records: NewRecord[] = Array.from({ length: 5000 }, (_, i) => ({
        key: Uint8Array.of(i & 255, 0, 255),
        value: i % 7 === 0 ? '' : Buffer.from([254, 0, i >> 8, i & 255]),
        timestamp: MIDNIGHT + i,
      }))
      const batch = batchFrom(2 ** 40, records)
      await lake.write(batch)
      expect(await readAll(lake, 't')).toEqual(recordsOf(batch))
    })

    test('a topic that is not there is an error that lists those that are', async () => {
      await using lake = await openLake(fresh(), s3)
      await expect(readAll(lake, 'x')).rejects.toThrow(/nothing of topic "x".*empty/)
      await lake.write(batchFrom(0, stretch(0, 1), 'predictions'))
      await expect(readAll(lake, 'x')).rejects.toThrow(/predictions/)
      await expect(readAll(lake, 'x')).rejects.toThrow(UserError)
      expect((await lake.list()).map((file) => file.topic)).toEqual(['predictions'])
    })
  })
}
