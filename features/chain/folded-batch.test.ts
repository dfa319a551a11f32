import { describe, expect, test } from 'vitest'
import { encodeEvent } from '../../datasets/log/event-json.ts'
import type { RecordBatch } from '../../datasets/log/event-log.ts'
import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import { DAY, emptyBatch, FRAUD_LABEL, HOUR } from '../../datasets/table/transaction.ts'
import { encodeState } from '../fold/entity-state.ts'
import { featureMatrix, type FeatureMatrix } from '../fold/fold-output.ts'
import { ServiceFold } from '../fold/service-fold.ts'
import type { GroupState } from '../store/online-store.ts'
import { categoryColumns, featureNames, type FeatureService } from '../view/view.ts'
import { foldBatch, modelInput, type FoldedBatch } from './folded-batch.ts'
import { Seam, type HistoryGap, type SeamOptions } from './seam.ts'
import { stageReader } from './stage-record.ts'

const schema: DatasetSchema = {
  id: { column: 'id', type: 'integer' },
  time: { column: 'at', unit: 'ms' },
  amount: { column: 'amount', minorUnits: 2 },
  entities: [{ name: 'card', column: 'card', type: 'string' }],
  numeric: [],
  categorical: ['country', 'shop'],
}
const service: FeatureService = {
  name: 's',
  description: '',
  views: [
    {
      kind: 'request',
      name: 'row',
      features: [
        { name: 'shop', from: 'categorical', column: 'shop' },
        { name: 'amount', from: 'amount' },
        { name: 'country', from: 'categorical', column: 'country' },
      ],
    },
    {
      kind: 'aggregate',
      name: 'cards',
      entity: 'card',
      includesCurrent: true,
      features: [
        { name: 'count', function: 'count', window: { length: 30 * DAY } },
        { name: 'share', function: 'fraud_share', window: { length: 30 * DAY } },
      ],
    },
  ],
}
const WIDTH = featureNames(service).length
const START = Date.UTC(2018, 3, 1)

/** Transactions by number, labels by the negative one, undefined for what is no event; from offset `first` on. */
function batchOf(events: readonly (number | undefined)[], first = 0): RecordBatch {
  const values = events.map((event) => {
    if (event === undefined) return Buffer.from('no event')
    const id = Math.abs(event)
    const batch = emptyBatch({ id: 'integer', entities: schema.entities, numeric: 0, categorical: 2 }, 1)
    batch.ids[0] = id
    batch.time[0] = START + id
    batch.amount[0] = (id % 1000) * 100
    batch.entities[0][0] = id % 2 === 0 ? 'even' : 'odd'
    batch.categorical[0][0] = `country ${id}`
    batch.categorical[1][0] = id === 3 ? '' : `shop ${id}`
    if (event < 0) [batch.kind[0], batch.knownAt[0]] = [FRAUD_LABEL, START + HOUR]
    return Buffer.from(String(encodeEvent(schema, batch, 0, START).value))
  })
  const starts = Uint32Array.from(values, (_, n) => values.slice(0, n).reduce((sum, { length }) => sum + length, 0))
  return {
    topic: 'in',
    partition: 0,
    size: values.length,
    offsets: Float64Array.from(values, (_, i) => first + i),
    timestamps: new Float64Array(values.length).fill(START),
    bytes: Buffer.concat(values),
    keyStart: starts,
    valueStart: starts,
    valueEnd: starts.map((start, i) => start + values[i].length),
  }
}

/** A state with these stored keys. */
function stateOf(stored: Map<string, Uint8Array>, asked: string[] = []): GroupState {
  return {
    base: { service: 's', serviceDigest: '', version: 4, watermark: -Infinity, minorUnits: 2 },
    checkpoint: undefined,
    read: async (view, keys) => {
      asked.push(...keys.map((key) => `${view} ${key}`))
      return keys.map((key) => stored.get(String(key)))
    },
  }
}

function folder(
  state = stateOf(new Map()),
  options: Partial<SeamOptions> = {},
  fold = new ServiceFold(service, schema),
) {
  const read = stageReader(schema, WIDTH, true, Infinity)
  const seam = new Seam({ base: state.base, group: 'g', ...options })
  const run = (records: RecordBatch, committed = 0, earlier?: FeatureMatrix): Promise<FoldedBatch> =>
    foldBatch({ ...read(records), ...(earlier === undefined ? {} : { earlier }) }, committed, fold, state, seam)
  return { fold, run }
}

/** Count and share of the fresh transactions. */
const seen = ({ features, fresh, firstFeature }: FoldedBatch): number[][] =>
  fresh.map((_, i) => [...features.values.subarray((firstFeature + i) * WIDTH + 3, (firstFeature + i + 1) * WIDTH)])

test('what lies below the committed offset is folded and not fresh', async () => {
  const records = batchOf([1, undefined, 3, -3, 2, 5], 40)
  const fresh: [committed: number, number[], number, number][] = [
    [0, [0, 1, 3, 4], 0, 0],
    [41, [1, 3, 4], 1, 1],
    [43, [3, 4], 2, 3],
    [45, [4], 3, 5],
    [46, [], 4, 6],
    [99, [], 4, 6],
  ]
  for (const [committed, rows, firstFeature, replayed] of fresh) {
    const folded = await folder().run(records, committed)
    expect(folded).toMatchObject({ fresh: rows, firstFeature, replayed, base: 4 })
    const all = [
      [1, 0],
      [2, 0],
      [1, 0],
      [3, 1 / 3],
    ]
    expect(seen(folded)).toEqual(all.slice(firstFeature))
  }
})

test('a key goes on from its stored state, which is read when the key is new', async () => {
  const before = folder()
  await before.run(batchOf([1, 3, -3]))
  const odd = encodeState(before.fold.views[0], 0)
  const asked: string[] = []
  const { run } = folder(stateOf(new Map([['odd', odd]]), asked))
  expect(seen(await run(batchOf([5, 2])))).toEqual([
    [3, 1 / 3],
    [1, 0],
  ])
  expect(seen(await run(batchOf([7, 4])))).toEqual([
    [4, 1 / 4],
    [2, 0],
  ])
  expect(asked).toEqual(['cards odd', 'cards even'])
})

test('labels that found no transaction are counted by the batch', async () => {
  const { run } = folder()
  const nothing = { early: 0, matched: 0, unmatched: 0 }
  expect((await run(batchOf([1, -3, -5]))).labels).toEqual({ ...nothing, early: 2 })
  expect((await run(batchOf([3, -1, -9]))).labels).toEqual({ ...nothing, early: 1, matched: 1 })
  expect((await run(batchOf([2]))).labels).toEqual(nothing)
})

test('a model reads the fresh rows: features as numbers, and categories by name in the service’s order', async () => {
  const folded = await folder().run(batchOf([1, -1, 2, 3]), 1)
  const sources = categoryColumns(service, schema).map(({ source }) => source)
  const { rows, numbers, categories } = modelInput(folded, WIDTH, sources)
  expect([rows, categories]).toEqual([2, ['shop 2', 'country 2', '', 'country 3']])
  expect(numbers).toEqual(Float32Array.from(folded.features.values.subarray(WIDTH, 3 * WIDTH)))
  expect([numbers[1], numbers[WIDTH + 1], numbers[WIDTH + 3]]).toEqual([2, 3, 2])
  expect(modelInput(folded, WIDTH, []).categories).toEqual([])
})

test('a transaction that comes twice is rejected, and neither folded nor fresh', async () => {
  const folded = await folder().run(batchOf([1, 1, 3]))
  expect(folded.input.decoded.rejected).toMatchObject([{ index: 1, kind: 'duplicate' }])
  expect(seen(folded)).toEqual([
    [1, 0],
    [2, 0],
  ])
})

/** The states of a history, by key. */
function historyOf(times: readonly number[]): Map<string, Uint8Array> {
  const fold = new ServiceFold(service, schema)
  if (times.length > 0) fold.fold(stageReader(schema, WIDTH, true, Infinity)(batchOf(times)).decoded.events)
  const [view] = fold.views
  return new Map(Array.from({ length: view.keys }, (_, slot) => [String(view.key(slot)), encodeState(view, slot)]))
}

test('where a transaction stands in the log is kept with the state, also behind a younger one of history', async () => {
  const before = folder(stateOf(historyOf([8])))
  await before.run(batchOf([4], 10))
  const after = folder(stateOf(new Map([['even', encodeState(before.fold.views[0], 0)]])))
  const { rejected } = (await after.run(batchOf([4, 8], 20))).input.decoded
  expect(rejected).toMatchObject([{ first: { partition: 0, offset: 10 } }, { index: 1 }])
  expect(rejected[1].first).toBeUndefined()
})

describe('where history ends and the log begins', () => {
  const history = { dataset: 'd', file: 'f', fileDigest: '', transactions: 1 }

  /** A group on a history of transactions at these times, so many ms after the start. */
  function onHistory(times: readonly number[], options: Partial<SeamOptions> = {}, fold?: ServiceFold) {
    const gaps: HistoryGap[] = []
    const base = { history, watermark: times.length === 0 ? -Infinity : START + Math.max(...times) }
    const { run } = folder(stateOf(historyOf(times)), { base, onGap: (gap) => gaps.push(gap), ...options }, fold)
    return { run, gaps }
  }
  const gap = (from: number, to: number): HistoryGap => ({ from: START + from, to: START + to })
  const refused = 'fd features backfill --dataset d --data f --until'
  const at = (ms: number): string => new Date(START + ms).toISOString()

  test('more than a day between them is a gap, told once; a day is none', async () => {
    const day = onHistory([2])
    await day.run(batchOf([2 + DAY]))
    await day.run(batchOf([2 + 9 * DAY]))
    expect(day.gaps).toEqual([])
    const more = onHistory([2])
    // A batch of labels says nothing of where the log begins.
    await more.run(batchOf([-2]))
    await more.run(batchOf([3 + DAY]))
    await more.run(batchOf([3 + 9 * DAY]))
    expect(more.gaps).toEqual([gap(2, 3 + DAY)])
  })

  test('a gap is told also where the first transaction behind it comes twice', async () => {
    const { run, gaps } = onHistory([2])
    await run(batchOf([9 * DAY, 9 * DAY]))
    expect(gaps).toEqual([gap(2, 9 * DAY)])
  })

  test('there is none where history has no transactions, in a later stage, or for a group that went on', async () => {
    const empty = onHistory([])
    await empty.run(batchOf([9 * DAY]))
    const later = onHistory([2])
    await later.run(batchOf([9 * DAY]), 0, featureMatrix(1, WIDTH))
    const begun = onHistory([2], { begun: true })
    await begun.run(batchOf([9 * DAY]))
    const none = onHistory([2], { base: { watermark: START + 2 } })
    await none.run(batchOf([9 * DAY]))
    expect([empty, later, begun, none].map(({ gaps }) => gaps)).toEqual([[], [], [], []])
    const deaf = onHistory([2], { onGap: undefined })
    expect((await deaf.run(batchOf([9 * DAY]))).fresh).toEqual([0])
  })

  test('no transaction is decided on a history that has it, the newest one included', async () => {
    for (const events of [[8], [-2, 8], [8, 2 + DAY]])
      await expect(onHistory([2, 8]).run(batchOf(events))).rejects.toThrow(`${refused} ${at(8)} --online`)
    // It must end at the earliest of those that came in disorder.
    await expect(onHistory([2, 8]).run(batchOf([8, 2, 10]))).rejects.toThrow(`${refused} ${at(2)} --online`)
    // Without times, what history has comes again after its end.
    const untimed = onHistory([2, 8], { base: { history, watermark: START + 2 } })
    expect((await untimed.run(batchOf([8]))).input.decoded.rejected).toMatchObject([{ kind: 'duplicate' }])
    // Its outputs were written before this history was made.
    expect((await onHistory([2, 8]).run(batchOf([8]), 1)).fresh).toEqual([])
  })

  test('history goes on into the log as soon as it has more of the first transactions than are new', async () => {
    const { run } = onHistory([2, 4, 6, 8])
    expect((await run(batchOf([10, 8]))).input.decoded.rejected).toMatchObject([{ index: 1, kind: 'duplicate' }])
    await expect(run(batchOf([6], 2))).rejects.toThrow(`${refused} ${at(6)} --online`)
  })

  test('what comes alone and later than is allowed is folded and flagged, and tells nothing', async () => {
    const { run } = onHistory([2 + DAY])
    const folded = await run(batchOf([4]))
    expect([folded.fresh, folded.features.late[0]]).toEqual([[0], 1])
    await expect(run(batchOf([2 + DAY], 1))).rejects.toThrow(`${refused} ${at(2 + DAY)} --online`)
    // What history ends before, and does not hold, came late as well.
    const until = onHistory([2], { base: { history: { ...history, until: START + 8 }, watermark: START + 2 } })
    await until.run(batchOf([4, 6]))
    await expect(until.run(batchOf([2], 2))).rejects.toThrow(`${refused} ${at(2)} --online`)
    const after = onHistory([2], { base: { history: { ...history, until: START + 8 }, watermark: START + 2 } })
    expect((await after.run(batchOf([8, 2]))).fresh).toEqual([0])
  })

  test('what is older than history still holds is a stray behind new ones, else the history once more', async () => {
    const end = 60 * DAY
    const [news, strays] = [0, 1].map((of) => Array.from({ length: 16 }, (_, n) => (of === 0 ? end + 1 + n : 40 - n)))
    const { run } = onHistory([end])
    for (let n = 0; n < 15; n++) expect((await run(batchOf([news[n], strays[n]], 2 * n))).fresh).toEqual([0, 1])
    expect((await onHistory([end]).run(batchOf([...news, ...strays.slice(1)]))).fresh.length).toBe(31)
    await expect(onHistory([end]).run(batchOf([...news, ...strays]))).rejects.toThrow(`${refused} ${at(25)} --online`)
    await expect(onHistory([end]).run(batchOf([30]))).rejects.toThrow(`${refused} ${at(30)} --online`)
    await expect(onHistory([end]).run(batchOf([...news.slice(0, 2), 30, 31, 32]))).rejects.toThrow(
      `${refused} ${at(30)}`,
    )
    // An hour and 30 days before its end the history still holds whatever came.
    const bound = end - 30 * DAY - HOUR
    expect((await onHistory([end]).run(batchOf([bound]))).fresh.length).toBe(1)
    await expect(onHistory([end]).run(batchOf([bound - 1]))).rejects.toThrow(`${refused} ${at(bound - 1)} --on`)
    // Together with what it holds, they say where the log begins.
    for (const both of [
      [5, end],
      [end, 5],
      [end + 1, end, 5],
    ])
      await expect(onHistory([end]).run(batchOf(both))).rejects.toThrow(`${refused} ${at(5)} --on`)
  })

  const columns = service.views.slice(0, 1)
  test.each([
    ['a stage has no rings', () => new ServiceFold(service, schema, { views: columns })],
    ['only ids are remembered', () => new ServiceFold({ ...service, views: columns }, schema, { rememberIds: DAY })],
  ])('where %s, many from more than an hour before its end are the history once more', async (_, fold) => {
    const old = Array.from({ length: 16 }, (_, n) => DAY - n)
    const on = (end: number): ReturnType<typeof onHistory> => onHistory([end], {}, fold())
    expect((await on(DAY + HOUR - 15).run(batchOf(old))).fresh.length).toBe(16)
    expect((await on(DAY + HOUR + 1).run(batchOf(old.slice(1)))).fresh.length).toBe(15)
    await expect(on(DAY + HOUR + 1).run(batchOf(old))).rejects.toThrow(`${refused} ${at(DAY - 15)} --online`)
  })

  test('what comes twice on the log says nothing of the history, also where that has it', async () => {
    const late = onHistory([8])
    await late.run(batchOf([4]))
    expect((await late.run(batchOf([4], 1))).input.decoded.rejected).toMatchObject([{ first: { offset: 0 } }])
    // Decided, then backfilled, and sent again.
    const again = onHistory([8])
    expect((await again.run(batchOf([8, 8]), 1)).fresh).toEqual([])
    expect((await again.run(batchOf([8], 2), 1)).fresh).toEqual([])
    await expect(onHistory([8]).run(batchOf([8, 8]))).rejects.toThrow(`${refused} ${at(8)} --online`)
  })

  test('only the first undecided ones tell, in the first stage and where nothing was folded before', async () => {
    const all = Array.from({ length: 40 }, (_, n) => 2 * n)
    const news = all.slice(0, 32).map((id) => 2 + DAY + id)
    const { run } = onHistory(all)
    await run(batchOf(news))
    expect((await run(batchOf(all, 32))).input.decoded.rejected.length).toBe(40)
    expect((await onHistory(all).run(batchOf([...news, ...all]))).fresh.length).toBe(32)
    const early = onHistory(all)
    await early.run(batchOf([...news.slice(0, 15), -2]))
    await expect(early.run(batchOf(all, 16))).rejects.toThrow(refused)
    for (const options of [{ begun: true }, { base: { watermark: START + 78 } }])
      expect((await onHistory(all, options).run(batchOf(all))).fresh).toEqual([])
    expect((await onHistory(all).run(batchOf(all), 0, featureMatrix(40, WIDTH))).fresh).toEqual([])
  })
})
