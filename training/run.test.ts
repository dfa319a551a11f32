import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, expect, test } from 'vitest'
import type { Dataset } from '../datasets/table/dataset.ts'
import { cardFraud } from '../features/definition/card-fraud.ts'
import type { Run } from '../registry/model.ts'
import { openRegistry } from '../registry/open.ts'
import type { Registry } from '../registry/registry.ts'
import { sampleCard } from '../registry/testing/sample-card.ts'
import { trainCandidate, type Candidate } from './candidate.ts'
import { Pruned } from './fit/report.ts'
import type { RunOwnership } from './ownership/heartbeat.ts'
import { closeParentRun, finishParentRun, openParentRun } from './parent-run.ts'
import { registerRun, trainRun, type RunRequest } from './run.ts'
import { plantedSet } from './testing/planted-set.ts'

const folder = mkdtempSync(join(tmpdir(), 'fd-runs-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

let registry: Registry
let tests = 0
beforeEach(async () => {
  registry = await openRegistry(`sqlite:${join(folder, String(tests++))}`, { now: Date.now })
  return () => registry[Symbol.asyncDispose]()
})

const set = plantedSet({ rows: 1000, features: 2, frauds: 60 }, 1)
const split = { kind: 'ordered', trainShare: 0.7 } as const

/** An owner that gives no signs: no test here lasts as long as that matters. */
const ownership: RunOwnership = {
  tags: {},
  begin: () => ({ closed: new AbortController().signal, [Symbol.asyncDispose]: async () => {} }),
}

function fit(): Promise<Candidate> {
  return trainCandidate(
    set,
    { estimator: 'boosting', params: { rounds: 2 }, split, seed: 1, alertsPerDay: 20 },
    () => true,
  )
}

function request(train: () => Promise<Candidate> = fit, digest = async () => 'd'.repeat(64)): RunRequest {
  const { name, schema } = sampleCard().dataset
  return {
    experiment: 'e',
    dataset: { name, schema, file: '/none', digest } as Dataset,
    service: cardFraud,
    split,
    calibration: undefined,
    until: undefined,
    sort: false,
    code: { version: 'fd test', digest: 'c' },
    by: 'ann',
    estimator: 'boosting',
    seed: 1,
    ownership,
    now: () => 1,
    train,
  }
}

async function runs(): Promise<Run[]> {
  const found = await Promise.all(
    (await registry.searchExperiments()).map(({ experimentId }) => registry.searchRuns(experimentId)),
  )
  return found.flat()
}

/** Lets the first call of a verb fail. */
function failOnce(verb: 'endRun' | 'logArtifact' | 'logBatch', error: Error): void {
  const { [verb]: call } = registry
  Object.assign(registry, {
    [verb]: () => {
      Object.assign(registry, { [verb]: call })
      return Promise.reject(error)
    },
  })
}

const away = new Error('the registry is away')

test('a run ends FINISHED when all of it is kept, and its model can then be registered', async () => {
  const { runId, card } = await trainRun(registry, request())
  expect(await runs()).toMatchObject([{ runId, status: 'FINISHED' }])
  expect(await registerRun(registry, runId, { name: 'm', by: 'ann', now: 1 })).toEqual({ version: 1, card })
})

test.each(['logBatch', 'logArtifact', 'endRun'] as const)(
  'a run whose registry fails at %s ends FAILED, and says why',
  async (verb) => {
    failOnce(verb, away)
    await expect(trainRun(registry, request())).rejects.toBe(away)
    expect(await runs()).toMatchObject([{ status: 'FAILED' }])
  },
)

test.each([
  [new Error('no memory'), 'FAILED'],
  [new Pruned(1, 0), 'KILLED'],
] as const)('what ended the work is told, also when the end of the run cannot be kept: %s', async (fault, status) => {
  const broken = request(() => Promise.reject(fault))
  await expect(trainRun(registry, broken)).rejects.toBe(fault)
  failOnce('endRun', away)
  await expect(trainRun(registry, broken)).rejects.toBe(fault)
  expect((await runs()).map((run) => run.status).toSorted()).toEqual([status, 'RUNNING'].toSorted())
})

test('a parent run that cannot be begun leaves none that is RUNNING', async () => {
  const unreadable = request(fit, () => Promise.reject(away))
  await expect(openParentRun(registry, unreadable, {}, ownership)).rejects.toBe(away)
  expect(await runs()).toEqual([])
  failOnce('logBatch', away)
  await expect(openParentRun(registry, request(), {}, ownership)).rejects.toBe(away)
  expect(await runs()).toMatchObject([{ status: 'FAILED' }])
})

test('a parent run names its best candidate when it finishes, and only then', async () => {
  const { runId } = await trainRun(registry, request())
  const best = await registry.getRun(runId)
  const [kept, lost] = [
    await openParentRun(registry, request(), {}, ownership),
    await openParentRun(registry, request(), {}, ownership),
  ]
  await finishParentRun(registry, kept, best)
  expect(await registry.getRun(kept.runId)).toMatchObject({
    status: 'FINISHED',
    metrics: best.metrics,
    tags: { 'fd.best.run': runId },
  })
  await registry.endRun(lost.runId, 'KILLED', { reason: 'Its owner is gone.' })
  await expect(finishParentRun(registry, lost, best)).rejects.toThrow(/closed as KILLED.*Its owner is gone/)
  expect((await registry.getRun(lost.runId)).tags).not.toHaveProperty('fd.best.run')
  expect(await closeParentRun(registry, lost, 'FAILED')).toBe(false)
})
