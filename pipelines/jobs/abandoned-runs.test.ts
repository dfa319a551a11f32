import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Run } from '../../registry/model.ts'
import { openRegistry } from '../../registry/open.ts'
import type { Registry } from '../../registry/registry.ts'
import { runFd, type FdProcess } from '../console/fd-process.ts'
import { startedProcesses } from '../testing/started.ts'

let folder: string
let file: string
let quick: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fd-runs-'))
  file = join(folder, 'transactions.parquet')
  quick = join(folder, 'quick.yaml')
  await writeFile(quick, 'heartbeatMs: 50\n')
  const size = ['--customers', '150', '--terminals', '200', '--days', '80', '--seed', '3']
  const made = await runFd(folder, ['datasets', 'simulate', ...size, '--out', file])
  if (made.code !== 0) throw new Error(made.stderr)
})
afterAll(async () => {
  await started[Symbol.asyncDispose]()
  await rm(folder, { recursive: true, force: true })
})

const started = startedProcesses()
const start = started.fd

/** Each test starts several processes, on a machine that may be busy. */
const PATIENT = { timeout: 180_000 }
/** A training that lasts until something ends it: if not by its trees, then by its shuffles. */
const ENDLESS = ['--model', 'forest', '--param', 'trees=10000', '--importance', '1000000']

/** The runs of the model's experiment, as soon as `fd` has begun so many. */
async function begunRuns(registry: Registry, name: string, fd: FdProcess, count: number): Promise<Run[]> {
  let end: string | undefined
  void fd.ended.then(({ stderr }) => (end = stderr))
  for (;;) {
    const runs = await runsOf(registry, name)
    if (runs.length === count) return runs
    if (end !== undefined) throw new Error(end)
    await sleep(50)
  }
}

async function runsOf(registry: Registry, name: string): Promise<Run[]> {
  const experiment = await registry.getExperimentByName(name)
  return experiment === undefined ? [] : registry.searchRuns(experiment.experimentId)
}

const states = (runs: Run[]): string[] => runs.map(({ status }) => status).toSorted()

/** Resolves when no process of a command's jobs is left. */
async function jobsEnded(pids: number[]): Promise<void> {
  const alive = (pid: number): boolean =>
    existsSync(`/proc/${pid}/cmdline`) && readFileSync(`/proc/${pid}/cmdline`, 'utf8') !== ''
  while (pids.some(alive)) await sleep(20)
}

function jobProcessesOf({ child }: FdProcess): number[] {
  return execFileSync('ps', ['-A', '-o', 'pid=,ppid=,args='], { encoding: 'utf8' })
    .split('\n')
    .map((row) => row.trim().split(/\s+/))
    .filter(([, parent, ...args]) => Number(parent) === child.pid && args.includes('job-process'))
    .map(([pid]) => Number(pid))
}

/**
 * What abandoned runs come to, on one registry. `place` gives the environment for a home and opens the registry. On a
 * shared one, others may close a run first.
 */
function abandonedRunsContract(
  driver: string,
  shared: boolean,
  place: (home: string) => { env: Record<string, string>; open(): Promise<Registry> },
): void {
  describe(`runs on ${driver}`, () => {
    const name = (): string => `fd-test-${randomUUID()}`

    test('a training is killed with -9: the next one closes its run, and says why', PATIENT, async () => {
      const [home, model] = [join(folder, `${driver}-killed`), name()]
      const { env, open } = place(home)
      await using registry = await open()
      const train = ['train', '--dataset', 'simulated', '--data', file, '--register', model]
      const fd = start(home, [...train, ...ENDLESS], env)
      await begunRuns(registry, model, fd, 1)
      fd.child.kill('SIGKILL')
      await fd.ended
      expect(states(await runsOf(registry, model))).toEqual(['RUNNING'])
      const next = await runFd(home, [...train, '--param', 'rounds=5'], env)
      expect(next.code, next.stderr).toBe(0)
      const killed = (await runsOf(registry, model)).find(({ status }) => status !== 'FINISHED')
      const reason = `Its owner, process ${fd.child.pid} on `
      expect(killed?.status).toBe('KILLED')
      expect(killed?.tags['fd.end.reason']).toContain(reason)
      expect(shared || next.stderr.includes(`Run ${killed?.runId} is closed as KILLED. ${reason}`)).toBe(true)
    })

    test(
      'a command and with it the processes of its jobs are killed with -9: all its runs are closed',
      PATIENT,
      async () => {
        const [home, model] = [join(folder, `${driver}-command`), name()]
        const { env, open } = place(home)
        await using registry = await open()
        const jobs = ['--seeds', '2', '--workers', '2', '--register', model]
        const fd = start(home, ['train', '--dataset', 'simulated', '--data', file, ...ENDLESS, ...jobs], env)
        await begunRuns(registry, model, fd, 3)
        const processes = jobProcessesOf(fd)
        expect(processes).toHaveLength(2)
        fd.child.kill('SIGKILL')
        await Promise.all([fd.ended, jobsEnded(processes)])
        const left = (await runsOf(registry, model)).filter(({ status }) => status === 'RUNNING')
        expect(left.some(({ tags }) => tags['fd.candidate'] === undefined)).toBe(true)
        const ended = await runFd(home, ['runs', 'close'], env)
        expect(ended.code, ended.stderr).toBe(0)
        for (const { runId } of left) expect((await registry.getRun(runId)).status).toBe('KILLED')
      },
    )

    test(
      'a process of another machine is stopped, its run is closed; when it goes on it ends in words and ' +
        'registers nothing',
      PATIENT,
      async () => {
        const [home, model] = [join(folder, `${driver}-stopped`), name()]
        const { env, open } = place(home)
        await using registry = await open()
        const train = ['train', '--dataset', 'simulated', '--data', file, '--register', model, ...ENDLESS]
        const fd = start(home, [...train, '--config', quick], env)
        const [run] = await begunRuns(registry, model, fd, 1)
        // As any other machine sees it.
        const elsewhere = { ...(JSON.parse(run.tags['fd.owner']) as object), host: 'elsewhere' }
        await registry.setTag(run.runId, 'fd.owner', JSON.stringify(elsewhere))
        fd.child.kill('SIGSTOP')
        const closed = await runFd(home, ['runs', 'close'], env)
        expect(closed.code, closed.stderr).toBe(0)
        const reason = `Its owner, process ${fd.child.pid} on elsewhere, gave no sign of life for 0.3 s.`
        const left = { status: 'KILLED', tags: { 'fd.end.reason': reason } }
        expect(await registry.getRun(run.runId)).toMatchObject(left)
        fd.child.kill('SIGCONT')
        const { code, stderr } = await fd.ended
        expect(stderr).toContain(`Run ${run.runId} was closed as KILLED while this process worked on it. ${reason}`)
        expect(stderr).toContain('Nothing of it is registered. Run the command again.')
        expect(code).toBe(2)
        await expect(registry.getRegisteredModel(model)).rejects.toThrow(/No registered model/)
        expect(states(await runsOf(registry, model))).toEqual(['KILLED'])
      },
    )
  })
}

abandonedRunsContract('sqlite', false, (home) => ({
  env: {},
  open: () => openRegistry(`sqlite:${join(home, 'registry')}`, { now: Date.now }),
}))

const mlflow = process.env.FD_TEST_MLFLOW_URL
if (mlflow !== undefined) {
  abandonedRunsContract('mlflow', true, () => ({
    env: { MLFLOW_TRACKING_URI: mlflow },
    open: () => openRegistry(mlflow, { now: Date.now }),
  }))
}

test(
  'fd doctor names abandoned runs and those of an older fd, with the commands that close them',
  PATIENT,
  async () => {
    const home = join(folder, 'doctor')
    const registry = await openRegistry(`sqlite:${join(home, 'registry')}`, { now: Date.now })
    const fd = start(home, ['train', '--dataset', 'simulated', '--data', file, ...ENDLESS])
    const [left] = await begunRuns(registry, 'card-fraud', fd, 1)
    const living = await runFd(home, ['runs', 'close', left.runId])
    expect(living.stderr).toContain(
      `Process ${fd.child.pid} works on run ${left.runId}. End it first: kill ${fd.child.pid}`,
    )
    fd.child.kill('SIGKILL')
    await fd.ended
    const tags = { 'mlflow.source.name': 'fd 0.1.0' }
    const old = await registry.createRun(left.experimentId, { tags })
    const judged = async (): Promise<{ state: string; detail: string }> => {
      const { stdout } = await runFd(home, ['doctor', '--json'])
      const found = (JSON.parse(stdout) as { aspect: string; state: string; detail: string }[]).find(
        ({ aspect }) => aspect === 'runs',
      )
      return found ?? { state: 'none', detail: '' }
    }
    const { state, detail } = await judged()
    expect(state).toBe('warning')
    expect(detail).toMatch(new RegExp(`^Run ${left.runId} is RUNNING\\. .* closes it, or: fd runs close$`, 'm'))
    expect(detail).toMatch(new RegExp(`When nothing trains, run: fd runs close ${old.runId}$`, 'm'))
    const closed = await runFd(home, ['runs', 'close'])
    expect(closed.stdout).toContain(left.runId)
    expect(closed.stderr).toMatch(new RegExp(`name no owner.*run: fd runs close ${old.runId}$`, 'm'))
    expect((await runFd(home, ['runs', 'close'])).stdout).toContain('No run was closed: of none is it known')
    expect((await runFd(home, ['runs', 'close', old.runId, '--json'])).code).toBe(0)
    expect((await registry.getRun(old.runId)).tags['fd.end.reason']).toMatch(/^Closed by /)
    expect((await runFd(home, ['runs', 'close', old.runId])).stderr).toContain(`Run ${old.runId} is KILLED already.`)
    expect((await judged()).state).toBe('ok')
    await registry[Symbol.asyncDispose]()
  },
)
