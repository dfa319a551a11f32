import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { codeVersion } from '../../configs/code-version.ts'
import type { Run } from '../../registry/model.ts'
import { openRegistry } from '../../registry/open.ts'
import type { Registry } from '../../registry/registry.ts'
import { readImportance } from '../../training/run.ts'
import type { ErrorDocument } from '../console/error-document.ts'
import { runFd, type Ended, type FdProcess } from '../console/fd-process.ts'
import { candidatePlans } from '../jobs/candidates.ts'
import { startedProcesses } from '../testing/started.ts'

let folder: string
let file: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fd-workers-'))
  file = join(folder, 'transactions.parquet')
  const made = await runFd(folder, [
    'datasets',
    'simulate',
    '--customers',
    '150',
    '--terminals',
    '200',
    '--days',
    '80',
    '--seed',
    '3',
    '--out',
    file,
  ])
  if (made.code !== 0) throw new Error(made.stderr)
})
afterAll(async () => {
  // A worker serves until it is told to end, even when the test that started it has failed.
  await started[Symbol.asyncDispose]()
  await rm(folder, { recursive: true, force: true })
})

const started = startedProcesses()
const start = started.fd

/** Each test starts several processes, on a machine that may be busy. */
const PATIENT = { timeout: 180_000 }
const ARGS = ['train', '--dataset', 'simulated']
/** Training that takes long enough to be killed in the middle. */
const SLOW = ['--model', 'forest', '--param', 'trees=400']

interface Told {
  parentRunId: string
  best: string
  version?: number
  importance?: unknown
  candidates: {
    model: string
    seed: number
    state: string
    runId?: string
    error?: string
    metrics?: Record<string, number>
  }[]
}

function told({ code, stdout, stderr }: Ended): Told {
  expect(code, stderr).toBe(0)
  return JSON.parse(stdout) as Told
}

function registryOf(home: string): Promise<Registry> {
  return openRegistry(`sqlite:${join(home, 'registry')}`, { now: Date.now })
}

function sortedIds(runs: { runId?: string }[]): string[] {
  return runs.map(({ runId }) => runId ?? '').toSorted((a, b) => a.localeCompare(b))
}

/** The runs of the experiment, as soon as `enough` accepts them. */
async function runsOnce(registry: Registry, enough: (runs: Run[]) => boolean): Promise<Run[]> {
  for (;;) {
    const experiment = await registry.getExperimentByName('card-fraud')
    const runs = experiment === undefined ? [] : await registry.searchRuns(experiment.experimentId)
    if (enough(runs)) return runs
    await sleep(50)
  }
}

const candidateOf = (run: Run): string | undefined => run.tags['fd.candidate']

/** Processes in which an `fd` does jobs. */
function jobProcessesOf({ child }: FdProcess): number[] {
  const rows = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,args='], { encoding: 'utf8' })
    .split('\n')
    .map((row) => row.trim().split(/\s+/))
  return rows
    .filter(([, parent, ...args]) => Number(parent) === child.pid && args.includes('job-process'))
    .map(([pid]) => Number(pid))
}

test('the candidates are each model with each seed; a parameter may be for one model', PATIENT, async () => {
  const plans = await candidatePlans({
    model: 'boosting, forest,boosting',
    seed: 5,
    seeds: 2,
    param: { 'boosting.max_depth': '3', max_depth: '9', 'forest.trees': '7' },
  })
  expect(plans).toEqual([
    { estimator: 'boosting', params: { max_depth: '3' }, seed: 5 },
    { estimator: 'boosting', params: { max_depth: '3' }, seed: 6 },
    { estimator: 'forest', params: { max_depth: '9', trees: '7' }, seed: 5 },
    { estimator: 'forest', params: { max_depth: '9', trees: '7' }, seed: 6 },
  ])
  const named = await candidatePlans({ model: 'boosting', seed: 0, param: { 'monotone.tx_amount': '1' } })
  expect(named.map(({ params }) => params)).toEqual([{ 'monotone.tx_amount': '1' }])
  const own = await candidatePlans({ model: 'forest,boosting', seed: 0, param: { 'boosting.monotone.tx_amount': '1' } })
  expect(own.map(({ params }) => params)).toEqual([{}, { 'monotone.tx_amount': '1' }])
  const crowded = await candidatePlans({
    model: 'boosting,neural,forest',
    seed: 0,
    seeds: 64,
    workers: 64,
    param: { 'forest.threads': '3' },
  })
  expect([0, 64, 128].map((first) => crowded[first].params['threads'])).toEqual(['1', undefined, '3'])
  expect((await candidatePlans({ model: 'boosting', seed: 0, workers: 64 }))[0].params).toEqual({})
  await expect(candidatePlans({ model: 'forest', seed: 0, param: { 'boosting.rounds': '1' } })).rejects.toThrow(
    /boosting\.rounds=1 is for a model that is not trained.*forest/,
  )
  await expect(candidatePlans({ model: 'boosting,forest', seed: 0, param: { rounds: '1' } })).rejects.toThrow(
    /"forest" has no parameter "rounds"/,
  )
})

test(
  'the chosen of several candidates is the one trained alone, to the byte of its graph, and is registered',
  PATIENT,
  async () => {
    const home = join(folder, 'same')
    await using registry = await registryOf(home)
    const common = [...ARGS, '--data', file, '--importance', '1', '--json']
    const params = { boosting: 'rounds=20', forest: 'trees=10' }
    const several = Object.entries(params).flatMap(([model, param]) => ['--param', `${model}.${param}`])
    const result = told(
      await runFd(home, [
        ...common,
        '--model',
        'boosting,forest',
        ...several,
        '--seeds',
        '2',
        '--workers',
        '2',
        '--register',
        'card-fraud',
      ]),
    )
    const codes = (await runsOnce(registry, () => true)).map(({ tags }) => tags['mlflow.source.name'])
    expect(new Set(codes)).toEqual(new Set([codeVersion().version]))
    expect((await registry.getModelVersion('card-fraud', 1)).tags['fd.code.version']).toBe(codeVersion().version)
    expect(result.candidates.map(({ model, seed }) => `${model} ${seed}`).sort()).toEqual([
      'boosting 0',
      'boosting 1',
      'forest 0',
      'forest 1',
    ])
    for (const { runId, metrics = {} } of result.candidates) {
      const run = await registry.getRun(runId ?? '')
      expect(run).toMatchObject({ status: 'FINISHED', tags: { 'mlflow.parentRunId': result.parentRunId }, metrics })
      // Nothing of the test rows: they are for the chosen one.
      expect(Object.keys(metrics).filter((name) => !name.startsWith('selection_'))).toEqual([])
    }
    const values = result.candidates.map(({ metrics }) => metrics?.['selection_average_precision'] ?? Number.NaN)
    expect(values).toEqual(values.toSorted((a, b) => b - a))

    const [{ model, seed }] = result.candidates
    const param = params[model as keyof typeof params]
    const alone = await runFd(home, [...common, '--model', model, '--param', param, '--seed', String(seed)])
    expect(alone.code, alone.stderr).toBe(0)
    const { runId, importance, metrics } = JSON.parse(alone.stdout) as Told & { runId: string; metrics: object }
    const graphs = [result.best, runId].map((run) => registry.downloadArtifact(run, 'model/model.onnx'))
    expect(Buffer.compare(await graphs[0], await graphs[1])).toBe(0)
    expect(result.importance).toEqual(importance)
    expect(await readImportance(registry, result.best)).toEqual(importance)
    expect(await registry.getRun(result.parentRunId)).toMatchObject({ status: 'FINISHED', metrics })
    expect(await registry.getModelVersion('card-fraud', result.version ?? 0)).toMatchObject({ runId: result.best })
    const promoted = await runFd(home, ['models', 'promote', 'card-fraud', String(result.version), '--json'])
    expect(promoted.code, promoted.stderr).toBe(0)
  },
)

test(
  'a job killed in the middle leaves a run that says so; its candidate is trained again, and counted once',
  PATIENT,
  async () => {
    const home = join(folder, 'killed')
    await using registry = await registryOf(home)
    const fd = start(home, [...ARGS, '--data', file, ...SLOW, '--seeds', '2', '--workers', '2', '--json'])
    await runsOnce(registry, (runs) => runs.filter((run) => candidateOf(run) !== undefined).length === 2)
    process.kill(jobProcessesOf(fd)[0], 'SIGKILL')
    const ended = await fd.ended
    expect(ended.stderr).toMatch(/failed and will be tried again: its process ended with SIGKILL/)
    expect(told(ended).candidates.map(({ state }) => state)).toEqual(['complete', 'complete'])
    const runs = await runsOnce(registry, () => true)
    expect(runs.map(({ status }) => status).sort()).toEqual(['FINISHED', 'FINISHED', 'FINISHED', 'FINISHED', 'KILLED'])
  },
)

test('Ctrl-C takes the jobs back: the runs say so, and no process is left', PATIENT, async () => {
  const home = join(folder, 'stopped')
  await using registry = await registryOf(home)
  const fd = start(home, [...ARGS, '--data', file, ...SLOW, '--seeds', '3', '--workers', '2', '--json'])
  await runsOnce(registry, (runs) => runs.filter((run) => candidateOf(run) !== undefined).length === 2)
  const processes = jobProcessesOf(fd)
  expect(processes.length).toBe(2)
  fd.child.kill('SIGINT')
  const { code, stderr, stdout } = await fd.ended
  expect(stderr).toMatch(/Stopped by Ctrl-C\. Jobs that were not done are taken back\. To do all again, run: fd train /)
  const { error } = JSON.parse(stdout) as ErrorDocument
  expect([code, error.code]).toEqual([130, 130])
  expect(error.next).toMatch(/^fd train .* --seeds 3 --workers 2 --json$/)
  expect((await runsOnce(registry, () => true)).map(({ status }) => status)).toEqual(['KILLED', 'KILLED', 'KILLED'])
  const alive = new Set(execFileSync('ps', ['-A', '-o', 'pid='], { encoding: 'utf8' }).split('\n').map(Number))
  expect(processes.filter((pid) => alive.has(pid))).toEqual([])
})

test.each([
  ['the fit', 'fit forest', ['trees=2000']],
  ['the shuffles', 'shuffle features', ['trees=20']],
])('Ctrl-C in %s of a single training ends its run as killed', PATIENT, async (_, shown, [param]) => {
  const home = join(folder, `alone-${shown.split(' ')[0]}`)
  await using registry = await registryOf(home)
  const fd = start(home, [...ARGS, '--data', file, '--model', 'forest', '--param', param, '--importance', '500'])
  await fd.says(shown)
  fd.child.kill('SIGINT')
  const { code, stderr, stdout } = await fd.ended
  expect(stderr).toMatch(/Stopped by Ctrl-C\. The run is kept as KILLED\. To train from the start, run: fd train .*\n$/)
  expect([code, stdout]).toEqual([130, ''])
  expect((await runsOnce(registry, () => true)).map(({ status }) => status)).toEqual(['KILLED'])
})

test(
  'a candidate that cannot be trained is told with its reason, and the others go on; ' +
    'when none can be, that is an error',
  PATIENT,
  async () => {
    const home = join(folder, 'failed')
    const bad = ['--param', 'boosting.early_stopping_rounds=5']
    const ended = await runFd(home, [
      ...ARGS,
      '--data',
      file,
      '--model',
      'boosting,forest',
      ...bad,
      '--param',
      'forest.trees=5',
      '--workers',
      '1',
      '--json',
    ])
    expect(told(ended).candidates.map(({ model, state }) => `${model} ${state}`)).toEqual([
      'forest complete',
      'boosting fail',
    ])
    expect(told(ended).candidates[1].error).toMatch(/failed 3 times.*early_stopping_rounds needs rows to watch/)
    const none = await runFd(home, [...ARGS, '--data', file, '--model', 'boosting', ...bad, '--workers', '1', '--json'])
    expect(none.stderr).toMatch(/None of the 1 candidates was trained:\n.*early_stopping_rounds needs rows to watch/)
    expect(none.code).toBe(2)
    expect(JSON.parse(none.stdout)).toMatchObject({
      error: { code: 2, message: expect.stringMatching(/^None of the 1/) },
    })
    await using registry = await registryOf(home)
    const parents = (await runsOnce(registry, () => true)).filter((run) => candidateOf(run) === undefined)
    expect(parents.map(({ status }) => status).sort()).toEqual(['FAILED', 'FINISHED'])
  },
)

const mlflow = process.env.FD_TEST_MLFLOW_URL
test.runIf(mlflow !== undefined)(
  'on a real MLflow the candidates stand under their parent run, and the best is a version',
  PATIENT,
  async () => {
    const name = `fd-test-${randomUUID()}`
    const home = join(folder, 'mlflow')
    const param = ['--param', 'boosting.rounds=10', '--param', 'forest.trees=5']
    const server = { MLFLOW_TRACKING_URI: mlflow ?? '' }
    const result = told(
      await start(
        home,
        [
          ...ARGS,
          '--data',
          file,
          '--model',
          'boosting,forest',
          ...param,
          '--workers',
          '2',
          '--importance',
          '1',
          '--register',
          name,
          '--json',
        ],
        server,
      ).ended,
    )
    await using registry = await openRegistry(mlflow ?? '', { now: Date.now })
    const parent = await registry.getRun(result.parentRunId)
    const children = await registry.searchRuns(parent.experimentId, {
      filter: { tags: { 'mlflow.parentRunId': parent.runId } },
    })
    expect(sortedIds(children)).toEqual(sortedIds([...result.candidates, { runId: result.best }]))
    expect([parent, ...children].map(({ status }) => status)).toEqual(Array(4).fill('FINISHED'))
    expect(await registry.getModelVersion(name, result.version ?? 0)).toMatchObject({ runId: result.best })
    expect(result.importance).toEqual(await readImportance(registry, result.best))
  },
)

const redis = process.env.FD_TEST_REDIS_URL
describe.runIf(redis !== undefined)('through a shared queue', () => {
  const url = new URL(redis ?? 'redis://none')
  url.searchParams.set('prefix', `fd-test-${randomUUID()}`)
  const shared = { FD_JOB_QUEUE: url.href }

  afterAll(async () => {
    const { Redis } = await import('ioredis')
    const client = new Redis(redis ?? '')
    const keys = await client.keys(`*${url.searchParams.get('prefix')}*`)
    if (keys.length > 0) await client.unlink(...keys)
    await client.quit()
  })

  test(
    'others do the jobs: the command says that nobody does, workers come, one is killed with -9, ' +
      'and each candidate is counted once',
    PATIENT,
    async () => {
      const home = join(folder, 'shared')
      await using registry = await registryOf(home)
      const fd = start(home, [...ARGS, '--data', file, ...SLOW, '--seeds', '2', '--workers', '0', '--json'], shared)
      await fd.says('Nobody serves the job queue redis://')
      const first = start(home, ['worker'], shared)
      await first.says('started')
      await runsOnce(registry, (runs) => runs.some((run) => candidateOf(run) !== undefined))
      first.child.kill('SIGKILL')
      const second = start(home, ['worker', '--concurrency', '2', '--json'], shared)
      expect(told(await fd.ended).candidates.map(({ state }) => state)).toEqual(['complete', 'complete'])
      expect((await runsOnce(registry, () => true)).map(({ status }) => status).sort()).toEqual([
        'FINISHED',
        'FINISHED',
        'FINISHED',
        'FINISHED',
        'KILLED',
      ])
      second.child.kill('SIGINT')
      const { code, stdout, stderr } = await second.ended
      expect(code, stderr).toBe(0)
      expect(JSON.parse(stdout)).toEqual({ done: 3, failed: 0, cancelled: 0 })
      expect(stderr).not.toContain(url.password === '' ? '\0' : url.password)
    },
  )

  test('a worker with another registry, or another file, fails the job with what is wrong', PATIENT, async () => {
    const worker = start(join(folder, 'elsewhere'), ['worker'], shared)
    await worker.says('Serving the job queue')
    const ended = await runFd(
      join(folder, 'here'),
      [...ARGS, '--data', file, '--param', 'rounds=5', '--workers', '0'],
      shared,
    )
    expect(ended.stderr).toMatch(/worker's registry does not have the run.*MLFLOW_TRACKING_URI/)
    expect(ended.code).toBe(2)
    worker.child.kill('SIGTERM')
    expect((await worker.ended).code).toBe(0)
  })
})
