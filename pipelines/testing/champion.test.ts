import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { errorMessage, UserError } from '../../configs/user-error.ts'
import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import { featureService } from '../../features/catalog.ts'
import { featureNames, serviceDigest, type FeatureService } from '../../features/view/view.ts'
import { logOnnxModel } from '../../registry/ml-model.ts'
import type { ModelCard } from '../../registry/model-card.ts'
import { openRegistry } from '../../registry/open.ts'
import { register } from '../../registry/promotion/promotion.ts'
import { setThreshold } from '../../registry/promotion/threshold.ts'
import type { Registry } from '../../registry/registry.ts'
import { loadVersion, watchChampion, type Champion, type ChampionWatch } from '../../serving/model/champion.ts'
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

  test('with names of categories where it reads some', async () => {
    const service = featureService('attributes', schema)
    const names = featureNames(service)
    await add(cardOf(service, {}, 2), graphOf(names, 3, 2))
    await using champion = await loadVersion(registry, 'm', 1)
    const numbers = new Float32Array(names.length)
    expect([...(await champion.model.score({ rows: 1, numbers, categories: ['CH', 'a'] }))]).toEqual([3])
    await expect(champion.model.score({ rows: 1, numbers, categories: ['CH'] })).rejects.toThrow('2')
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
async function watching(seen: () => void = () => {}, of: Registry = registry): Promise<[ChampionWatch, Told]> {
  const told: Told = []
  const looking = {
    ...of,
    aliasVersion: (...of_: Parameters<Registry['aliasVersion']>) => (seen(), of.aliasVersion(...of_)),
  }
  const watch = await watchChampion(looking, {
    name: 'm',
    alias: 'champion',
    everyMs: 1,
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
