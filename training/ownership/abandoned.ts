import { setTimeout as sleep } from 'node:timers/promises'
import { SILENT_BEATS } from '../../configs/heartbeat.ts'
import { hostedState } from '../../configs/process/living-process.ts'
import type { Tell } from '../../configs/tell.ts'
import { errorMessage } from '../../configs/user-error.ts'
import type { DurationMs } from '../../datasets/table/transaction.ts'
import { isActive, type Run } from '../../registry/model.ts'
import type { Registry } from '../../registry/registry.ts'
import { HEARTBEAT, ownerOf, type RunOwner } from './run-owner.ts'

/** A run that is RUNNING though its owner is gone. */
export interface AbandonedRun {
  run: Run
  /** How that is known. */
  reason: string
}

/**
 * The runs that are RUNNING though their owner is gone: first those of this machine, whose processes can be seen; then,
 * as it turns out, those of others.
 *
 * The owner of a run elsewhere is gone when its sign of life stays the same for `SILENT_BEATS` looks in a row, its own
 * interval apart. So nothing depends on whose clock is right, and a machine that slept finds nobody dead when it wakes.
 * A process that is stopped counts as alive on its own machine, and as gone everywhere else.
 *
 * @param watch `signal` ends the watch for signs of life; `tell` hears how long it takes.
 */
export async function* abandonedRuns(
  registry: Registry,
  { signal, tell = () => {}, pause = pauseOfTimer }: Watch & { tell?: Tell } = {},
): AsyncGenerator<AbandonedRun> {
  const elsewhere: Watched[] = []
  for (const run of await runningRuns(registry)) {
    const owner = ownerOf(run)
    if (owner === undefined) continue
    const state = hostedState(owner)
    if (state === 'ended') yield { run, reason: `Its owner, ${named(owner)}, has ended.` }
    else if (state === 'unknown') elsewhere.push({ run, owner, silent: 0 })
  }
  if (elsewhere.length === 0) return
  tell(`Watching ${elsewhere.length} runs of other machines, ${silentSeconds(longestInterval(elsewhere))} s at most.`)
  yield* silentRuns(registry, elsewhere, { signal, pause })
}

/** Runs that are RUNNING and that an fd from before runs had owners has begun. */
export async function ownerlessRuns(registry: Registry): Promise<Run[]> {
  const runs = await runningRuns(registry)
  return runs.filter((run) => ownerOf(run) === undefined && run.tags['mlflow.source.name']?.startsWith('fd '))
}

async function runningRuns(registry: Registry): Promise<Run[]> {
  const found: Run[] = []
  for (const { experimentId } of await registry.searchExperiments()) {
    found.push(...(await registry.searchRuns(experimentId, { filter: { status: 'RUNNING' } })))
  }
  return found
}

/** Waits for a time, or until `signal` is aborted. */
export type Pause = (ms: DurationMs, signal?: AbortSignal) => Promise<unknown>

const pauseOfTimer: Pause = (ms, signal) => sleep(ms, undefined, { signal }).catch(() => undefined)

interface Watch {
  signal?: AbortSignal | undefined
  pause?: Pause
}

/** A run of another machine, and the looks in a row that found no sign of life. */
interface Watched {
  run: Run
  owner: RunOwner
  silent: number
}

async function* silentRuns(
  registry: Registry,
  runs: Watched[],
  { signal, pause }: Watch & { pause: Pause },
): AsyncGenerator<AbandonedRun> {
  let watched = runs
  while (watched.length > 0) {
    await pause(longestInterval(watched), signal)
    if (signal?.aborted === true) return
    const left: Watched[] = []
    for (const { run, owner, silent } of watched) {
      const now = await registry.getRun(run.runId)
      if (!isActive(now.status) || now.tags[HEARTBEAT] !== run.tags[HEARTBEAT]) continue
      if (silent + 1 < SILENT_BEATS) left.push({ run, owner, silent: silent + 1 })
      else yield { run, reason: silence(owner) }
    }
    watched = left
  }
}

function longestInterval(watched: Watched[]): DurationMs {
  return Math.max(...watched.map(({ owner }) => owner.everyMs))
}

/** How long an owner of this interval is silent before it counts as gone, s. */
function silentSeconds(everyMs: DurationMs): number {
  return Number(((SILENT_BEATS * everyMs) / 1000).toPrecision(3))
}

function silence(owner: RunOwner): string {
  return `Its owner, ${named(owner)}, gave no sign of life for ${silentSeconds(owner.everyMs)} s.`
}

function named({ pid, host }: RunOwner): string {
  return `process ${pid} on ${host}`
}

/** Ends an abandoned run as KILLED. @returns false when somebody else has ended it. */
export async function closeAbandoned(registry: Registry, { run, reason }: AbandonedRun): Promise<boolean> {
  return registry.endRun(run.runId, 'KILLED', { reason })
}

/**
 * Ends abandoned runs while the caller does its work. Disposing waits for those whose owner is known to be gone, and
 * gives up watching the others.
 */
export interface Sweep extends AsyncDisposable {
  /**
   * Looks once more, as soon as the look under way has ended. However often that is asked meanwhile, it is one more
   * look. Nothing when disposed.
   */
  again(): void
}

/** Begins a sweep. A fault is told and no more: the work does not depend on it. */
export function sweepRuns(registry: Registry, tell: Tell, pause?: Pause): Sweep {
  const over = new AbortController()
  const look = async (): Promise<void> => {
    for await (const abandoned of abandonedRuns(registry, { signal: over.signal, ...(pause && { pause }) })) {
      const { run, reason } = abandoned
      if (await closeAbandoned(registry, abandoned)) tell(`Run ${run.runId} is closed as KILLED. ${reason}`)
    }
  }
  let wanted = false
  let looking: Promise<void> | undefined
  const looks = async (): Promise<void> => {
    while (wanted && !over.signal.aborted) {
      wanted = false
      await look().catch((error: unknown) => tell(`Abandoned runs were not closed: ${errorMessage(error)}`))
    }
    looking = undefined
  }
  const again = (): void => {
    wanted = true
    looking ??= looks()
  }
  again()
  return {
    again,
    async [Symbol.asyncDispose]() {
      over.abort()
      await looking
    },
  }
}
