import { expect, test } from 'vitest'
import type { NewRecord, RecordBatch } from '../../datasets/log/event-log.ts'
import { randomStream } from '../../datasets/random/random.ts'
import { foldBatch, type FoldedBatch } from '../../features/chain/folded-batch.ts'
import { Seam } from '../../features/chain/seam.ts'
import { stageReader } from '../../features/chain/stage-record.ts'
import { ServiceFold } from '../../features/fold/service-fold.ts'
import type { GroupState } from '../../features/store/online-store.ts'
import type { Prediction } from '../prediction.ts'
import { schema, service, smallStream } from '../testing/small-stream.ts'
import { JUDGE } from '../testing/stand-in.ts'
import { DEAD_LETTERS, FRAUD_ALERTS, LIVE_TOPICS, PREDICTIONS } from '../topics.ts'
import { passOn, writeOutputs } from './batch.ts'

const WIDTH = 7
const base = { service: service.name, serviceDigest: '', version: 0, watermark: -Infinity, minorUnits: 2 }
const state: GroupState = { base, checkpoint: undefined, read: async (_, keys) => keys.map(() => undefined) }
const START = Date.UTC(2018, 3, 1)

function batchOf(records: readonly NewRecord[]): RecordBatch {
  const parts = records.flatMap(({ key = '', value }) => [Buffer.from(key), Buffer.from(value)])
  const starts = parts.map((_, n) => parts.slice(0, n).reduce((sum, { length }) => sum + length, 0))
  const valueStart = Uint32Array.from(records, (_, i) => starts[2 * i + 1])
  return {
    topic: 'transactions',
    partition: 0,
    size: records.length,
    offsets: Float64Array.from(records, (_, i) => i),
    timestamps: Float64Array.from(records, ({ timestamp }) => timestamp),
    bytes: Buffer.concat(parts),
    keyStart: Uint32Array.from(records, (_, i) => starts[2 * i]),
    valueStart,
    valueEnd: valueStart.map((start, i) => start + parts[2 * i + 1].length),
  }
}

/** A stream's events, labels, repeats and what is no event, of which the first `committed` have had their outputs. */
async function folded(committed = 0): Promise<FoldedBatch> {
  const records = smallStream(randomStream(5), { events: 60, blankKeys: false }, START)
  const fold = new ServiceFold(service, schema)
  const read = stageReader(schema, WIDTH, true, Infinity)
  return foldBatch(read(batchOf(records)), committed, fold, state, new Seam({ base, group: 'g' }))
}

const predictionsOf = (outputs: Map<string, NewRecord[]>, topic = PREDICTIONS): Prediction[] =>
  (outputs.get(topic) ?? []).map(({ value }) => JSON.parse(String(value)) as Prediction)

test('a row that is late or lacks events is counted and marked, and no other', async () => {
  const batch = await folded()
  const { features, fresh } = batch
  features.late.fill(0)
  ;[features.late[1], features.late[4]] = [1, 1]
  ;[features.truncated[2], features.truncated[4], features.truncated[6]] = [0b10, 0b11, 0b1]
  // One of them is the threshold itself.
  const scores = Float32Array.from(fresh, (_, i) => i / 40)
  const written = writeOutputs(batch, scores, { service, schema }, JUDGE)
  expect(written.batch).toMatchObject({ late: 2, truncated: 3, scored: fresh.length, done: 0, replayed: 0 })
  const marks = predictionsOf(written.outputs).flatMap(({ late, truncated }, i) =>
    late === undefined && truncated === undefined ? [] : [[i, late, truncated]],
  )
  expect(marks).toEqual([
    [1, true, undefined],
    [2, undefined, ['cards']],
    [4, true, ['terminals', 'cards']],
    [6, undefined, ['terminals']],
  ])
  const alerts = predictionsOf(written.outputs, FRAUD_ALERTS)
  expect(alerts).toEqual(predictionsOf(written.outputs).filter(({ score }) => score >= JUDGE.threshold))
  expect([alerts.length, alerts[0].score]).toEqual([written.batch.alerts, Math.fround(JUDGE.threshold)])
})

test('of what was committed before, nothing is written or counted again', async () => {
  const whole = await folded()
  const scores = new Float32Array(whole.fresh.length)
  const all = writeOutputs(whole, scores, { service, schema }, JUDGE)
  const { rejected, labels } = all.batch
  expect([rejected > 2, labels > 2, all.batch.rejections.duplicate, all.batch.rejections.not_json]).toEqual([
    true,
    true,
    expect.any(Number),
    expect.any(Number),
  ])
  const size = whole.input.records.size
  for (const committed of [7, 30, size]) {
    const rest = await folded(committed)
    const some = writeOutputs(rest, scores, { service, schema }, JUDGE)
    const from = (topic: string): Prediction[] =>
      predictionsOf(all.outputs, topic).filter(({ input }) => input.offset >= committed)
    expect(predictionsOf(some.outputs)).toEqual(from(PREDICTIONS))
    expect(predictionsOf(some.outputs, DEAD_LETTERS)).toEqual(from(DEAD_LETTERS))
    const found = some.batch
    expect(found.scored + found.rejected + found.labels + found.replayed).toBe(size)
    expect([found.rejected, found.replayed]).toEqual([from(DEAD_LETTERS).length, committed])
    const kinds = Object.values(found.rejections).reduce((sum, count) => sum + count, 0)
    expect(kinds).toBe(found.rejected)
    expect([...found.timestamps]).toEqual(
      from(PREDICTIONS).map(({ input }) => whole.input.records.timestamps[input.offset]),
    )
    // A commit makes no topic for nothing.
    expect([...some.outputs.values()].filter((records) => records.length === 0)).toEqual([])
  }
})

test('a stage before the last passes events on, and writes dead letters where it is told', async () => {
  const batch = await folded(4)
  const next = { topic: 'between', entity: 1, partitions: 3 }
  const passed = passOn(batch, WIDTH, next, 'letters')
  const { scored, alerts, late, truncated, rejected, labels } = passed.batch
  expect([scored, alerts, late, truncated]).toEqual([0, 0, 0, 0])
  expect(passed.outputs.get('between')?.length).toBe(batch.fresh.length + labels)
  expect(passed.outputs.get('letters')?.length).toBe(rejected)
  expect([...passOn(batch, WIDTH, next).outputs.keys()]).toEqual(['between', LIVE_TOPICS.deadLetters])
})
