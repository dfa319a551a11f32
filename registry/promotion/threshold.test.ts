import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { openRegistry } from '../open.ts'
import { sampleCard } from '../testing/sample-card.ts'
import { history } from './history.ts'
import { register } from './promotion.ts'
import { presentThreshold, setThreshold, thresholdsOf } from './threshold.ts'

const folder = mkdtempSync(join(tmpdir(), 'fd-threshold-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const card = sampleCard({ alertsPerDay: 100 })

test('a threshold is a fact of its version with history; the version keeps its own', async () => {
  await using registry = await openRegistry(`sqlite:${folder}`, { now: () => 1 })
  const { runId } = await registry.createRun('0')
  await registry.logArtifact(runId, 'model/model.onnx', Buffer.from('graph'))
  for (const by of ['ann', 'bob']) {
    await register(registry, { name: 'm', source: `runs:/${runId}/model`, card, by, now: 1 })
  }
  const of = async (version: number) => presentThreshold(await registry.getRegisteredModel('m'), version, card)
  const tags = (await registry.getModelVersion('m', 2)).tags
  expect(await of(2)).toEqual({ value: 0.5, alertsPerDay: 100 })
  const set = { name: 'm', version: 2, card, by: 'eve', now: 7 }
  const before = await setThreshold(registry, { ...set, threshold: 0.7, alertsPerDay: 40, reason: 'fewer hands' })
  expect(before).toEqual({ value: 0.5, alertsPerDay: 100 })
  expect(await of(2)).toEqual({ value: 0.7, alertsPerDay: 40, entry: 3 })
  await Promise.all([0.8, 0.9].map((threshold) => setThreshold(registry, { ...set, threshold })))
  const { entries, unrecorded } = await history(registry, 'm')
  expect(unrecorded).toEqual([])
  expect(entries.slice(2)).toMatchObject([
    {
      event: 'threshold',
      version: 2,
      from: 0.5,
      threshold: 0.7,
      alertsPerDay: 40,
      by: 'eve',
      at: 7,
      reason: 'fewer hands',
    },
    { event: 'threshold', from: 0.7, sequence: 4 },
    { event: 'threshold', sequence: 5 },
  ])
  const all = thresholdsOf(await registry.getRegisteredModel('m'), 2, card)
  expect(all.map(({ entry }) => entry)).toEqual([5, 4, 3, undefined])
  expect(new Set(all.map(({ value }) => value))).toEqual(new Set([0.5, 0.7, 0.8, 0.9]))
  expect(await of(1)).toEqual({ value: 0.5, alertsPerDay: 100 })
  expect((await registry.getModelVersion('m', 2)).tags).toEqual(tags)
  await expect(setThreshold(registry, { ...set, threshold: Number.NaN })).rejects.toThrow(
    'A threshold is a number, not NaN',
  )
  await expect(setThreshold(registry, { ...set, name: 'other', threshold: 1 })).rejects.toThrow('"other"')
})
