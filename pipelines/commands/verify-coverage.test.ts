import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { loadConfig } from '../../configs/config.ts'
import { openDataset } from '../../datasets/catalog.ts'
import { simulateToParquet } from '../../datasets/simulator/simulator.ts'
import { cardFraud } from '../../features/definition/card-fraud.ts'
import { openOnlineStore } from '../../features/open.ts'
import type { ParityBase } from '../../features/parity/parity.ts'
import type { Origin } from '../../features/parity/served.ts'
import type { History } from '../../features/store/online-store.ts'
import { serviceDigest } from '../../features/view/view.ts'
import { openRegistry } from '../../registry/open.ts'
import { coverOrigins, type CoverageParts } from './verify-coverage.ts'

const UNTIL = Date.UTC(2018, 3, 3)

let folder: string
let file: string
let digest: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fd-coverage-'))
  file = join(folder, 'simulated.parquet')
  const people = { customers: 50, terminals: 50 }
  await simulateToParquet({ ...people, days: 4, seed: 1, start: Date.UTC(2018, 3, 1) }, file, () => {})
  digest = await (await openDataset('simulated', loadConfig(undefined, {}), { data: file })).digest()
})
afterAll(() => rm(folder, { recursive: true, force: true }))

interface Parts extends CoverageParts, AsyncDisposable {}

/** A registry in which version 2 of model "m" is of another definition, and a store with five bases. */
async function openParts(name: string): Promise<Parts> {
  await using stack = new AsyncDisposableStack()
  const store = stack.use(await openOnlineStore(`lmdb:${join(folder, name)}`))
  const registry = stack.use(await openRegistry(`sqlite:${join(folder, `${name}-registry`)}`, { now: Date.now }))
  const { runId } = await registry.createRun(await registry.createExperiment('e'), {})
  await registry.logArtifact(runId, 'model/note', Buffer.from('no model'))
  await registry.createRegisteredModel('m')
  for (const known of [serviceDigest(cardFraud), 'other'])
    await registry.createModelVersion({
      name: 'm',
      source: `runs:/${runId}/model`,
      tags: { 'fd.service.digest': known },
    })
  const history: History = { dataset: 'simulated', file, fileDigest: digest, transactions: 1 }
  const base = { service: cardFraud.name, serviceDigest: serviceDigest(cardFraud), watermark: UNTIL, minorUnits: 2 }
  for (const draft of [
    { ...base, history: { ...history, until: UNTIL } },
    { ...base, serviceDigest: 'other', history },
    { ...base, history: { ...history, fileDigest: 'of an older file' } },
    { ...base, history: { ...history, sort: true as const } },
    base,
  ])
    await store.publish(draft, [])
  const owned = stack.move()
  return { store, registry, config: loadConfig(undefined, {}), [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

const origin = (base: number | undefined, version?: number): Origin => ({
  base,
  model: version === undefined ? undefined : { name: 'm', version },
  predictions: 7,
})

/** What is compared on, with the dataset by its file. */
function shown(base: ParityBase | string | undefined): unknown {
  if (base === undefined || typeof base === 'string') return base
  const { dataset, ...history } = base.history ?? {}
  return { version: base.version, file: dataset?.file, ...history }
}

test('predictions are compared on their base, or it is said why not', async () => {
  await using parts = await openParts('all')
  const origins = [0, 1, 2, 3, 4, 5, 9].map((base) => origin(base))
  const coverage = await coverOrigins(parts, cardFraud, origins)
  expect(origins.map((each) => shown(coverage.get(each)))).toEqual([
    { version: 0, file: undefined },
    { version: 1, file, fileDigest: digest, until: UNTIL },
    expect.stringMatching(/^Definition changed: base 2 was backfilled with another definition of service "card-fraud"/),
    expect.stringMatching(/simulated\.parquet has changed since it was backfilled.* Put the old file back/),
    { version: 4, file, fileDigest: digest, sort: true },
    { version: 5, file: undefined },
    'Base 9 was published by an older fd, which kept no record of its history.',
  ])
})

test('a model of another definition is called that; one that was removed says nothing', async () => {
  await using parts = await openParts('models')
  const origins = [origin(1, 1), origin(1, 2), origin(1, 3)]
  const coverage = await coverOrigins(parts, cardFraud, origins)
  expect(origins.map((each) => shown(coverage.get(each)))).toEqual([
    { version: 1, file, fileDigest: digest, until: UNTIL },
    expect.stringMatching(/^Definition changed: version 2 of "m" was trained on another definition of service/),
    { version: 1, file, fileDigest: digest, until: UNTIL },
  ])
})

test('predictions without a base count as made on the oldest that others name, else on the newest', async () => {
  await using parts = await openParts('unnamed')
  const unnamed = origin(undefined)
  const among = await coverOrigins(parts, cardFraud, [unnamed, origin(4), origin(1)])
  expect(shown(among.get(unnamed))).toMatchObject({ version: 1 })
  expect(shown((await coverOrigins(parts, cardFraud, [unnamed])).get(unnamed))).toMatchObject({ version: 5 })
})

test('where nothing can be compared, the first reason is the error', async () => {
  await using parts = await openParts('none')
  await expect(coverOrigins(parts, cardFraud, [origin(2), origin(3)])).rejects.toThrow(/^Definition changed: base 2/)
})
