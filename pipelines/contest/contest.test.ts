import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { loadConfig } from '../../configs/config.ts'
import { randomStream } from '../../datasets/random/random.ts'
import { findEstimator } from '../../training/catalog.ts'
import { modelScores } from '../../training/fit/fitted-model.ts'
import { averagePrecision } from '../../training/metrics/metrics.ts'
import { differenceInterval } from '../../training/metrics/paired-bootstrap.ts'
import { plantedSet } from '../../training/testing/planted-set.ts'
import { isInstalled } from '../services/install.ts'
import { installPython } from '../services/python-environment.ts'
import { advantageOf } from './advantage.ts'
import { CONTESTANTS, type ContestParams, readPart, type Task } from './contest.ts'
import { accuracySets } from './data.ts'
import { aimsOf, type Measured, reportOf, type Timing } from './report.ts'
import { PEERS, peersFolder, runJob } from './run.ts'
import { drawParams, PLAIN } from './search.ts'

const folder = mkdtempSync(join(tmpdir(), 'fd-contest-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const planted = { ...plantedSet({ rows: 4000, features: 5, frauds: 200, missing: 0.05 }, 1) }
const [set] = [...accuracySets(folder, planted, undefined)]
const FEW: ContestParams = { ...PLAIN, trees: 10, depth: 4 }
const python = peersFolder(loadConfig().cache)

// In CI the peers are installed when they are missing. Elsewhere their tests are named as not run.
beforeAll(async () => {
  if (process.env.CI !== undefined) await installPython(python, PEERS, { exact: true })
}, 600_000)

test('parts fall into one another: training into earlier and validation, and none into the test', () => {
  const [early, valid, train, test] = ['early', 'valid', 'train', 'test'].map((part) => readPart(set.folder, part))
  expect([...train.x]).toEqual([...early.x, ...valid.x])
  expect([...train.y, ...test.y]).toEqual([...planted.y])
  expect(set.parts).toMatchObject({
    train: { rows: 2800 },
    test: { rows: 1200 },
    early: { rows: 2240 },
    valid: { rows: 560 },
  })
})

test('a job of ours, in its own process, gives what fitting here gives', async () => {
  const parts = { folder: set.folder, features: 5, fit: 'train', score: 'test' }
  const result = runJob({ task: 'boosting', contestant: 'fd', ...parts, params: FEW, threads: 1 }, python)
  const [train, later] = [readPart(set.folder, 'train'), readPart(set.folder, 'test')]
  const boosting = findEstimator('boosting')
  const params = boosting.params({
    rounds: 10,
    max_depth: 4,
    learning_rate: 0.1,
    l2: 1,
    min_child_weight: 1,
    subsample: 1,
    colsample: 1,
  })
  const model = await boosting.fit({ ...planted, rows: train.y.length, x: train.x, y: train.y }, params, 1, () => true)
  expect(result.scores).toEqual(modelScores(model, later.x))
  expect(result.averagePrecision).toBe(averagePrecision(result.scores, later.y))
  expect(Object.values(result).every((value) => value instanceof Float32Array || value > 0)).toBe(true)
})

const contestants = (Object.keys(CONTESTANTS) as Task[]).flatMap((task) =>
  CONTESTANTS[task].map((contestant) => ({ task, contestant })),
)

test.for(contestants)('$contestant runs $task and finds frauds', ({ task, contestant }, { skip }) => {
  skip(contestant !== 'fd' && !isInstalled(python), 'the peers are not installed: npm run bench trees -- --quick')
  const result = runJob(
    { task, contestant, folder: set.folder, features: 5, fit: 'train', score: 'test', params: FEW, threads: 1 },
    python,
  )
  expect(result.averagePrecision).toBeGreaterThan(task === 'isolation' ? 0.055 : 0.25)
  expect(result.peakMb).toBeGreaterThan(result.addedMb)
})

test('draws are the same whoever asks, differ from one another, and are taken by our estimators', () => {
  for (const task of ['boosting', 'forest'] as const) {
    const draws = Array.from({ length: 20 }, (_, draw) => drawParams(task, draw))
    expect(Array.from({ length: 20 }, (_, draw) => drawParams(task, draw))).toEqual(draws)
    expect(new Set(draws.map((draw) => JSON.stringify(draw))).size).toBe(20)
    expect(
      draws.every(
        ({ trees, depth, subsample, colsample, l2 }) =>
          trees >= 100 &&
          depth >= 3 &&
          depth <= 20 &&
          subsample >= 0.5 &&
          subsample <= 1 &&
          colsample > 0 &&
          colsample <= 1 &&
          l2 > 0,
      ),
    ).toBe(true)
  }
})

test('aims are ratios of medians at the same task, set and threads', () => {
  const run = (fitSeconds: number, peakMb: number): Measured => ({
    fitSeconds,
    peakMb,
    fitCpuSeconds: fitSeconds,
    scoreSeconds: 1,
    scoreCpuSeconds: 1,
    addedMb: peakMb / 2,
    averagePrecision: 0.5,
  })
  const timing = (contestant: string, task: Task, threads: number, seconds: number[], mb = 100): Timing => ({
    set: 'S',
    task,
    threads,
    contestant,
    runs: seconds.map((value) => run(value, mb)),
  })
  const timings = [
    timing('fd', 'boosting', 1, [1, 2, 9], 60),
    timing('xgboost', 'boosting', 1, [3, 4, 5], 100),
    timing('lightgbm', 'boosting', 1, [1, 1, 1]),
    timing('fd', 'boosting', 2, [1.5]),
    timing('fd', 'forest', 2, [2]),
    timing('scikit-learn', 'forest', 2, [100]),
    timing('fd', 'isolation', 2, [1]),
    timing('scikit-learn', 'isolation', 2, [9]),
  ]
  const y = Uint8Array.from({ length: 400 }, (_, row) => (row < 40 ? 1 : 0))
  const found = [
    {
      set: 'S',
      task: 'forest' as const,
      contestant: 'fd',
      validation: 0,
      test: [0.5, 0.7, 0.6],
      params: PLAIN,
      scores: Float32Array.from(y, (label, row) => label + (row % 7)),
    },
    {
      set: 'S',
      task: 'boosting' as const,
      contestant: 'xgboost',
      validation: 0,
      test: [0.65],
      params: PLAIN,
      scores: Float32Array.from(y, (label, row) => 7 * label + (row % 7)),
    },
  ]
  const advantage = advantageOf(found, y)
  expect(
    aimsOf(timings, [advantage]).map(({ what, measured, met }) => [what, Number(measured.toFixed(6)), met]),
  ).toEqual([
    ['boosting fit / xgboost (S, 1 thread)', 0.5, true],
    ['boosting, memory that fitting adds / xgboost (S, 1 thread)', 0.6, true],
    ['boosting, peak of the process / xgboost (S, 1 thread)', 0.6, true],
    ['boosting fit / LightGBM (S, 1 thread)', 2, false],
    ['forest, times as fast as scikit-learn (S, 2 threads)', 50, true],
    ['isolation fit and score, times as fast as scikit-learn (S, 2 threads)', 5, false],
    ['boosting fit, two threads / one (S)', 0.75, true],
    ["average precision, ours − best peer's (S)", -0.05, false],
  ])
  const report = reportOf(
    { machine: 'a machine', versions: ['x 1'], command: 'npm run bench trees' },
    [set],
    timings,
    found,
    [advantage],
  )
  expect(report).toContain('| S | boosting | 1 | xgboost | 4.00 (3.00–5.00) |')
  expect(report).toContain('| S | forest | fd | 0.0000 | 0.6000 (0.5000–0.7000) |')
})

test(
  'an interval holds the difference between models: 0 where they rank alike, far from it where one is plainly better',
  { timeout: 60_000 },
  () => {
    const random = randomStream(4)
    const y = Uint8Array.from({ length: 3000 }, () => (random.uniform() < 0.1 ? 1 : 0))
    const scored = (signal: number): Float32Array =>
      Float32Array.from(y, (label) => signal * label + random.normal(0, 1))
    const [good, similar, poor] = [scored(2), scored(2), scored(1)]
    const doubled = good.map((score) => 2 * score)
    expect(differenceInterval(good, doubled, y, 1)).toEqual([0, 0])
    const [low, high] = differenceInterval(good, similar, y, 1)
    expect(low).toBeLessThan(0)
    expect(high).toBeGreaterThan(0)
    expect(differenceInterval(good, poor, y, 1)[0]).toBeGreaterThan(0.1)
    expect(differenceInterval(poor, good, y, 1)[1]).toBeLessThan(-0.1)
  },
)
