import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { UserError } from '../../configs/user-error.ts'
import { logOnnxModel } from '../ml-model.ts'
import type { ModelCard } from '../model-card.ts'
import type { Tags } from '../model.ts'
import { openRegistry } from '../open.ts'
import { linesOf, seeded, startWriter } from '../registry.contract.ts'
import type { Registry } from '../registry.ts'
import { sampleCard } from '../testing/sample-card.ts'
import {
  averagePrecisionGate,
  parityGate,
  signatureGate,
  streamGate,
  type Compare,
  type Comparison,
  type Gate,
} from './gate.ts'
import { history, historyOf, holders, type History } from './history.ts'
import { promote, register, rollback, type Verdict } from './promotion.ts'

const parent = mkdtempSync(join(tmpdir(), 'fd-promotion-'))
afterAll(() => rmSync(parent, { recursive: true, force: true }))

const service = { name: 'card-fraud', digest: 'd'.repeat(64), features: ['tx_amount', 'tx_during_night'] }
/** The difference of the recorded figures, as if no resample changed it. */
const recorded: Compare = async (own, other) => {
  const [mine, theirs] = [own, other].map(({ card }) => card?.metrics['average_precision'] ?? Number.NaN)
  return { ...JUDGED, candidate: mine, champion: theirs, low: mine - theirs, high: mine - theirs }
}
const JUDGED = { rows: 100, frauds: 7, unit: 'customer' }
const gates = (compare: Compare = recorded): Gate[] => [
  averagePrecisionGate({ compare }),
  parityGate(),
  signatureGate(service),
]

function card(averagePrecision: number, change: Partial<ModelCard> = {}): ModelCard {
  return sampleCard({
    service: { name: service.name, digest: service.digest },
    signature: {
      features: service.features,
      input: { name: 'x', dtype: 'float32', shape: [-1, 2] },
      outputs: [{ name: 'score', dtype: 'float32', shape: [-1] }],
    },
    metrics: { average_precision: averagePrecision, onnx_parity: 1e-7 },
    ...change,
  })
}

function failing(error: Error): Gate {
  return { name: 'g', judge: () => Promise.reject(error) }
}

let url: string
let registry: Registry
let source: string

beforeEach(async () => {
  url = `sqlite:${mkdtempSync(join(parent, 'r-'))}`
  registry = await openRegistry(url, { now: () => 1 })
  const { runId } = await registry.createRun('0')
  source = await logOnnxModel(registry, runId, { onnx: Buffer.from('graph'), signature: card(0).signature, now: 1 })
})
afterEach(async () => registry[Symbol.asyncDispose]())

const add = (value: ModelCard): ReturnType<typeof register> =>
  register(registry, { name: 'm', source, card: value, by: 'ann', reason: 'nightly', now: 10 })
const move = (
  version: number,
  options: { gates?: Gate[]; force?: boolean; reason?: string; alias?: string; by?: string; now?: number } = {},
): Promise<Verdict> =>
  promote(registry, { name: 'm', version, alias: 'champion', gates: gates(), by: 'bob', now: 20, ...options })
const back = (): Promise<{ from: number | undefined; to: number }> =>
  rollback(registry, { name: 'm', alias: 'champion', by: 'eve', reason: 'alerts doubled', now: 30 })
const champion = (): Promise<number | undefined> => registry.aliasVersion('m', 'champion')

describe('gates', () => {
  test('the first champion needs parity and signature only', async () => {
    await add(card(0.1))
    const verdict = await move(1)
    expect(verdict).toMatchObject({ passed: true, outcome: 'promoted', previous: undefined, version: 1 })
    expect(verdict.checks.map(({ gate, passed }) => [gate, passed])).toEqual([
      ['average precision', true],
      ['onnx parity', true],
      ['signature', true],
    ])
    expect(await champion()).toBe(1)
  })

  test.each([
    [-0.002, 0.01, true, 'in 95 % of resamples −0.0020 to +0.0100: no loss above 0.002 ('],
    [-0.002 - 2 ** -60, 0.01, false, 'a loss above 0.002 cannot be excluded'],
    [-0.0019, 0.02, true, 'no loss above 0.002'],
    [-0.0021, 0.09, false, '−0.0021 to +0.0900: a loss above 0.002 cannot be excluded'],
    [-0.03, -0.01, false, 'worse'],
    [0, 0, true, 'no loss above 0.002'],
    [0.001, 0.02, true, 'better'],
    [Number.NaN, Number.NaN, false, 'NaN'],
  ])('an interval of the difference from %d to %d passes: %s', async (low, high, passed, detail) => {
    await add(card(0.66))
    await add(card(0.67))
    await move(1)
    const verdict = await move(2, {
      gates: gates(async () => ({ ...JUDGED, candidate: 0.67, champion: 0.66, low, high })),
    })
    expect(verdict.outcome).toBe(passed ? 'promoted' : 'refused')
    expect(verdict.checks[0]).toMatchObject({ passed, detail: expect.stringContaining(detail) as string })
    expect(verdict.checks[0].detail).toMatch(
      /^0\.6700 against 0\.6600 of version 1, difference \+0\.0100.*100 rows with 7 frauds.*drawn by customer/,
    )
    expect(await champion()).toBe(passed ? 2 : 1)
  })

  test('a candidate reads the records that the champion reads', async () => {
    const { dataset } = card(0.6)
    const { schema } = dataset
    const mills = { ...dataset, schema: { ...schema, amount: { ...schema.amount, minorUnits: 3 } } }
    await add(card(0.6))
    await add(card(0.6))
    await add(card(0.6, { dataset: mills }))
    const judged = async (version: number): Promise<[passed: boolean, detail: string]> => {
      const { checks } = await move(version, { gates: [streamGate()] })
      return [checks[0].passed, checks[0].detail]
    }
    expect(await judged(1)).toEqual([true, 'no champion whose stream it must read'])
    expect(await judged(2)).toEqual([true, 'reads the records that version 1 reads'])
    expect(await judged(3)).toEqual([false, expect.stringMatching(/^version 3 was trained on .* amount is /)])
    expect(await champion()).toBe(2)
  })

  test('a champion that fd did not register has no stream to hold a candidate to', async () => {
    await add(card(0.6))
    await registry.createModelVersion({ name: 'm', source })
    await registry.setRegisteredModelAlias('m', 'champion', 2)
    expect(await move(1, { gates: [streamGate()] })).toMatchObject({ outcome: 'promoted', previous: 2 })
  })

  test('differences of the graph are told with three digits', async () => {
    await add(card(0.6, { metrics: { average_precision: 0.6, onnx_parity: 5.960464477539063e-8 } }))
    const { checks } = await move(1, { gates: [parityGate()] })
    expect(checks[0].detail).toBe('scores differ by at most 5.96e-8, 0.000001 is allowed')
  })

  test('what stands already is left as it stands, and no gate is asked', async () => {
    await add(card(0.6))
    await move(1)
    expect(await move(1, { gates: [failing(new Error('asked'))] })).toEqual({
      passed: true,
      checks: [],
      outcome: 'unchanged',
      alias: 'champion',
      version: 1,
      previous: 1,
    })
  })

  test('the margin can be another', async () => {
    const found: Comparison = { ...JUDGED, candidate: 0.6, champion: 0.61, low: -0.03, high: 0.01 }
    await add(card(0.61))
    await add(card(0.6))
    await move(1)
    const at = async (margin: number): Promise<string> =>
      (await move(2, { gates: [averagePrecisionGate({ margin, compare: async () => found })] })).outcome
    expect([await at(0.02), await at(0.03)]).toEqual(['refused', 'promoted'])
  })

  test('all gates report, whatever the first says, and nothing is written', async () => {
    await add(card(0.7))
    await add(card(0.1, { metrics: {}, service: { name: 'other', digest: 'x' } }))
    await move(1)
    const before = await history(registry, 'm')
    const { checks, outcome } = await move(2)
    expect(outcome).toBe('refused')
    expect(checks.map(({ passed }) => passed)).toEqual([false, false, false])
    expect(checks[1].detail).toMatch(/recorded no onnx_parity.*fd train/)
    expect(await history(registry, 'm')).toEqual(before)
  })

  test('a version that has no average precision is not comparable', async () => {
    await add(card(0.6))
    await add(card(0.7, { metrics: { onnx_parity: 0 } }))
    await move(1)
    expect((await move(2)).checks[0]).toMatchObject({
      passed: false,
      detail: expect.stringMatching(
        /^not comparable: version 2.*fd models promote m 2 --force --reason TEXT/,
      ) as string,
    })
  })

  test('a UserError of a gate is a refusal, any other error a bug', async () => {
    await add(card(0.7))
    expect(await move(1, { gates: [failing(new UserError('no file x.csv'))] })).toMatchObject({
      outcome: 'refused',
      checks: [{ gate: 'g', passed: false, detail: 'no file x.csv' }],
    })
    await expect(move(1, { gates: [failing(new TypeError('bug'))], force: true, reason: 'r' })).rejects.toThrow(
      TypeError,
    )
  })

  test.each([
    ['order', { features: ['tx_during_night', 'tx_amount'] }, {}, /input 0 is tx_during_night.*has tx_amount/],
    ['a feature more', { features: [...service.features, 'v1'] }, {}, /input 2 is v1.*has nothing/],
    ['a feature less', { features: ['tx_amount'] }, {}, /reads 1 features.*has 2/],
    [
      'another definition',
      {},
      { service: { name: service.name, digest: 'changed' } },
      /has changed since training \(changed, now dddddddd\)/,
    ],
    [
      'another service',
      {},
      { service: { name: 'kaggle-cc', digest: 'x' } },
      /trained for service kaggle-cc, not card-fraud/,
    ],
  ])('signature: %s is refused', async (_, signature, change, detail) => {
    const given = card(0.7, change)
    await add({ ...given, signature: { ...given.signature, ...signature } })
    expect((await move(1)).checks[2]).toMatchObject({ passed: false, detail: expect.stringMatching(detail) as string })
  })

  test.each([
    [1e-6, true],
    [1.1e-6, false],
    [Number.NaN, false],
  ])('parity of %d: passes %s', async (onnx_parity, passed) => {
    await add(card(0.7, { metrics: { onnx_parity } }))
    await add(card(0.7, { metrics: { onnx_parity, onnx_relative_parity: 0 } }))
    expect((await move(1)).checks[1].passed).toBe(passed)
    expect((await move(2)).checks[1].passed).toBe(passed)
  })

  test.each([
    [1e-4, true],
    [1.0001e-4, false],
    [1.11, false],
    [Number.NaN, false],
  ])('parity of %d of the score: passes %s', async (onnx_relative_parity, passed) => {
    await add(card(0.7, { metrics: { onnx_parity: 1e-9, onnx_relative_parity } }))
    expect((await move(1)).checks[1].passed).toBe(passed)
  })
})

describe('promotion', () => {
  test('force moves against a refusal, with a reason, and the history says so', async () => {
    await add(card(0.7))
    await add(card(0.6))
    await move(1)
    await expect(move(2, { force: true })).rejects.toThrow(/needs a reason.*--reason TEXT/)
    await expect(move(2, { force: true, reason: '  ' })).rejects.toThrow(UserError)
    expect(await move(2, { force: true, reason: 'labels were wrong' })).toMatchObject({
      passed: false,
      outcome: 'forced',
      previous: 1,
    })
    const last = (await history(registry, 'm')).entries.at(-1)
    expect(last).toMatchObject({
      event: 'promoted',
      version: 2,
      from: 1,
      forced: true,
      by: 'bob',
      reason: 'labels were wrong',
      at: 20,
      checks: [{ gate: 'average precision', passed: false }, { passed: true }, { passed: true }],
    })
  })

  test('force where nothing refuses is a promotion like any other', async () => {
    await add(card(0.7))
    expect((await move(1, { force: true, reason: 'r' })).outcome).toBe('promoted')
  })

  test('promoting the holder changes nothing', async () => {
    await add(card(0.7))
    await move(1)
    const before = await history(registry, 'm')
    expect((await move(1)).outcome).toBe('unchanged')
    expect(await history(registry, 'm')).toEqual(before)
  })

  test('what does not exist is named', async () => {
    await expect(move(1)).rejects.toThrow(/No registered model "m"/)
    await add(card(0.7))
    await expect(move(2)).rejects.toThrow(/No version 2 of "m"; there is 1/)
    await expect(move(1, { alias: 'latest' })).rejects.toThrow(/"latest"/)
    await registry.createModelVersion({ name: 'm', source })
    await expect(move(2)).rejects.toThrow(/does not carry what fd needs[^]*fd train --register m/)
  })

  test('a champion moved while the gates judge is judged against', async () => {
    for (const value of [0.6, 0.7, 0.8]) await add(card(value))
    await move(1)
    const seen: (number | undefined)[] = []
    const interrupting: Gate = {
      name: 'slow',
      async judge(_, old) {
        seen.push(old?.version.version)
        if (seen.length === 1) await move(3)
        return { gate: 'slow', passed: true, detail: '' }
      },
    }
    const verdict = await move(2, { gates: [interrupting, ...gates()] })
    expect(seen).toEqual([1, 3])
    expect(verdict).toMatchObject({ outcome: 'refused', previous: 3 })
    expect(await champion()).toBe(3)
  })

  test('two processes promoting at once leave a whole, ordered history', async () => {
    await add(card(0.7))
    const printed = (
      await Promise.all([0, 1].map(() => linesOf(startWriter(url, 'versions', 'm', source, '15', 'champion'))))
    )
      .flat()
      .filter((line) => line !== 'open')
    expect(printed.map((line) => Number(line.split(' ')[0])).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 30 }, (_, index) => index + 2),
    )
    const { entries, unrecorded } = await history(registry, 'm')
    expect(entries.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 31 }, (_, index) => index + 1))
    let holder: number | undefined
    for (const entry of entries.slice(1)) {
      expect(entry).toMatchObject({ event: 'promoted', alias: 'champion' })
      expect('from' in entry ? entry.from : undefined).toBe(holder)
      holder = entry.version
    }
    expect(await champion()).toBe(holder)
    expect(unrecorded).toEqual([])
  })
})

describe('rollback', () => {
  test('goes one step back, again further, and a promotion continues from there', async () => {
    for (const value of [0.5, 0.6, 0.7, 0.8]) await add(card(value))
    for (const version of [1, 2, 3]) await move(version)
    expect(await back()).toEqual({ from: 3, to: 2 })
    expect(await back()).toEqual({ from: 2, to: 1 })
    await expect(back()).rejects.toThrow(
      'Nothing to roll back to: champion of "m" stands at version 1, and none held it before. See: fd models history m',
    )
    await move(4)
    expect(await back()).toEqual({ from: 4, to: 1 })
    expect(await champion()).toBe(1)
    expect((await history(registry, 'm')).entries.at(-1)).toMatchObject({
      event: 'rolled back',
      from: 4,
      version: 1,
      by: 'eve',
      reason: 'alerts doubled',
      at: 30,
    })
  })

  test('aliases have stacks of their own', async () => {
    for (const value of [0.5, 0.6]) await add(card(value))
    await move(1)
    await move(2, { alias: 'challenger' })
    await expect(back()).rejects.toThrow(/Nothing to roll back to/)
    await move(2)
    expect(await back()).toEqual({ from: 2, to: 1 })
    expect(await registry.aliasVersion('m', 'challenger')).toBe(2)
  })

  test('passes over deleted versions', async () => {
    for (const value of [0.5, 0.6, 0.7]) await add(card(value))
    for (const version of [1, 2, 3]) await move(version)
    await registry.deleteModelVersion('m', 2)
    expect(await back()).toEqual({ from: 3, to: 1 })
  })

  test('an alias moved or removed by another tool is shown, and goes back to the last recorded holder', async () => {
    for (const value of [0.5, 0.6, 0.7]) await add(card(value))
    for (const version of [1, 2]) await move(version)
    await registry.setRegisteredModelAlias('m', 'champion', 3)
    expect((await history(registry, 'm')).unrecorded).toEqual([{ alias: 'champion', recorded: 2, actual: 3 }])
    expect(await back()).toEqual({ from: 3, to: 2 })
    expect((await history(registry, 'm')).unrecorded).toEqual([])
    await registry.deleteRegisteredModelAlias('m', 'champion')
    expect(await back()).toEqual({ from: undefined, to: 2 })
    expect(await back()).toEqual({ from: 2, to: 1 })
  })

  test('a holder that another tool set is gone back to like any other, once a promotion has found it', async () => {
    for (const value of [0.5, 0.6, 0.7]) await add(card(value))
    await move(1)
    await registry.setRegisteredModelAlias('m', 'champion', 2)
    await move(3)
    expect(await back()).toEqual({ from: 3, to: 2 })
    expect(await back()).toEqual({ from: 2, to: 1 })
  })

  test('without any holder there is nothing to go back to', async () => {
    await add(card(0.5))
    await expect(back()).rejects.toThrow('champion of "m" is not set')
    await expect(rollback(registry, { name: 'x', alias: 'champion', by: 'b', now: 1 })).rejects.toThrow(
      /No registered model "x"/,
    )
  })

  test('equals a naive undo on random sequences', async () => {
    const random = seeded(3)
    for (const value of [0.5, 0.6, 0.7]) await add(card(value))
    const naive: number[] = []
    for (let step = 0; step < 60; step++) {
      if (random() < 0.45 && naive.length > 1) {
        naive.pop()
        await back()
      } else {
        const version = 1 + Math.floor(random() * 3)
        if (version !== naive.at(-1)) naive.push(version)
        await move(version, { force: true, reason: 'r' })
      }
      expect(await champion()).toBe(naive.at(-1))
    }
    expect(holders(await history(registry, 'm'), 'champion')).toEqual(naive)
  })
})

describe('history', () => {
  test('says who registered and moved what, when and why, oldest first', async () => {
    await add(card(0.5))
    await move(1, { reason: 'first' })
    const { entries }: History = await history(registry, 'm')
    expect(entries).toMatchObject([
      { sequence: 1, event: 'registered', version: 1, by: 'ann', reason: 'nightly', at: 10 },
      {
        sequence: 2,
        event: 'promoted',
        alias: 'champion',
        version: 1,
        by: 'bob',
        reason: 'first',
        at: 20,
        forced: false,
      },
    ])
    expect(Object.keys((await registry.getRegisteredModel('m')).tags)).toEqual([
      'fd.history.000001',
      'fd.history.000002',
    ])
  })

  test('each entry carries the hash of the one before it, and the newest hash stands for all', async () => {
    await add(card(0.5))
    await move(1)
    const { entries, head, broken } = await history(registry, 'm')
    const tags = Object.values((await registry.getRegisteredModel('m')).tags)
    let hash = '0'.repeat(64)
    for (const [index, text] of tags.entries()) {
      expect(JSON.parse(text)).toMatchObject({ previous: hash })
      hash = createHash('sha256').update(`${hash}\n${text}`).digest('hex')
      expect(entries[index].hash).toBe(hash)
    }
    expect({ head, broken }).toEqual({ head: hash, broken: undefined })
  })

  test('whatever is done to one entry breaks the chain there or right after it', async () => {
    for (const value of [0.5, 0.6, 0.7]) await add(card(value))
    for (const version of [1, 2, 3]) await move(version)
    const model = await registry.getRegisteredModel('m')
    const keys = Object.keys(model.tags)
    const forged = (change: (tags: Tags) => void): History => {
      const tags = { ...model.tags }
      change(tags)
      return historyOf({ ...model, tags })
    }
    expect(forged(() => undefined).broken).toBeUndefined()
    for (const [index, key] of keys.slice(0, -1).entries()) {
      const next = index + 2
      const changed = forged((tags) => (tags[key] = tags[key].replace(/"by":"\w+"/, '"by":"mallory"')))
      expect(changed.broken).toEqual({
        sequence: next,
        why: expect.stringMatching(/one of the two was changed/) as string,
      })
      expect(forged((tags) => delete tags[key]).broken).toEqual({ sequence: index + 1, why: 'is missing' })
      const swapped = forged((tags) => ([tags[key], tags[keys[index + 1]]] = [tags[keys[index + 1]], tags[key]]))
      expect(swapped.broken?.sequence).toBe(index + 1)
      const bare = forged(
        (tags) =>
          (tags[keys[index + 1]] = JSON.stringify({ ...JSON.parse(tags[keys[index + 1]]), previous: undefined })),
      )
      expect(bare.broken?.sequence).toBe(next)
    }
    expect(forged((tags) => delete tags[keys[5]]).head).not.toBe(historyOf(model).head)
  })

  test('entries of an fd before the chain are read, and sealed by the next one', async () => {
    await add(card(0.5))
    await registry.createRegisteredModel('old')
    for (const value of [0.5, 0.6]) {
      const given = await registry.getModelVersion('m', 1)
      await registry.createModelVersion({
        name: 'old',
        source,
        tags: { ...given.tags, 'fd.metric.average_precision': `${value}` },
      })
    }
    const written = [
      { event: 'registered', version: 1, at: 1, by: 'ann' },
      { event: 'promoted', alias: 'champion', version: 1, forced: false, checks: [], at: 2, by: 'ann' },
    ]
    for (const [index, event] of written.entries()) {
      const tag = { key: `fd.history.00000${index + 1}`, value: JSON.stringify(event) }
      await registry.addRegisteredModelTag(
        'old',
        tag,
        index === 0 ? undefined : { alias: 'champion', expected: undefined, version: 1 },
      )
    }
    expect(await history(registry, 'old')).toMatchObject({ entries: written, broken: undefined, unrecorded: [] })
    await promote(registry, { name: 'old', version: 2, alias: 'champion', gates: [], by: 'bob', now: 3 })
    const model = await registry.getRegisteredModel('old')
    expect(historyOf(model)).toMatchObject({ broken: undefined, unrecorded: [] })
    const tags = { ...model.tags, 'fd.history.000001': model.tags['fd.history.000001'].replace('ann', 'eve') }
    expect(historyOf({ ...model, tags }).broken).toMatchObject({ sequence: 3 })
  })

  test('an entry fits what an MLflow server keeps of a param, whatever the gates and people say', async () => {
    await add(card(0.5))
    const wordy = Array.from({ length: 8 }, (_, index): Gate => ({
      name: `gate ${index}`,
      judge: async () => ({ gate: `gate ${index}`, passed: true, detail: 'x'.repeat(10_000) }),
    }))
    await expect(move(1, { reason: 'x'.repeat(1_001) })).rejects.toThrow(/1001 characters.*1000/)
    const long = { name: 'm', by: 'ann', reason: 'x'.repeat(1_001), now: 1 }
    const refused = /1001 characters.*1000/
    await expect(rollback(registry, { ...long, alias: 'champion' })).rejects.toThrow(refused)
    await expect(register(registry, { ...long, source, card: card(0.6) })).rejects.toThrow(refused)
    await expect(registry.getModelVersion('m', 2)).rejects.toThrow(UserError)
    expect((await move(1, { gates: wordy, reason: 'x'.repeat(1_000) })).outcome).toBe('promoted')
    const longest = Math.max(...Object.values((await registry.getRegisteredModel('m')).tags).map((text) => text.length))
    expect(longest).toBeGreaterThan(5_000)
    expect(longest).toBeLessThan(5_800)
  })

  test('a registration whose entry is never written says that the version is there', async () => {
    const losing: Registry = { ...registry, addRegisteredModelTag: async () => false }
    await expect(register(losing, { name: 'm', source, card: card(0.5), by: 'ann', now: 1 })).rejects.toThrow(
      /Version 1 is registered and can be promoted, but the history does not say by whom/,
    )
    expect((await registry.getModelVersion('m', 1)).version).toBe(1)
  })

  test('an entry spoilt by another tool is named', async () => {
    await add(card(0.5))
    await registry.addRegisteredModelTag('m', { key: 'fd.history.000002', value: '{"event":"party"}' })
    await expect(history(registry, 'm')).rejects.toThrow(/fd\.history\.000002.*party/)
  })
})

test('entries are read in the order of their numbers, whatever the order of the tags', async () => {
  for (const version of [1, 2, 3]) await add(card(0.6 + version / 100))
  await move(2)
  const model = await registry.getRegisteredModel('m')
  const tags = Object.fromEntries(Object.entries(model.tags).toReversed())
  expect(historyOf({ ...model, tags })).toEqual(historyOf(model))
  expect(historyOf(model).entries.map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4])
})

test.each(['fd.history.1x', 'fd.history.x1', 'fd.history.'])('a tag %s is no entry, and is named', async (key) => {
  await add(card(0.6))
  const model = await registry.getRegisteredModel('m')
  const tags = { ...model.tags, [key]: model.tags['fd.history.000001'] }
  expect(() => historyOf({ ...model, tags })).toThrow(`Tag "${key}" of "m" is not an entry`)
})
