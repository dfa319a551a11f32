import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeEach, expect, onTestFinished, test } from 'vitest'
import { LONGEST_HEARTBEAT_MS, SILENT_BEATS } from '../../configs/heartbeat.ts'
import { thisHostedProcess, type HostedProcess } from '../../configs/process/living-process.ts'
import type { Run } from '../../registry/model.ts'
import { openRegistry } from '../../registry/open.ts'
import type { Registry } from '../../registry/registry.ts'
import { abandonedRuns, ownerlessRuns, sweepRuns } from './abandoned.ts'
import { runOwnership } from './heartbeat.ts'
import { HEARTBEAT, ownerOf, ownerTags } from './run-owner.ts'

const folder = mkdtempSync(join(tmpdir(), 'fd-owners-'))
const url = `sqlite:${folder}`
/** Time between two signs of life, ms. */
const EVERY = 20

let registry: Registry
let experiment: string
let tests = 0
beforeEach(async () => {
  registry = await openRegistry(url, { now: Date.now })
  experiment = await registry.createExperiment(`test ${tests++}`)
})
afterEach(async () => {
  for (const { experimentId } of await registry.searchExperiments()) {
    const running = await registry.searchRuns(experimentId, { filter: { status: 'RUNNING' } })
    for (const { runId } of running) await registry.endRun(runId, 'KILLED')
  }
  await registry[Symbol.asyncDispose]()
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** A run of a process, as that process would have made it. */
function runOf(owner: Partial<HostedProcess>): Promise<Run> {
  const tags = { ...ownerTags(EVERY), 'fd.owner': JSON.stringify({ ...thisHostedProcess(), ...owner, everyMs: EVERY }) }
  return registry.createRun(experiment, { tags })
}

/** Gives the sign of life of a run that is owned elsewhere. */
const beat = (runId: string, beats: number): Promise<void> => registry.setTag(runId, HEARTBEAT, String(beats))

async function abandoned(): Promise<{ runId: string; reason: string }[]> {
  const found: { runId: string; reason: string }[] = []
  for await (const { run, reason } of abandonedRuns(registry)) found.push({ runId: run.runId, reason })
  return found
}

/** A process of this machine that has ended. */
async function deadProcess(): Promise<Partial<HostedProcess>> {
  const child = spawn(process.execPath, ['-e', ''])
  await once(child, 'exit')
  return { pid: child.pid, started: '1' }
}

test('a run whose process has ended on this machine is found at once; one whose process lives is not', async () => {
  await runOf({})
  const { runId } = await runOf(await deadProcess())
  // A pid that was given again is another process.
  const reused = await runOf({ started: '1' })
  const reason = expect.stringMatching(new RegExp(`^Its owner, process \\d+ on ${hostname()}, has ended\\.$`)) as string
  const found = await abandoned()
  expect(found).toContainEqual({ runId, reason })
  expect(found.map((run) => run.runId).toSorted()).toEqual([runId, reused.runId].toSorted())
})

test.runIf(process.platform === 'linux')('a process that is stopped is alive on its own machine', async () => {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'])
  onTestFinished(async () => {
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  })
  await once(child, 'spawn')
  child.kill('SIGSTOP')
  const { pid = 0 } = child
  const stat = (): string[] => readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1].split(' ')
  while (stat()[0] !== 'T') await sleep(5)
  await runOf({ pid, started: stat()[19] })
  expect(await abandoned()).toEqual([])
})

test.each([{ host: 'elsewhere' }, { place: 'another boot/1' }])(
  'of a process that cannot be seen (%j) silence alone tells',
  async (mark) => {
    const { runId } = await runOf(mark)
    const living = await runOf(mark)
    let beats = 0
    const heart = setInterval(() => void beat(living.runId, ++beats), EVERY / 4)
    const found = await abandoned()
    clearInterval(heart)
    expect(found.map((run) => run.runId)).toEqual([runId])
    expect(found[0].reason).toContain(`gave no sign of life for ${(SILENT_BEATS * EVERY) / 1000} s`)
  },
)

test('a single sign of life shortly before the end of the watch saves the run', async () => {
  const { runId } = await runOf({ host: 'elsewhere' })
  const { getRun } = registry
  let looks = 0
  // The owner wakes between the last look but one and the last.
  registry.getRun = async (id) => {
    if (++looks === SILENT_BEATS) await beat(runId, 1)
    return getRun(id)
  }
  expect(await abandoned()).toEqual([])
  expect(looks).toBe(SILENT_BEATS)
})

test('a living owner is heard while its event loop is blocked, and hears when its run is closed', async () => {
  const ownership = runOwnership({ url, credentials: {} }, EVERY)
  const { runId } = await registry.createRun(experiment, { tags: ownership.tags })
  await using alive = ownership.begin(runId)
  const heard = async (): Promise<number> => Number((await registry.getRun(runId)).tags[HEARTBEAT])
  while ((await heard()) === 0) await sleep(5)
  const before = await heard()
  // No turn of the event loop: node:sqlite answers within the call.
  let now = before
  for (let turn = 0; turn < 1_000 && now < before + 3; turn++) {
    now = await heard()
    const until = performance.now() + EVERY
    while (performance.now() < until);
  }
  expect(now).toBeGreaterThanOrEqual(before + 3)
  expect(alive.closed.aborted).toBe(false)
  expect(await registry.endRun(runId, 'KILLED', { reason: 'test' })).toBe(true)
  if (!alive.closed.aborted) await once(alive.closed, 'abort')
})

test('a registry that cannot be opened costs signs of life, and gives them back when it can', async () => {
  // The registry of the thread is damaged at first. Its folder of artifacts is made before that is found.
  const [place, broken, other] = ['place', 'broken', 'other'].map((name) => join(folder, name))
  mkdirSync(broken)
  writeFileSync(join(broken, 'registry.db'), 'not a database '.repeat(100))
  symlinkSync(broken, place)
  const artifacts = join(broken, 'artifacts')
  const tried = async (): Promise<void> => {
    while (!existsSync(artifacts)) await sleep(5)
    rmSync(artifacts, { recursive: true })
  }
  const ownership = runOwnership({ url: `sqlite:${place}`, credentials: {} }, EVERY)
  const { runId } = await registry.createRun(experiment, { tags: ownership.tags })
  await using alive = ownership.begin(runId)
  await tried()
  await tried()
  symlinkSync(folder, other)
  renameSync(other, place)
  while (Number((await registry.getRun(runId)).tags[HEARTBEAT]) === 0) await sleep(5)
  expect(alive.closed.aborted).toBe(false)
})

test('a fault of the thread is told, and the process goes on', async () => {
  const told: string[] = []
  // No interval of this length can be waited for.
  const ownership = runOwnership({ url, credentials: {} }, 'now' as unknown as number, (line) => told.push(line))
  await using _alive = ownership.begin('r1')
  while (told.length === 0) await sleep(5)
  expect(told).toEqual([expect.stringMatching(/^Run r1 gives no more signs of life: .*now/)])
})

test('a sweep ends what is abandoned, once however many sweep at once, with the reason', async () => {
  const { runId } = await runOf(await deadProcess())
  await runOf({ host: 'elsewhere' })
  const others = await Promise.all(Array.from({ length: 4 }, () => openRegistry(url, { now: Date.now })))
  const told: string[] = []
  // Disposed at once: what is known to be gone is ended all the same, and nobody waits for the run elsewhere.
  await Promise.all(others.map((other) => sweepRuns(other, (line) => told.push(line))[Symbol.asyncDispose]()))
  await Promise.all(others.map((other) => other[Symbol.asyncDispose]()))
  expect(told.filter((line) => line.startsWith(`Run ${runId} is closed as KILLED. Its owner, process`))).toHaveLength(1)
  expect(await registry.getRun(runId)).toMatchObject({ status: 'KILLED' })
  const running = await registry.searchRuns(experiment, { filter: { status: 'RUNNING' } })
  expect(running.map((run) => ownerOf(run)?.host)).toEqual(['elsewhere'])
})

test('a sweep looks once at a time, and once more however often it is asked; never when disposed', async () => {
  const { searchExperiments } = registry
  const gates: PromiseWithResolvers<void>[] = []
  registry.searchExperiments = async () => {
    const gate = Promise.withResolvers<void>()
    gates.push(gate)
    await gate.promise
    return searchExperiments()
  }
  const told: string[] = []
  const sweep = sweepRuns(registry, (line) => told.push(line))
  for (let n = 0; n < 100; n++) sweep.again()
  expect(gates).toHaveLength(1)
  gates[0].reject(new Error('the server is away'))
  while (gates.length < 2) await sleep(1)
  expect(told).toEqual(['Abandoned runs were not closed: the server is away'])
  gates[1].resolve()
  // Asked when nothing is under way, it looks; and what is asked during the last look is dropped by disposing.
  const { runId } = await runOf(await deadProcess())
  while (gates.length < 3) {
    sweep.again()
    await sleep(1)
  }
  sweep.again()
  const disposed = sweep[Symbol.asyncDispose]()
  gates[2].resolve()
  await disposed
  sweep.again()
  registry.searchExperiments = searchExperiments
  expect([gates.length, (await registry.getRun(runId)).status]).toEqual([3, 'KILLED'])
})

test('an interval that no timer can wait for is no owner, so a living run is never closed for it', async () => {
  const tagged = (everyMs: number): Promise<Run> =>
    registry.createRun(experiment, {
      tags: { 'fd.owner': JSON.stringify({ ...thisHostedProcess(), host: 'elsewhere', everyMs }) },
    })
  await tagged(2 ** 31)
  await tagged(LONGEST_HEARTBEAT_MS + 1)
  expect(await abandoned()).toEqual([])
  expect(ownerOf(await tagged(LONGEST_HEARTBEAT_MS))?.everyMs).toBe(LONGEST_HEARTBEAT_MS)
})

test('runs of other tools are left alone; those of an older fd are told apart', async () => {
  await registry.createRun(experiment, { tags: { 'mlflow.source.name': 'train.py' } })
  await registry.createRun(experiment, { tags: { 'fd.owner': 'not JSON', 'mlflow.source.name': 'x' } })
  const old = await registry.createRun(experiment, { tags: { 'mlflow.source.name': 'fd 0.1.0 (sources 12)' } })
  expect(await abandoned()).toEqual([])
  expect((await ownerlessRuns(registry)).map(({ runId }) => runId)).toEqual([old.runId])
})
