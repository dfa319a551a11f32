import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { errorMessage, UserError } from '../../configs/user-error.ts'
import { encodeEvent } from '../../datasets/log/event-json.ts'
import type { EventLog } from '../../datasets/log/event-log.ts'
import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import { emptyBatch, HOUR } from '../../datasets/table/transaction.ts'
import { MemoryBroker } from '../../datasets/testing/memory-broker.ts'
import { openMemoryLog } from '../../datasets/testing/memory-log.ts'
import { atOnce } from '../../datasets/testing/scheduler.ts'
import { featureService } from '../../features/catalog.ts'
import { MemoryServer, openMemoryStore } from '../../features/testing/memory-store.ts'
import { formerCategoryCode } from '../../features/view/category.ts'
import { featureNames, serviceDigest, serviceReference, type FeatureService } from '../../features/view/view.ts'
import { logOnnxModel } from '../../registry/ml-model.ts'
import type { ModelCard } from '../../registry/model-card.ts'
import { openRegistry } from '../../registry/open.ts'
import { register } from '../../registry/promotion/promotion.ts'
import { setThreshold } from '../../registry/promotion/threshold.ts'
import type { Registry } from '../../registry/registry.ts'
import { loadVersion, watchChampion, type Champion, type ChampionWatch } from '../../serving/model/champion.ts'
import type { Prediction } from '../../serving/prediction.ts'
import type { ScoredBatch } from '../../serving/scorer/batch.ts'
import { score, type ScorerOptions } from '../../serving/scorer/scorer.ts'
import { DEAD_LETTERS, FRAUD_ALERTS, groupTopics, PREDICTIONS, TRANSACTIONS } from '../../serving/topics.ts'
import { signatureOf, toOnnx } from '../../training/fit/fitted-model.ts'
import { attribute } from '../../training/graph/proto.ts'

const folder = mkdtempSync(join(tmpdir(), 'fd-champion-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const schema: DatasetSchema = {
  id: { column: 'id', type: 'integer' },
  time: { column: 'at', unit: 'timestamp' },
  amount: { column: 'amount', minorUnits: 2 },
  entities: [
    { name: 'customer', column: 'customer', type: 'string' },
    { name: 'terminal', column: 'terminal', type: 'string' },
  ],
  numeric: ['x'],
  categorical: ['country', 'shop'],
}
const cardFraud = featureService('card-fraud')

/** A graph that adds `score` to the largest of a row's numbers. */
function graphOf(names: string[], score: number, categories = 0): Uint8Array {
  const first = names.length - categories
  const categorical = Array.from({ length: categories }, (_, n) => ({ feature: first + n, names: [] }))
  return toOnnx({
    names,
    categorical,
    margins: (x) => x,
    graph: (output) => ({
      constants: [{ name: 'offset', type: 'float', values: [score] }],
      nodes: [
        { opType: 'ReduceMax', input: ['features'], output: ['most'], attribute: [attribute.ints('axes', [1])] },
        { opType: 'Add', input: ['most', 'offset'], output: [output] },
      ],
    }),
  })
}

function cardOf(service: FeatureService, change: Partial<ModelCard> = {}, categories = 0): ModelCard {
  return {
    service: { name: service.name, digest: serviceDigest(service) },
    dataset: { name: 'mine', digest: 'e'.repeat(64), schema },
    holdout: { digest: 'f'.repeat(64), rows: 10 },
    signature: signatureOf(featureNames(service), Array.from({ length: categories })),
    threshold: 0.5,
    metrics: {},
    codeVersion: 'test',
    ...change,
  }
}

let registry: Registry
beforeEach(async () => {
  registry = await openRegistry(`sqlite:${mkdtempSync(join(folder, 'r-'))}`, { now: () => 1 })
})
afterEach(async () => registry[Symbol.asyncDispose]())

async function add(card: ModelCard, onnx: Uint8Array): Promise<number> {
  const { runId } = await registry.createRun('0')
  const source = await logOnnxModel(registry, runId, { onnx, signature: card.signature, now: 1 })
  return (await register(registry, { name: 'm', source, card, by: 'ann', now: 1 })).version
}

/** A version whose scores are those of its number. */
const addVersion = (score: number, change: Partial<ModelCard> = {}, service = cardFraud): Promise<number> =>
  add(cardOf(service, change), graphOf(featureNames(service), score))

async function scoreOf({ model, card }: Champion): Promise<number> {
  const numbers = new Float32Array(card.signature.features.length)
  return (await model.score({ rows: 1, numbers, categories: [] }))[0]
}

describe('a version is loaded', () => {
  test('with its card, its threshold and its scores', async () => {
    await addVersion(7)
    await using champion = await loadVersion(registry, 'm', 1)
    expect(champion).toMatchObject({ name: 'm', version: 1, threshold: { value: 0.5 }, service: cardFraud })
    expect(champion.card).toEqual(cardOf(cardFraud))
    expect(await scoreOf(champion)).toBe(7)
  })

  test('with the threshold that was set since', async () => {
    await addVersion(7)
    const card = cardOf(cardFraud)
    await setThreshold(registry, { name: 'm', version: 1, card, threshold: 0.75, by: 'eve', now: 2 })
    await using champion = await loadVersion(registry, 'm', 1)
    expect(champion.threshold).toEqual({ value: 0.75, entry: 2 })
  })

  test('with the definition that its card carries, where fd has no service of that name', async () => {
    const own = { ...cardFraud, name: 'of-nobody-else' }
    await addVersion(7, { service: serviceReference(own) }, own)
    await using champion = await loadVersion(registry, 'm', 1)
    expect(champion.service).toEqual(own)
    await addVersion(8, {}, own)
    await expect(loadVersion(registry, 'm', 2)).rejects.toThrow('No feature service "of-nobody-else"')
    const wrong = { ...own, views: [{ ...own.views[0], kind: 'other' }] }
    await addVersion(9, { service: { ...serviceReference(own), definition: wrong } }, own)
    await expect(loadVersion(registry, 'm', 3)).rejects.toThrow(/What version 3 of "m" carries is no definition/)
    const changed = { ...own, views: own.views.slice(1) }
    await addVersion(10, { service: { ...serviceReference(own), definition: changed } }, own)
    await expect(loadVersion(registry, 'm', 4)).rejects.toThrow(/another definition/)
  })

  test('with names of categories where it reads some', async () => {
    const service = featureService('attributes', schema)
    const names = featureNames(service)
    await add(cardOf(service, {}, 2), graphOf(names, 3, 2))
    await using champion = await loadVersion(registry, 'm', 1)
    const numbers = new Float32Array(names.length)
    expect([...(await champion.model.score({ rows: 1, numbers, categories: ['CH', 'a'] }))]).toEqual([3])
    await expect(champion.model.score({ rows: 1, numbers, categories: ['CH'] })).rejects.toThrow('2')
  })

  test('with codes of categories where it is of an earlier version, whose graph reads numbers alone', async () => {
    const service = featureService('attributes', schema)
    const names = featureNames(service)
    await add(cardOf(service), graphOf(names, 0))
    await using champion = await loadVersion(registry, 'm', 1)
    const input = { rows: 1, numbers: new Float32Array(names.length), categories: ['CH', 'a'] }
    const codes = input.categories.map(formerCategoryCode)
    expect([...(await champion.model.score(input))]).toEqual([Math.max(...codes)])
  })

  test.each<[string, Partial<ModelCard>]>([
    ['another definition of its service', { service: { name: 'card-fraud', digest: 'd'.repeat(64) } }],
    ['another order of features', { signature: signatureOf(featureNames(cardFraud).toReversed()) }],
    ['a feature less', { signature: signatureOf(featureNames(cardFraud).slice(1)) }],
  ])('not of %s', async (_, change) => {
    await addVersion(7, change)
    const features = (change.signature ?? cardOf(cardFraud).signature).features.join(', ')
    await expect(loadVersion(registry, 'm', 1)).rejects.toThrow(
      new UserError(
        'Version 1 of "m" was trained on another definition of service "card-fraud" than this fd computes ' +
          `(its features: ${features}). Train it again: fd train --dataset mine --register m`,
      ),
    )
  })

  test('not without a graph that can score its features', async () => {
    await add(cardOf(cardFraud), Buffer.from('no graph'))
    await add(cardOf(cardFraud), graphOf(['one'], 1))
    await expect(loadVersion(registry, 'm', 1)).rejects.toThrow(/^Version 1 of "m" is not an ONNX model/)
    await expect(loadVersion(registry, 'm', 2)).rejects.toThrow(/^Version 2 of "m" cannot score a row of 15 features/)
    await expect(loadVersion(registry, 'm', 3)).rejects.toThrow(/No version 3 of "m"/)
  })
})

/** What a watch has told, in order. */
type Told = [what: string, found: string | number][]

/** A watch that looks all the time, and what it tells. `seen` is called at each look, before the answer. */
async function watching(
  seen: () => void = () => {},
  of: Registry = registry,
  everyMs = 1,
): Promise<[ChampionWatch, Told]> {
  const told: Told = []
  const looking = {
    ...of,
    aliasVersion: (...of_: Parameters<Registry['aliasVersion']>) => (seen(), of.aliasVersion(...of_)),
  }
  const watch = await watchChampion(looking, {
    name: 'm',
    alias: 'champion',
    everyMs,
    onSwap: ({ version }) => told.push(['swap', version]),
    onThreshold: ({ threshold }) => told.push(['threshold', threshold.value]),
    onRefused: (error) => told.push(['refused', errorMessage(error)]),
  })
  return [watch, told]
}

const crown = (version: number): Promise<void> => registry.setRegisteredModelAlias('m', 'champion', version)
const said = (told: Told, count: number): Promise<void> => expect.poll(() => told.length).toBe(count)

describe('a watch over the champion', () => {
  test('there must be one at the start', async () => {
    await addVersion(1)
    await expect(watching()).rejects.toThrow(/champion/)
  })

  test('a new one replaces the old, which can score until the end', async () => {
    for (const score of [1, 2, 3]) await addVersion(score)
    await crown(1)
    const [watch, told] = await watching()
    const first = watch.current()
    expect(await scoreOf(first)).toBe(1)
    await crown(3)
    await said(told, 1)
    const second = watch.current()
    expect([second.version, await scoreOf(second), await scoreOf(first)]).toEqual([3, 3, 1])
    await crown(1)
    await said(told, 2)
    expect([watch.current().version, await scoreOf(watch.current())]).toEqual([1, 1])
    await watch[Symbol.asyncDispose]()
    expect(told).toEqual([
      ['swap', 3],
      ['swap', 1],
    ])
    for (const released of [first, second, watch.current()]) await expect(scoreOf(released)).rejects.toThrow('disposed')
  })

  test('one that cannot follow over the same state is refused, once, and released; the old one goes on', async () => {
    const other = featureService('user-anomaly')
    await addVersion(1)
    await addVersion(2, {}, other)
    const mills = { ...schema, amount: { ...schema.amount, minorUnits: 3 } }
    await addVersion(3, { dataset: { ...cardOf(cardFraud).dataset, schema: mills } })
    await addVersion(4)
    await crown(1)
    let looks = 0
    const [watch, told] = await watching(() => looks++)
    for (const [version, why] of [
      [2, 'Version 2 of "m" reads service "user-anomaly", this scorer computes "card-fraud". Start another scorer'],
      [3, 'Version 3 of "m" was trained on'],
    ] as const) {
      const before = told.length
      await crown(version)
      await said(told, before + 1)
      expect(told.at(-1)).toEqual(['refused', expect.stringContaining(why)])
      const then = looks
      await expect.poll(() => looks).toBeGreaterThan(then + 2)
      expect([told.length, watch.current().version, await scoreOf(watch.current())]).toEqual([before + 1, 1, 1])
    }
    await crown(4)
    await said(told, 3)
    expect([told.at(-1), await scoreOf(watch.current())]).toEqual([['swap', 4], 4])
    await watch[Symbol.asyncDispose]()
  })

  test('an alias that is gone, or a registry that does not answer, leaves the champion as it is', async () => {
    await addVersion(1)
    await crown(1)
    let [looks, away] = [0, '']
    const [watch, told] = await watching(() => {
      looks++
      if (away !== '') throw new Error(away)
    })
    const looked = async (): Promise<void> => {
      const before = looks
      await expect.poll(() => looks).toBeGreaterThan(before + 2)
    }
    await registry.deleteRegisteredModelAlias('m', 'champion')
    await looked()
    expect(told).toEqual([])
    for (const cause of ['away', 'full', '']) {
      away = cause
      await looked()
    }
    away = 'away'
    await looked()
    expect(told).toEqual(['away', 'full', 'away'].map((cause) => ['refused', cause]))
    expect(await scoreOf(watch.current())).toBe(1)
    await watch[Symbol.asyncDispose]()
    const end = looks
    await new Promise((resolve) => setTimeout(resolve, 60))
    expect(looks).toBe(end)
  })

  test('it ends at once, though the next look is an hour away', async () => {
    await addVersion(1)
    await crown(1)
    let looks = 0
    const [watch] = await watching(() => looks++, registry, HOUR)
    await expect.poll(() => looks).toBe(1)
    await watch[Symbol.asyncDispose]()
    await expect(scoreOf(watch.current())).rejects.toThrow('disposed')
  })

  test('a threshold that was set is taken up, and the history is not read at every look', async () => {
    await addVersion(1)
    await crown(1)
    let [looks, reads] = [0, 0]
    const counting = { ...registry, getRegisteredModel: (name: string) => (reads++, registry.getRegisteredModel(name)) }
    const [watch, told] = await watching(() => looks++, counting)
    await expect.poll(() => looks).toBeGreaterThan(20)
    expect(told).toEqual([])
    expect(reads).toBeLessThan(looks / 3)
    const card = cardOf(cardFraud)
    for (const threshold of [0.75, 0.25])
      await setThreshold(registry, { name: 'm', version: 1, card, threshold, by: 'eve', now: 2 })
    await expect.poll(() => told.at(-1)).toEqual(['threshold', 0.25])
    expect(watch.current()).toMatchObject({ version: 1, threshold: { value: 0.25, entry: 3 } })
    expect(await scoreOf(watch.current())).toBe(1)
    await watch[Symbol.asyncDispose]()
  })
})

describe('a scorer', () => {
  const START = Date.UTC(2018, 3, 1)
  let log: EventLog
  const store = () => openMemoryStore(new MemoryServer(), atOnce)
  beforeEach(() => {
    log = openMemoryLog(new MemoryBroker(), atOnce)
  })

  /** Appends a transaction of some money, so many hours after the first. */
  async function pay(id: number, amount: number, hours = id): Promise<void> {
    const batch = emptyBatch({ id: 'integer', entities: schema.entities, numeric: 1, categorical: 2 }, 1)
    batch.ids[0] = id
    batch.time[0] = START + hours * HOUR
    batch.amount[0] = amount * 100
    batch.entities[0][0] = 'c1'
    batch.entities[1][0] = 't1'
    for (const column of batch.categorical) column[0] = 'CH'
    await log.append(TRANSACTIONS, [encodeEvent(schema, batch, 0, START + id * HOUR)])
  }

  async function read(topic: string): Promise<Prediction[]> {
    const found: Prediction[] = []
    for await (const { size, bytes, valueStart, valueEnd } of log.read(topic, 0))
      for (let i = 0; i < size; i++)
        found.push(JSON.parse(bytes.toString('utf8', valueStart[i], valueEnd[i])) as Prediction)
    return found
  }

  const options = (change: Partial<ScorerOptions> = {}): ScorerOptions => ({
    model: 'm',
    alias: 'champion',
    group: 'g',
    partitions: 1,
    maxBatch: 16,
    checkpointEveryMs: 60_000,
    championEveryMs: 1,
    endWhenIdle: () => true,
    signal: new AbortController().signal,
    now: () => Date.now(),
    ...change,
  })

  test('is refused without a champion, and makes no topic', async () => {
    await addVersion(1)
    await expect(score({ log, store: store(), registry }, options())).rejects.toThrow(/champion/)
    expect(await log.topics()).toEqual([])
  })

  test('scores by the champion, and writes alerts and dead letters where its group does', async () => {
    await addVersion(-50)
    await crown(1)
    await log.createTopic(TRANSACTIONS)
    await pay(1, 20)
    await pay(2, 50.5)
    await pay(3, 60)
    // Five hours late.
    await pay(4, 10, -1)
    await log.append(TRANSACTIONS, [{ value: 'no event', timestamp: START }])
    const told: unknown[] = []
    const batches: ScoredBatch[] = []
    const topics = groupTopics({ group: 'shadow', alias: 'challenger' }, 'g')
    const onStart: ScorerOptions['onStart'] = ({ version }, base) => told.push([version, base])
    await score(
      { log, store: store(), registry },
      options({ topics, onStart, onBatch: (batch) => batches.push(batch) }),
    )
    expect(told).toEqual([[1, undefined]])
    const predictions = await read(PREDICTIONS)
    expect(predictions.map(({ transaction_id: id, score: found, decision }) => [id, found, decision])).toEqual([
      [1, -30, 'approve'],
      // At the threshold itself.
      [2, 0.5, 'alert'],
      [3, 10, 'alert'],
      [4, -40, 'approve'],
    ])
    expect(predictions[0]).toMatchObject({ model: { name: 'm', version: 1 }, threshold: 0.5, group: 'g' })
    expect(predictions.map(({ late }) => late)).toEqual([undefined, undefined, undefined, true])
    expect(await read('fraud_alerts.shadow')).toEqual(predictions.slice(1, 3))
    expect((await read('transactions.dlq.shadow')).map(({ input }) => input)).toEqual([{ partition: 0, offset: 4 }])
    expect((await log.topics()).map(({ name }) => name).toSorted()).toEqual(
      ['fraud_alerts.shadow', PREDICTIONS, TRANSACTIONS, 'transactions.dlq.shadow'].toSorted(),
    )
    const sum = (key: 'scored' | 'alerts' | 'late' | 'rejected' | 'truncated'): number =>
      batches.reduce((total, batch) => total + batch[key], 0)
    expect([sum('scored'), sum('alerts'), sum('late'), sum('rejected'), sum('truncated')]).toEqual([4, 2, 1, 1, 0])
    expect(batches.flatMap(({ timestamps }) => [...timestamps])).toEqual([1, 2, 3, 4].map((n) => START + n * HOUR))
  })

  test('all topics are there before the first record', async () => {
    await addVersion(1)
    await crown(1)
    await score({ log, store: store(), registry }, options())
    expect((await log.topics()).map(({ name }) => name).toSorted()).toEqual(
      [FRAUD_ALERTS, PREDICTIONS, TRANSACTIONS, DEAD_LETTERS].toSorted(),
    )
  })

  test('takes up a new champion and a new threshold while it runs, and tells of one that it refuses', async () => {
    await addVersion(0)
    await addVersion(-100)
    await addVersion(3, {}, featureService('user-anomaly'))
    await crown(1)
    const told: Told = []
    const end = new AbortController()
    const running = score(
      { log, store: store(), registry },
      options({
        endWhenIdle: () => false,
        signal: end.signal,
        onSwap: ({ version }) => told.push(['swap', version]),
        onThreshold: ({ threshold }) => told.push(['threshold', threshold.value]),
        onRefused: (error) => told.push(['refused', errorMessage(error)]),
        onStart: () => told.push(['start', 1]),
      }),
    )
    await said(told, 1)
    const scored = async (count: number): Promise<Prediction> => {
      await expect.poll(async () => (await read(PREDICTIONS)).length).toBe(count)
      return (await read(PREDICTIONS))[count - 1]
    }
    await pay(1, 20)
    expect(await scored(1)).toMatchObject({ model: { name: 'm', version: 1 }, score: 20, threshold: 0.5 })
    await crown(2)
    await said(told, 2)
    await pay(2, 20)
    expect(await scored(2)).toMatchObject({ model: { name: 'm', version: 2 }, score: -80, decision: 'approve' })
    const card = cardOf(cardFraud)
    await setThreshold(registry, { name: 'm', version: 2, card, threshold: -90, by: 'eve', now: 2 })
    await said(told, 3)
    await pay(3, 20)
    expect(await scored(3)).toMatchObject({ score: -80, decision: 'alert', threshold: -90, threshold_entry: 4 })
    await crown(3)
    await said(told, 4)
    await pay(4, 20)
    expect(await scored(4)).toMatchObject({ model: { name: 'm', version: 2 } })
    end.abort()
    await running
    expect(told).toEqual([
      ['start', 1],
      ['swap', 2],
      ['threshold', -90],
      ['refused', expect.stringContaining('Version 3 of "m" reads service "user-anomaly"')],
    ])
  })
})
