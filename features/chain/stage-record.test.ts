import { expect, test } from 'vitest'
import { encodeEvent } from '../../datasets/log/event-json.ts'
import type { NewRecord, RecordBatch } from '../../datasets/log/event-log.ts'
import { partitionOf } from '../../datasets/log/murmur2.ts'
import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import { emptyBatch, FRAUD_LABEL, HOUR } from '../../datasets/table/transaction.ts'
import { featureMatrix, type FeatureMatrix } from '../fold/fold-output.ts'
import { origins, stageReader, stageRecords, type StageInput } from './stage-record.ts'

const schema: DatasetSchema = {
  id: { column: 'id', type: 'integer' },
  time: { column: 'at', unit: 'ms' },
  amount: { column: 'amount', minorUnits: 2 },
  entities: [
    { name: 'card', column: 'card', type: 'string' },
    { name: 'terminal', column: 'terminal', type: 'integer' },
  ],
  numeric: [],
  categorical: [],
}
const START = Date.UTC(2018, 3, 1)
const WIDTH = 2
const TARGET = { entity: 1, partitions: 5 }

/** Records as a log returns them: from offset `first` on, in partition 3. */
function batchOf(records: NewRecord[], first = 40): RecordBatch {
  const parts = records.flatMap(({ key = '', value }) => [Buffer.from(key), Buffer.from(value)])
  const starts = parts.map((_, n) => parts.slice(0, n).reduce((sum, { length }) => sum + length, 0))
  const even = Uint32Array.from(records, (_, i) => starts[2 * i])
  const odd = Uint32Array.from(records, (_, i) => starts[2 * i + 1])
  return {
    topic: 'between',
    partition: 3,
    size: records.length,
    offsets: Float64Array.from(records, (_, i) => first + i),
    timestamps: Float64Array.from(records, ({ timestamp }) => timestamp),
    bytes: Buffer.concat(parts),
    keyStart: even,
    valueStart: odd,
    valueEnd: odd.map((start, i) => start + parts[2 * i + 1].length),
  }
}

/** Transactions and labels, `null` for a record that is no event. */
function recordsOf(kinds: readonly ('transaction' | 'label' | null)[]): NewRecord[] {
  return kinds.map((kind, n) => {
    if (kind === null) return { key: 'k', value: 'no event', timestamp: START }
    const batch = emptyBatch({ id: 'integer', entities: schema.entities, numeric: 0, categorical: 0 }, 1)
    batch.ids[0] = n
    batch.time[0] = START + n
    batch.amount[0] = 100 + n
    batch.entities[0][0] = `card é ${n}`
    batch.entities[1][0] = 10 * n
    if (kind === 'label') [batch.kind[0], batch.knownAt[0]] = [FRAUD_LABEL, START + HOUR]
    return encodeEvent(schema, batch, 0, START + 1000 + n)
  })
}

/** Features that tell rows apart, with flags. */
function featuresOf(rows: number): FeatureMatrix {
  const features = featureMatrix(rows, WIDTH)
  features.rows = rows
  for (let k = 0; k < rows; k++) {
    features.values.set([k + 0.1, -k - 1e-9], k * WIDTH)
    features.late[k] = k % 2
    features.truncated[k] = [0, 1, 0x80_00_00, 0x01_02_03][k % 4]
  }
  return features
}

const KINDS = ['transaction', 'label', null, 'transaction', 'transaction', 'label', 'transaction'] as const

/** What the first stage reads of these records. */
const firstInput = (): StageInput => stageReader(schema, WIDTH, true)(batchOf(recordsOf(KINDS)))

function rowsOf({ decoded: { events, index } }: StageInput, from = 0): unknown[] {
  return Array.from({ length: events.size }, (_, row) => [
    events.kind[row],
    events.ids[row],
    events.time[row],
    events.amount[row],
    ...events.entities.map((column) => column[row]),
    index[row],
  ])
    .filter((values) => Number(values.at(-1)) >= from)
    .map((values) => values.slice(0, -1))
}

test('the first stage reads records as producers write them', () => {
  const input = firstInput()
  expect(input.decoded.rejected.map(({ index }) => index)).toEqual([2])
  expect([...input.partitions]).toEqual(KINDS.map(() => 3))
  expect([...input.offsets]).toEqual([40, 41, 42, 43, 44, 45, 46])
  expect([input.earlier, input.values]).toEqual([undefined, input.records])
})

test.each([0, 1, 4, 7])(
  'what a stage passes on, the next one reads: events from record %i on, with all features',
  (from) => {
    const input = firstInput()
    const features = featuresOf(4)
    const passed = stageRecords(input, features, WIDTH, TARGET, from)
    const terminals = KINDS.flatMap((kind, n) => (kind === null || n < from ? [] : [10 * n]))
    const places = terminals.map((terminal) => partitionOf(Buffer.from(String(terminal)), TARGET.partitions))
    expect(passed.map(({ partition }) => partition)).toEqual(places)
    expect(passed.map(({ timestamp }) => timestamp)).toEqual(terminals.map((terminal) => START + 1000 + terminal / 10))
    expect(passed.map(({ key }) => String(key))).toEqual(terminals.map((terminal) => `card é ${terminal / 10}`))

    const next = stageReader(schema, WIDTH, false)(batchOf(passed, 900))
    expect(next.decoded.rejected).toEqual([])
    expect(rowsOf(next)).toEqual(rowsOf(input, from))
    expect([...next.partitions]).toEqual(terminals.map(() => 3))
    expect([...next.offsets]).toEqual(terminals.map((terminal) => 40 + terminal / 10))
    const skipped = KINDS.slice(0, from).filter((kind) => kind === 'transaction').length
    const rows = 4 - skipped
    expect(next.earlier?.rows).toBe(rows)
    const read = (matrix: FeatureMatrix | undefined, first: number): unknown => [
      [...(matrix?.values.subarray(first * WIDTH, (first + rows) * WIDTH) ?? [])],
      [...(matrix?.late.subarray(first, first + rows) ?? [])],
      [...(matrix?.truncated.subarray(first, first + rows) ?? [])],
    ]
    expect(read(next.earlier, 0)).toEqual(read(features, skipped))

    // A third stage reads from the second what it would have read from the first.
    const again = stageRecords(next, next.earlier ?? featureMatrix(), WIDTH, TARGET, 0)
    expect(again.map(({ value }) => Buffer.from(value))).toEqual(passed.map(({ value }) => Buffer.from(value)))
  },
)

test('a batch read after a larger one holds nothing of that', () => {
  const read = stageReader(schema, WIDTH, false)
  const passed = stageRecords(firstInput(), featuresOf(4), WIDTH, TARGET, 0)
  read(batchOf(passed))
  const alone = read(batchOf(passed.slice(-1)))
  expect([alone.earlier?.rows, alone.earlier?.late[0], alone.earlier?.truncated[0]]).toEqual([1, 1, 0x01_02_03])
  expect([...(alone.earlier?.values.subarray(0, WIDTH) ?? [])]).toEqual([3.1, -3 - 1e-9])
})

test('an event too far ahead of its record is rejected, unless more is allowed', () => {
  const [record] = recordsOf(['transaction'])
  const ahead = { ...record, timestamp: START - HOUR - 1 }
  expect(stageReader(schema, WIDTH, true)(batchOf([ahead])).decoded.rejected.length).toBe(1)
  expect(stageReader(schema, WIDTH, true, 2 * HOUR)(batchOf([ahead])).decoded.rejected).toEqual([])
})

test('a record too short to be one of a scorer’s is refused by its place', () => {
  const [record] = stageRecords(firstInput(), featuresOf(4), WIDTH, TARGET, 0)
  const header = 16 + 8 * WIDTH
  const short = (bytes: number): RecordBatch => batchOf([record, { ...record, value: Buffer.alloc(bytes) }])
  const message = /^Record 41 of "between", partition 3, is not what a scorer writes there: .*fd score --group NAME$/
  expect(() => stageReader(schema, WIDTH, false)(short(header - 1))).toThrow(message)
  expect(stageReader(schema, WIDTH, false)(short(header)).decoded.rejected.map(({ index }) => index)).toEqual([1])
  expect(() => origins(short(15))).toThrow(message)
  expect([...origins(short(16)).offsets]).toEqual([40, 0])
})
