import { AVERAGE_PRECISION } from '../registry/model-card.ts'
import type { EndedStatus, Run } from '../registry/model.ts'
import type { Registry } from '../registry/registry.ts'
import type { RunOwnership } from './ownership/heartbeat.ts'
import {
  authorTags,
  endFailed,
  finishRun,
  placeTags,
  subjectParams,
  type CandidatePlace,
  type RunSubject,
} from './run.ts'
import { SELECTION } from './selection.ts'

/** Tag of a parent run that has FINISHED, and of no other. Its value is the id of the best run among its candidates. */
const BEST_RUN = 'fd.best.run'

/** Opens the parent run of the candidates of one command. `params` say what varies between them. */
export async function openParentRun(
  registry: Registry,
  subject: RunSubject,
  params: Record<string, string>,
  ownership: RunOwnership,
): Promise<Run> {
  const digest = await subject.dataset.digest()
  const experimentId = await registry.createExperiment(subject.experiment, { mayExist: true })
  const run = await registry.createRun(experimentId, { tags: { ...authorTags(subject), ...ownership.tags } })
  try {
    await registry.logBatch(run.runId, { params: { ...subjectParams(subject, digest), ...params } })
    return run
  } catch (error) {
    await endFailed(registry, run.runId, 'FAILED')
    throw error
  }
}

/**
 * Finishes a parent run with the metrics of the best candidate.
 *
 * @throws UserError when somebody else has ended the run, because this process seemed gone.
 */
export async function finishParentRun(registry: Registry, parent: Run, best: Run): Promise<void> {
  await closeCandidates(registry, parent)
  await registry.logBatch(parent.runId, {
    metrics: Object.entries(best.metrics).map(([key, value]) => ({ key, value })),
  })
  await finishRun(registry, parent.runId, { [BEST_RUN]: best.runId })
}

/**
 * Ends a parent run that has no best candidate. As `endFailed`, it leaves the word to the error of the work.
 *
 * @returns false when somebody else has ended it.
 */
export async function closeParentRun(
  registry: Registry,
  parent: Run,
  status: Exclude<EndedStatus, 'FINISHED'>,
): Promise<boolean> {
  await closeCandidates(registry, parent).catch(() => undefined)
  return endFailed(registry, parent.runId, status)
}

/** Candidates whose process was killed or whose job was taken back still stand as RUNNING; they become KILLED. */
async function closeCandidates(registry: Registry, { runId, experimentId }: Run): Promise<void> {
  const children = await registry.searchRuns(experimentId, {
    filter: { status: 'RUNNING', tags: { 'mlflow.parentRunId': runId } },
  })
  const over = { reason: 'The command that it was for has ended.' }
  for (const child of children) await registry.endRun(child.runId, 'KILLED', over)
}

/**
 * The run of a candidate that has finished already, if there is one. A job runs again when its worker was killed after
 * the last step but before it could answer. Runs of attempts that were cut off become KILLED.
 */
export async function finishedRun(
  registry: Registry,
  experimentId: string,
  place: CandidatePlace,
): Promise<string | undefined> {
  const attempts = await registry.searchRuns(experimentId, { filter: { tags: placeTags(place) } })
  for (const { runId, status } of attempts) {
    if (status === 'RUNNING') await registry.endRun(runId, 'KILLED', { reason: 'Its job began again.' })
  }
  const now = await registry.searchRuns(experimentId, { filter: { tags: placeTags(place), status: 'FINISHED' } })
  return now[0]?.runId
}

/**
 * The run that did best on the rows of the choice (`selection.ts`), and the first of equal ones. Undefined when none
 * was ranked: without labels there is no choice.
 */
export function chosenRun(runs: readonly Run[]): Run | undefined {
  return runs.reduce<Run | undefined>((best, run) => {
    const value = selectionValue(run)
    return value > (best === undefined ? -Infinity : selectionValue(best)) ? run : best
  }, undefined)
}

/** Average precision on the rows of the choice; −Infinity where it is absent or NaN, so that every order is whole. */
export function selectionValue({ metrics }: Pick<Run, 'metrics'>): number {
  const value = metrics[SELECTION + AVERAGE_PRECISION] ?? Number.NaN
  return Number.isNaN(value) ? -Infinity : value
}
