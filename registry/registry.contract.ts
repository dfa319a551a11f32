import { spawn, type ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { UserError } from '../configs/user-error.ts'
import { modelCardTags, readModelCard } from './model-card.ts'
import type { Metric, Run } from './model.ts'
import { NotFoundError } from './not-found.ts'
import { openRegistry } from './open.ts'
import { history, isMove } from './promotion/history.ts'
import type { Registry, RegistryOptions, RunSearch } from './registry.ts'
import { sampleCard } from './testing/sample-card.ts'

/** Starts a process of `testing/writer.ts`, which does `job` on the registry at `url`. */
export function startWriter(url: string, job: string, ...rest: string[]): ChildProcess {
  const script = join(import.meta.dirname, 'testing/writer.ts')
  return spawn(process.execPath, ['--disable-warning=ExperimentalWarning', script, url, job, ...rest], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

/** The lines that a writer printed until it ended. After `enough` of them it is killed. */
export async function linesOf(child: ChildProcess, enough = Infinity): Promise<string[]> {
  const lines: string[] = []
  const ended = once(child, 'close')
  if (child.stdout === null) throw new Error('the writer has no stdout')
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line)
    if (lines.length === enough) child.kill('SIGKILL')
  }
  const [code] = await ended
  if (enough === Infinity && code !== 0) throw new Error(`the writer ended with ${code}`)
  return lines
}

/** Numbers in [0, 1) from a seed (Lehmer, modulus 2^31 − 1). */
export function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state * 48_271) % 2_147_483_647
    return state / 2_147_483_647
  }
}

/** Forty runs of one experiment, with everything a search looks at, in order of creation. One more run is elsewhere. */
async function population(registry: Registry, name: string): Promise<Run[]> {
  const random = seeded(5)
  const experiment = await registry.createExperiment(name)
  const runs: Run[] = []
  for (let index = 0; index < 40; index++) {
    const { runId } = await registry.createRun(experiment, {
      startTime: Math.floor(random() * 10),
      tags: { parent: random() < 0.5 ? 'a' : 'b\'"%' },
    })
    const values = [Number.NaN, -1, Math.floor(random() * 4), undefined]
    const value = values[Math.floor(random() * 4)]
    await registry.logBatch(runId, {
      metrics: value === undefined ? [] : [{ key: 'ap', value }],
      params: { depth: String(index % 3) },
    })
    if (random() < 0.5) await registry.updateRun(runId, { status: 'FINISHED' })
    runs.push(await registry.getRun(runId))
  }
  await registry.createRun(await registry.createExperiment(`${name} beside`))
  return runs
}

function byStart(a: Run, b: Run): number {
  return b.startTime - a.startTime || (a.runId < b.runId ? -1 : 1)
}

/** Numbers before NaN before no value. */
function rank(run: Run): number {
  if (run.metrics.ap === undefined) return 2
  return Number.isNaN(run.metrics.ap) ? 1 : 0
}

/** At a desk, where a minute is long, fewer processes write less. */
const IN_CI = process.env['CI'] !== undefined
const STEPS = IN_CI ? 150 : 50

/** Where drivers may differ. */
export interface RegistryFeatures {
  /**
   * One server serves every test, and other users as well. All names that a test makes there end with a suffix, by
   * which `cleanUp` removes them.
   */
  shared?: { cleanUp: (suffix: string) => Promise<void> }
  /** MLflow's SQL store keeps ±Infinity as the largest number there is. */
  infinities?: 'kept' | 'clamped'
  /** Opens the registry of a URL. */
  open?: (url: string, options: RegistryOptions) => Promise<Registry>
  /** Whether other processes can open it too. */
  processes?: boolean
}

/**
 * What every driver of the registry promises.
 *
 * @param freshUrl gives the URL of a registry, which is empty unless it is shared.
 */
export function registryContract(
  driver: string,
  freshUrl: () => Promise<string>,
  { shared, infinities = 'kept', open = openRegistry, processes = true }: RegistryFeatures = {},
): void {
  describe(`registry on ${driver}`, () => {
    let url: string
    let time: number
    let registry: Registry
    let suffix: string
    /** Experiment of the runs of one test. */
    let home: string
    /** The registered model of most tests. */
    let cards: string

    /** A test's own name for a model or an experiment. On a shared registry nobody else has it. */
    const named = (name: string): string => name + suffix
    const isOurs = (name: string): boolean => shared === undefined || name.endsWith(suffix)

    beforeEach(async () => {
      url = await freshUrl()
      time = 1_000_000
      suffix = shared === undefined ? '' : `-${randomUUID()}`
      registry = await open(url, { now: () => time++ })
      cards = named('card-fraud')
      home = await registry.createExperiment(named('home'))
    })
    afterEach(async () => {
      await registry[Symbol.asyncDispose]()
      await shared?.cleanUp(suffix)
    })

    async function modelSource(): Promise<{ runId: string; source: string }> {
      const { runId } = await registry.createRun(home)
      await registry.logArtifact(runId, 'model/model.onnx', Buffer.from(`graph of ${runId}`))
      return { runId, source: `runs:/${runId}/model` }
    }

    async function modelWith(versions: number, name = cards): Promise<string> {
      await registry.createRegisteredModel(name)
      const { source } = await modelSource()
      for (let index = 0; index < versions; index++) await registry.createModelVersion({ name, source })
      return source
    }

    describe('experiments', () => {
      test('Default is experiment 0, and others follow it', async () => {
        expect(await registry.getExperiment('0')).toMatchObject({ experimentId: '0', name: 'Default' })
        const id = await registry.createExperiment(named('boosting study'), { tags: { team: 'fraud' } })
        expect(id).not.toBe('0')
        expect(await registry.getExperimentByName(named('boosting study'))).toMatchObject({
          experimentId: id,
          name: named('boosting study'),
          tags: { team: 'fraud' },
        })
        const names = (await registry.searchExperiments()).map((experiment) => experiment.name)
        expect(names.filter((name) => isOurs(name) || name === 'Default')).toEqual([
          named('boosting study'),
          named('home'),
          'Default',
        ])
      })

      test('a name is taken once, unless it may exist', async () => {
        const id = await registry.createExperiment(named('study'))
        await expect(registry.createExperiment(named('study'))).rejects.toThrow(`"${named('study')}" exists already`)
        expect(await registry.createExperiment(named('study'), { mayExist: true })).toBe(id)
        expect(await registry.getExperimentByName(named('nothing'))).toBeUndefined()
      })

      test.each(['', 'x'.repeat(501)])('a name of the wrong length is refused', async (name) => {
        await expect(registry.createExperiment(name)).rejects.toThrow(UserError)
      })

      test.each(['987654321', 'abc', '-1', '0x1', ''])('unknown experiment %j is not found', async (id) => {
        await expect(registry.getExperiment(id)).rejects.toThrow(NotFoundError)
        await expect(registry.createRun(id)).rejects.toThrow(/Default/)
      })
    })

    describe('runs', () => {
      test('a run begins RUNNING and ends with a time', async () => {
        const run = await registry.createRun(home, { runName: 'first', startTime: 42, tags: { seed: '7' } })
        expect(run).toMatchObject({
          runName: 'first',
          experimentId: home,
          startTime: 42,
          status: 'RUNNING',
          params: {},
          metrics: {},
          tags: { seed: '7', 'mlflow.runName': 'first' },
        })
        expect(run.runId).toMatch(/^[0-9a-f]{32}$/)
        expect('endTime' in run).toBe(false)
        await registry.updateRun(run.runId, { status: 'FINISHED', endTime: 50 })
        expect(await registry.getRun(run.runId)).toEqual({ ...run, status: 'FINISHED', endTime: 50 })
      })

      test.each(['FAILED', 'KILLED'] as const)('a run that is %s can resume', async (status) => {
        const { runId } = await registry.createRun(home)
        await registry.updateRun(runId, { status })
        expect(await registry.getRun(runId)).toMatchObject({ status, endTime: expect.any(Number) as number })
        await registry.updateRun(runId, { status: 'RUNNING' })
        expect(await registry.getRun(runId)).not.toHaveProperty('endTime')
      })

      test('of all who end a run one does, and the run is as that one left it', async () => {
        const { runId } = await registry.createRun(home)
        const ways = ['FINISHED', 'KILLED', 'FAILED', 'KILLED', 'FINISHED', 'KILLED'] as const
        const others = await Promise.all(ways.map(() => open(url, { now: () => 7_000 })))
        const won = await Promise.all(
          others.map((other, n) => other.endRun(runId, ways[n], { reason: `because of ${n}` })),
        )
        await Promise.all(others.map((other) => other[Symbol.asyncDispose]()))
        expect(won.filter(Boolean)).toEqual([true])
        const [status, reason] = [ways[won.indexOf(true)], `because of ${won.indexOf(true)}`]
        const left = { status, endTime: 7_000, tags: { 'fd.end.reason': reason } }
        expect(await registry.getRun(runId)).toMatchObject(left)
        expect(await registry.endRun(runId, 'FAILED', { reason: 'too late' })).toBe(false)
        expect(await registry.getRun(runId)).toMatchObject(left)
      })

      test('a run that another way has ended is not ended again', async () => {
        const { runId } = await registry.createRun(home)
        await registry.updateRun(runId, { status: 'FINISHED', endTime: 50 })
        expect(await registry.endRun(runId, 'KILLED', { reason: 'too late' })).toBe(false)
        const run = await registry.getRun(runId)
        expect(run).toMatchObject({ status: 'FINISHED', endTime: 50 })
        expect(run.tags).not.toHaveProperty('fd.end.reason')
      })

      test('a run that has resumed is ended anew, once for each time', async () => {
        const { runId } = await registry.createRun(home)
        for (const [n, status] of (['KILLED', 'FINISHED', 'FAILED', 'KILLED'] as const).entries()) {
          if (n > 0) await registry.updateRun(runId, { status: n === 2 ? 'SCHEDULED' : 'RUNNING' })
          const resumed = await registry.getRun(runId)
          expect(resumed).not.toHaveProperty('endTime')
          expect(resumed.tags).not.toHaveProperty('fd.end.reason')
          time = 10_000 + n
          const tags = { [`end ${n}`]: 'so' }
          expect(await registry.endRun(runId, status, n === 1 ? { tags } : { tags, reason: `end ${n}` })).toBe(true)
          expect(await registry.endRun(runId, 'FAILED', { reason: 'too late' })).toBe(false)
          const ended = await registry.getRun(runId)
          expect(ended).toMatchObject({ status, endTime: 10_000 + n, tags })
          expect(ended.tags['fd.end.reason']).toBe(n === 1 ? undefined : `end ${n}`)
        }
        // To resume a run that has not ended is no end of it.
        const open = await registry.createRun(home)
        await registry.updateRun(open.runId, { status: 'RUNNING' })
        expect(await registry.endRun(open.runId, 'FINISHED')).toBe(true)
      })

      test('of two who resume a run and end it, one ends each life', async () => {
        const { runId } = await registry.createRun(home)
        await registry.endRun(runId, 'KILLED', { reason: 'first' })
        const two = [0, 1] as const
        await Promise.all(two.map(() => registry.updateRun(runId, { status: 'RUNNING' })))
        expect(await registry.getRun(runId)).toMatchObject({ status: 'RUNNING' })
        const won = await Promise.all(two.map((n) => registry.endRun(runId, 'FAILED', { reason: `by ${n}` })))
        expect(won.filter(Boolean)).toEqual([true])
        expect((await registry.getRun(runId)).tags['fd.end.reason']).toBe(`by ${won.indexOf(true)}`)
      })

      test.each([
        [{ reason: 'x'.repeat(8001) }, /8001/],
        [{ reason: 'x'.repeat(5600) }, /The end of a run has \d+ characters/],
        [{ tags: { a: 'x'.repeat(3000), b: 'x'.repeat(3000) } }, /The end of a run has \d+ characters/],
        [{ tags: { '../up': 'x' } }, /Tag name "\.\.\/up"/],
      ])('an end with more than every driver keeps is refused, and ends nothing', async (end, reason) => {
        const { runId } = await registry.createRun(home)
        await expect(registry.endRun(runId, 'KILLED', end)).rejects.toThrow(reason)
        expect((await registry.getRun(runId)).status).toBe('RUNNING')
        expect(await registry.endRun(runId, 'KILLED', { reason: 'x'.repeat(5000) })).toBe(true)
      })

      test('the name and its tag mirror each other', async () => {
        const { runId, runName } = await registry.createRun(home)
        expect(runName).not.toBe('')
        await registry.updateRun(runId, { runName: 'second' })
        expect((await registry.getRun(runId)).tags['mlflow.runName']).toBe('second')
        await registry.setTag(runId, 'mlflow.runName', 'third')
        expect(await registry.getRun(runId)).toMatchObject({ runName: 'third', status: 'RUNNING' })
      })

      test('params are written once', async () => {
        const { runId } = await registry.createRun(home)
        await registry.logBatch(runId, { params: { depth: '6', 'a/b c.d-e:f': '', __proto__x: '1' } })
        await registry.logBatch(runId, { params: { depth: '6' } })
        await expect(registry.logBatch(runId, { params: { depth: '7' } })).rejects.toThrow(/"depth".*"6".*"7"/)
        expect((await registry.getRun(runId)).params).toEqual({ depth: '6', 'a/b c.d-e:f': '', __proto__x: '1' })
      })

      test('a key named __proto__ is a key', async () => {
        const { runId } = await registry.createRun(home)
        await registry.logBatch(runId, { params: Object.fromEntries([['__proto__', 'x']]) })
        expect(Object.entries((await registry.getRun(runId)).params)).toEqual([['__proto__', 'x']])
      })

      test('a batch is written whole or not at all', async () => {
        const { runId } = await registry.createRun(home)
        await registry.logBatch(runId, { params: { depth: '6' } })
        await expect(
          registry.logBatch(runId, {
            params: { rounds: '10', depth: '7' },
            metrics: [{ key: 'loss', value: 1 }],
            tags: { state: 'x' },
          }),
        ).rejects.toThrow(UserError)
        expect(await registry.getRun(runId)).toMatchObject({ params: { depth: '6' }, metrics: {} })
        expect((await registry.getRun(runId)).tags).not.toHaveProperty('state')
      })

      test('NaN and extreme values survive', async () => {
        const { runId } = await registry.createRun(home)
        const values = [Number.NaN, 5e-324, Number.MAX_VALUE, -0.1, 0.1 + 0.2, 2 ** 53]
        await registry.logBatch(runId, {
          metrics: values.map((value, step) => ({ key: 'm', value, step: step - 2, timestamp: 9 })),
        })
        expect(await registry.getMetricHistory(runId, 'm')).toEqual(
          values.map((value, step) => ({ key: 'm', value, step: step - 2, timestamp: 9 })),
        )
        await registry.logBatch(runId, { metrics: [{ key: 'nan', value: Number.NaN }] })
        expect((await registry.getRun(runId)).metrics).toEqual({ m: 2 ** 53, nan: Number.NaN })
      })

      test(`infinities are ${infinities}`, async () => {
        const { runId } = await registry.createRun(home)
        const largest = infinities === 'kept' ? Infinity : Number.MAX_VALUE
        await registry.logBatch(runId, {
          metrics: [Infinity, -Infinity].map((value, step) => ({ key: 'm', value, step })),
        })
        expect((await registry.getMetricHistory(runId, 'm')).map((metric) => metric.value)).toEqual([largest, -largest])
        expect((await registry.getRun(runId)).metrics).toEqual({ m: -largest })
      })

      test('history and latest value equal a naive log, in any order of arrival', async () => {
        const { runId } = await registry.createRun(home)
        const random = seeded(11)
        const logged: Metric[] = Array.from({ length: 300 }, () => ({
          key: 'm',
          step: Math.floor(random() * 5) - 2,
          timestamp: Math.floor(random() * 3),
          value: Math.floor(random() * 6) / 4,
        }))
        for (let from = 0; from < logged.length; from += 50) {
          await registry.logBatch(runId, { metrics: logged.slice(from, from + 50) })
        }
        const distinct = [...new Map(logged.map((metric) => [JSON.stringify(metric), metric])).values()]
        distinct.sort((a, b) => a.step - b.step || a.timestamp - b.timestamp || a.value - b.value)
        expect(await registry.getMetricHistory(runId, 'm')).toEqual(distinct)
        expect((await registry.getRun(runId)).metrics).toEqual({ m: distinct.at(-1)?.value })
        expect(await registry.getMetricHistory(runId, 'none')).toEqual([])
      })

      test.each(['', '.', '..', '..a', './a', '/a', 'a/', 'a//b', '../a', 'a/../b', 'a\nb', 'é', 'x'.repeat(251)])(
        'key %j is refused',
        async (key) => {
          const { runId } = await registry.createRun(home)
          await expect(registry.logBatch(runId, { params: { [key]: '1' } })).rejects.toThrow(UserError)
          await expect(registry.logBatch(runId, { metrics: [{ key, value: 1 }] })).rejects.toThrow(UserError)
          await expect(registry.setTag(runId, key, '1')).rejects.toThrow(UserError)
        },
      )

      test('values and times out of range are refused', async () => {
        const { runId } = await registry.createRun(home)
        await registry.logBatch(runId, { params: { p: 'x'.repeat(6000) }, tags: { t: 'x'.repeat(8000) } })
        const metric = (at: Partial<Metric>): Promise<void> =>
          registry.logBatch(runId, { metrics: [{ key: 'm', value: 1, ...at }] })
        const refused: [() => Promise<void>, RegExp][] = [
          [() => registry.logBatch(runId, { params: { q: 'x'.repeat(6001) } }), /6001/],
          [() => registry.setTag(runId, 'u', 'x'.repeat(8001)), /8001/],
          [() => metric({ timestamp: -1 }), /-1/],
          [() => metric({ step: 0.5 }), /0\.5/],
        ]
        for (const [call, message] of refused) await expect(call()).rejects.toThrow(message)
      })

      test('an unknown run is not found', async () => {
        const id = '0'.repeat(32)
        const calls: (() => Promise<unknown>)[] = [
          () => registry.getRun(id),
          () => registry.logBatch(id, {}),
          () => registry.updateRun(id, {}),
          () => registry.endRun(id, 'KILLED'),
          () => registry.setTag(id, 'a', 'b'),
          () => registry.getMetricHistory(id, 'm'),
          () => registry.listArtifacts(id),
        ]
        for (const call of calls) await expect(call()).rejects.toThrow(NotFoundError)
      })
    })

    describe('searchRuns', () => {
      test('order equals a naive sort: values, then NaN, then missing, in both directions', async () => {
        const runs = await population(registry, named('study'))
        const experiment = runs[0].experimentId
        expect(await registry.searchRuns(experiment)).toEqual([...runs].sort(byStart))
        for (const direction of ['ascending', 'descending'] as const) {
          const sign = direction === 'ascending' ? 1 : -1
          const byValue = (a: Run, b: Run): number => (rank(a) === 0 ? sign * (a.metrics.ap - b.metrics.ap) : 0)
          const naive = [...runs].sort((a, b) => rank(a) - rank(b) || byValue(a, b) || byStart(a, b))
          expect(await registry.searchRuns(experiment, { orderBy: { metric: 'ap', direction } })).toEqual(naive)
        }
      })

      test('filters equal a naive filter', async () => {
        const runs = (await population(registry, named('study'))).sort(byStart)
        const search = { status: 'FINISHED', tags: { parent: 'b\'"%' }, params: { depth: '1' } } as const
        const experiment = runs[0].experimentId
        expect(await registry.searchRuns(experiment, { filter: { status: 'FINISHED' } })).toEqual(
          runs.filter((run) => run.status === 'FINISHED'),
        )
        const all = runs.filter(
          (run) => run.status === 'FINISHED' && run.tags.parent === 'b\'"%' && run.params.depth === '1',
        )
        expect(all.length).toBeGreaterThan(0)
        expect(await registry.searchRuns(experiment, { filter: search })).toEqual(all)
        expect(await registry.searchRuns(experiment, { filter: { tags: { parent: 'A' } } })).toEqual([])
      })

      test('a search by a name that nothing can have is refused', async () => {
        await registry.createRun(home)
        const searches: RunSearch[] = [
          { filter: { tags: { '..': 'x' } } },
          { filter: { params: { 'a//b': 'x' } } },
          { orderBy: { metric: 'a`b', direction: 'ascending' } },
        ]
        for (const search of searches) await expect(registry.searchRuns(home, search)).rejects.toThrow(UserError)
      })

      test('maxResults cuts, and has bounds', async () => {
        for (let index = 0; index < 5; index++) await registry.createRun(home, { startTime: index })
        expect((await registry.searchRuns(home, { maxResults: 2 })).map((run) => run.startTime)).toEqual([4, 3])
        for (const maxResults of [0, 50_001, 1.5]) {
          await expect(registry.searchRuns(home, { maxResults })).rejects.toThrow(String(maxResults))
        }
      })
    })

    describe('artifacts', () => {
      test('bytes come back, folders are listed by level', async () => {
        const { runId } = await registry.createRun(home)
        const bytes = Uint8Array.from({ length: 300_000 }, (_, index) => (index * 31) % 256)
        await registry.logArtifact(runId, 'model/model.onnx', bytes)
        await registry.logArtifact(runId, 'model/data/weights.bin', new Uint8Array(0))
        await registry.logArtifact(runId, 'model-notes.txt', Buffer.from('é'))
        expect(Buffer.compare(await registry.downloadArtifact(runId, 'model/model.onnx'), bytes)).toBe(0)
        expect(await registry.downloadArtifact(runId, 'model/data/weights.bin')).toHaveLength(0)
        expect(await registry.listArtifacts(runId)).toEqual([
          { path: 'model', isDir: true },
          { path: 'model-notes.txt', isDir: false, fileSize: 2 },
        ])
        expect(await registry.listArtifacts(runId, 'model')).toEqual([
          { path: 'model/data', isDir: true },
          { path: 'model/model.onnx', isDir: false, fileSize: 300_000 },
        ])
        expect(await registry.listArtifacts(runId, 'nothing')).toEqual([])
      })

      test('a path is written once', async () => {
        const { runId } = await registry.createRun(home)
        await registry.logArtifact(runId, 'a.txt', Buffer.from('one'))
        await registry.logArtifact(runId, 'a.txt', Buffer.from('one'))
        await expect(registry.logArtifact(runId, 'a.txt', Buffer.from('two'))).rejects.toThrow(/"a.txt".*other bytes/)
        await expect(registry.logArtifact(runId, 'a.txt/b', Buffer.from('two'))).rejects.toThrow(/both file and folder/)
        expect(String(Buffer.from(await registry.downloadArtifact(runId, 'a.txt')))).toBe('one')
      })

      test.each(['', '/etc/passwd', '../x', 'a/../../x', 'a\\..\\x', 'a//b', './a', 'C:x', 'a\0b'])(
        'path %j is refused',
        async (path) => {
          const { runId } = await registry.createRun(home)
          await expect(registry.logArtifact(runId, path, new Uint8Array(1))).rejects.toThrow(UserError)
          await expect(registry.downloadArtifact(runId, path)).rejects.toThrow(UserError)
        },
      )

      test('a missing artifact is not found, with those that exist', async () => {
        const { runId } = await registry.createRun(home)
        await registry.logArtifact(runId, 'a.txt', Buffer.from('one'))
        await expect(registry.downloadArtifact(runId, 'b.txt')).rejects.toThrow(/"b.txt".*a\.txt/)
      })
    })

    describe('models', () => {
      test('versions count up and a deleted number is not given again', async () => {
        const source = await modelWith(3)
        await registry.deleteModelVersion(cards, 3)
        expect((await registry.createModelVersion({ name: cards, source })).version).toBe(4)
        expect((await registry.searchModelVersions({ name: cards })).map(({ version }) => version)).toEqual([4, 2, 1])
        expect((await registry.getRegisteredModel(cards)).latestVersion).toBe(4)
      })

      test('a version keeps its run, source, tags and files', async () => {
        await registry.createRegisteredModel(named('m'), { description: 'cards', tags: { owner: 'ann' } })
        const { runId, source } = await modelSource()
        const created = await registry.createModelVersion({
          name: named('m'),
          source,
          description: 'first',
          tags: { 'fd.threshold': '0.5' },
        })
        expect(created).toMatchObject({
          name: named('m'),
          version: 1,
          description: 'first',
          source,
          runId,
          status: 'READY',
          aliases: [],
          tags: { 'fd.threshold': '0.5' },
        })
        await registry.setModelVersionTag(named('m'), 1, 'checked', 'yes')
        expect((await registry.getModelVersion(named('m'), 1)).tags).toEqual({ 'fd.threshold': '0.5', checked: 'yes' })
        expect(String(Buffer.from(await registry.downloadModelArtifact(named('m'), 1, 'model.onnx')))).toBe(
          `graph of ${runId}`,
        )
        expect(await registry.searchModelVersions({ runId })).toHaveLength(1)
        expect(await registry.getRegisteredModel(named('m'))).toMatchObject({
          description: 'cards',
          tags: { owner: 'ann' },
          aliases: {},
          latestVersion: 1,
        })
      })

      test('a source without files, or of another run, is refused', async () => {
        const { runId, source } = await modelSource()
        await registry.createRegisteredModel(named('m'))
        const otherRun = '0'.repeat(32)
        const refused = [
          { source: `runs:/${runId}/nothing` },
          { source: `runs:/${runId}/mode` },
          { source: `runs:/${otherRun}/model` },
          { source: `runs:/${runId}` },
          { source: '/etc' },
          { source, runId: otherRun },
        ]
        for (const version of refused) {
          await expect(registry.createModelVersion({ name: named('m'), ...version })).rejects.toThrow(UserError)
        }
        expect(await registry.searchModelVersions({ name: named('m') })).toEqual([])
        expect(await registry.searchModelVersions({ runId })).toEqual([])
      })

      test('an alias points at one version and moves', async () => {
        await modelWith(2)
        await registry.setRegisteredModelAlias(cards, 'champion', 1)
        await registry.setRegisteredModelAlias(cards, 'challenger', 1)
        expect((await registry.getModelVersionByAlias(cards, 'champion')).aliases).toEqual(['challenger', 'champion'])
        await registry.setRegisteredModelAlias(cards, 'champion', 2)
        expect(await registry.aliasVersion(cards, 'champion')).toBe(2)
        expect((await registry.getRegisteredModel(cards)).aliases).toEqual({ challenger: 1, champion: 2 })
        await registry.deleteRegisteredModelAlias(cards, 'champion')
        await registry.deleteRegisteredModelAlias(cards, 'champion')
        expect(await registry.aliasVersion(cards, 'champion')).toBeUndefined()
        expect(await registry.aliasVersion(named('nothing'), 'champion')).toBeUndefined()
      })

      test('aliases are case-sensitive', async () => {
        await modelWith(2)
        await registry.setRegisteredModelAlias(cards, 'Champion', 1)
        expect(await registry.aliasVersion(cards, 'champion')).toBeUndefined()
      })

      test.each(['latest', 'LATEST', 'v3', 'V10', '', 'a b', 'a/b', 'é', 'x'.repeat(256)])(
        'alias %j is refused',
        async (alias) => {
          await modelWith(1)
          await expect(registry.setRegisteredModelAlias(cards, alias, 1)).rejects.toThrow(UserError)
        },
      )

      test('"1" and "v" are aliases', async () => {
        await modelWith(1)
        for (const alias of ['1', 'v', 'constructor', '__proto__']) {
          await registry.setRegisteredModelAlias(cards, alias, 1)
        }
        expect(Object.keys((await registry.getRegisteredModel(cards)).aliases).sort()).toEqual([
          '1',
          '__proto__',
          'constructor',
          'v',
        ])
      })

      test.each(['', '.', '..', '..a', 'a/b', 'a:b', 'a@b', ' a', 'a\n', 'x'.repeat(257)])(
        'model name %j is refused',
        async (name) => {
          await expect(registry.createRegisteredModel(name)).rejects.toThrow(UserError)
        },
      )

      test('a name is taken once, unless it may exist', async () => {
        await registry.createRegisteredModel(named('m'), { description: 'first' })
        await expect(registry.createRegisteredModel(named('m'))).rejects.toThrow(`"${named('m')}" exists already`)
        expect(
          await registry.createRegisteredModel(named('m'), { description: 'second', mayExist: true }),
        ).toMatchObject({ description: 'first' })
        await registry.createRegisteredModel(named('a'))
        expect((await registry.searchRegisteredModels()).map((model) => model.name).filter(isOurs)).toEqual([
          named('a'),
          named('m'),
        ])
      })

      test('an aliased version cannot be deleted', async () => {
        await modelWith(2)
        await registry.setRegisteredModelAlias(cards, 'champion', 1)
        await expect(registry.deleteModelVersion(cards, 1)).rejects.toThrow(/champion.*cannot be deleted/)
        await registry.setRegisteredModelAlias(cards, 'champion', 2)
        await registry.deleteModelVersion(cards, 1)
        await expect(registry.getModelVersion(cards, 1)).rejects.toThrow(`No version 1 of "${cards}"; there is 2`)
      })

      test('what is missing is named, with what exists and the next command', async () => {
        const [x, empty, full] = [named('x'), named('empty'), cards]
        await expect(registry.getRegisteredModel(x)).rejects.toThrow(
          shared === undefined
            ? `No registered model "x", the registry is empty. Run: fd train --dataset NAME --register x`
            : `No registered model "${x}"`,
        )
        await registry.createRegisteredModel(empty)
        await expect(registry.getModelVersionByAlias(empty, 'champion')).rejects.toThrow(
          `No champion for "${empty}", it has no versions. Run: fd train --dataset NAME --register ${empty}`,
        )
        await modelWith(3)
        await expect(registry.getModelVersionByAlias(full, 'champion')).rejects.toThrow(
          `No champion for "${full}". Run: fd models promote ${full} 3`,
        )
        await registry.setRegisteredModelAlias(full, 'champion', 2)
        await expect(registry.getModelVersionByAlias(full, 'blue')).rejects.toThrow(
          `No blue for "${full}"; there is champion (version 2). Run: fd models promote ${full} 3 --alias blue`,
        )
        await expect(registry.getModelVersion(full, 9)).rejects.toThrow(`No version 9 of "${full}"; there are 1, 2, 3.`)
        await expect(registry.setRegisteredModelAlias(full, 'blue', 9)).rejects.toThrow(NotFoundError)
        await expect(registry.getModelVersionByAlias(x, 'champion')).rejects.toThrow(
          shared === undefined
            ? 'No registered model "x"; there are card-fraud, empty.'
            : `No registered model "${x}"; there`,
        )
      })
    })

    describe('added tags', () => {
      test('are new or not written, with their move', async () => {
        await modelWith(2)
        const add = (key: string, expected: number | undefined, version: number): Promise<boolean> =>
          registry.addRegisteredModelTag(cards, { key, value: key }, { alias: 'champion', expected, version })
        expect(await add('fd.history.000001', undefined, 1)).toBe(true)
        expect(await add('fd.history.000001', 1, 2)).toBe(false)
        expect(await add('fd.history.000002', undefined, 2)).toBe(false)
        expect(await add('fd.history.000002', 2, 2)).toBe(false)
        expect(await registry.getRegisteredModel(cards)).toMatchObject({
          aliases: { champion: 1 },
          tags: { 'fd.history.000001': 'fd.history.000001' },
        })
        expect(await add('fd.history.000002', 1, 2)).toBe(true)
        await expect(add('fd.history.000003', 2, 9)).rejects.toThrow(NotFoundError)
        expect(Object.keys((await registry.getRegisteredModel(cards)).tags)).toHaveLength(2)
      })

      test('of the history are neither set nor deleted', async () => {
        await modelWith(1)
        await registry.addRegisteredModelTag(cards, { key: 'fd.history.000001', value: 'x' })
        const refused: (() => Promise<unknown>)[] = [
          () => registry.setRegisteredModelTag(cards, 'fd.history.000001', 'y'),
          () => registry.deleteRegisteredModelTag(cards, 'fd.history.000001'),
          () => registry.createRegisteredModel(named('other'), { tags: { 'fd.history.000001': 'y' } }),
        ]
        for (const call of refused) await expect(call()).rejects.toThrow(/append-only/)
        await registry.setRegisteredModelTag(cards, 'owner', 'ann')
        await registry.setRegisteredModelTag(cards, 'owner', 'bob')
        expect((await registry.getRegisteredModel(cards)).tags).toEqual({
          'fd.history.000001': 'x',
          owner: 'bob',
        })
        await registry.deleteRegisteredModelTag(cards, 'owner')
        await registry.deleteRegisteredModelTag(cards, 'owner')
        expect((await registry.getRegisteredModel(cards)).tags).toEqual({ 'fd.history.000001': 'x' })
      })
    })

    describe('a registry that is opened again', () => {
      test('has everything that was there', async () => {
        const source = await modelWith(1)
        await registry.setRegisteredModelAlias(cards, 'champion', 1)
        await registry[Symbol.asyncDispose]()
        registry = await open(url, { now: () => time++ })
        expect(await registry.getModelVersionByAlias(cards, 'champion')).toMatchObject({
          version: 1,
          source,
        })
        expect(await registry.downloadModelArtifact(cards, 1, 'model.onnx')).toHaveLength(41)
      })
    })

    describe.runIf(processes)('processes', () => {
      test('with a definition of any length has it in its card', async () => {
        await registry.createRegisteredModel(cards)
        const { source } = await modelSource()
        const features = Array.from({ length: 3000 }, (_, i) => ({ name: `café ${i}`, function: 'count' }))
        const definition = { name: 'own', description: '', views: [{ kind: 'aggregate', features }] }
        const card = sampleCard({ service: { name: 'own', digest: 'd'.repeat(64), definition } })
        await registry.createModelVersion({ name: cards, source, tags: modelCardTags(card) })
        expect(readModelCard(await registry.getModelVersion(cards, 1))).toEqual(card)
      })

      test('of many processes that promote at once none loses its record', async () => {
        await registry.createRegisteredModel(cards)
        const { source } = await modelSource()
        await registry.createModelVersion({ name: cards, source, tags: modelCardTags(sampleCard()) })
        const [processes, each] = IN_CI ? [6, 8] : [4, 3]
        // No champion: others look at the champions of a shared server, and this one has a card of no real model.
        const children = Array.from({ length: processes }, () =>
          startWriter(url, 'versions', cards, source, String(each), 'racer'),
        )
        const printed = (await Promise.all(children.map((child) => linesOf(child)))).flat()
        const promoted = printed.filter((line) => line.endsWith(' promoted')).map((line) => Number(line.split(' ')[0]))
        expect(promoted).toHaveLength(processes * each)
        const { entries, unrecorded, broken } = await history(registry, cards)
        expect({ unrecorded, broken }).toEqual({ unrecorded: [], broken: undefined })
        expect(entries.map(({ version }) => version).toSorted((a, b) => a - b)).toEqual(
          promoted.toSorted((a, b) => a - b),
        )
        let holder: number | undefined
        for (const entry of entries.filter(isMove)) {
          expect(entry.from).toBe(holder)
          holder = entry.version
        }
        expect(await registry.aliasVersion(cards, 'racer')).toBe(holder)
      }, 180_000)

      test('two processes write one run at once and nothing is lost', async () => {
        const { runId } = await registry.createRun(home)
        await Promise.all(['a', 'b'].map((key) => linesOf(startWriter(url, 'metrics', runId, key, String(STEPS)))))
        for (const key of ['a', 'b']) {
          expect((await registry.getMetricHistory(runId, key)).map((metric) => metric.step)).toEqual(
            Array.from({ length: STEPS }, (_, step) => step),
          )
        }
        expect((await registry.getRun(runId)).tags.last).toMatch(new RegExp(` ${STEPS - 1}$`))
      })

      test('a killed writer loses nothing it had acknowledged and leaves nothing by halves', async () => {
        const { runId } = await registry.createRun(home)
        for (const enough of [2, 9, 23]) {
          const child = startWriter(url, 'forever', runId)
          // The first line says that the registry is open.
          const acknowledged = (await linesOf(child, enough)).length - 1
          // A server may still work on the last batch of the killed writer, so both are read until they agree.
          await vi.waitFor(
            async () => {
              const history = await registry.getMetricHistory(runId, `pid-${child.pid}`)
              expect(history.length).toBeGreaterThanOrEqual(acknowledged)
              const { params } = await registry.getRun(runId)
              expect(Object.keys(params).filter((key) => key.startsWith(`p-${child.pid}-`))).toHaveLength(
                history.length,
              )
            },
            { timeout: 5000, interval: 100 },
          )
          const files = await registry.listArtifacts(runId, `pid-${child.pid}`)
          expect(files.length).toBeGreaterThanOrEqual(acknowledged)
          for (const { path } of files) expect(await registry.downloadArtifact(runId, path)).toHaveLength(100_000)
        }
      })
    })
  })
}
