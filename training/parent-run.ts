import { AVERAGE_PRECISION } from '../registry/model-card.ts'
import type { EndedStatus, Run } from '../registry/model.ts'
import type { Registry } from '../registry/registry.ts'
import { authorTags, placeTags, subjectParams, type CandidatePlace, type RunSubject } from './run.ts'
import { SELECTION } from './selection.ts'

/** Tag of a parent run. Its value is the id of the best run among its candidates. */
const BEST_RUN = 'fd.best.run'

/** Opens the parent run of the candidates of one command. `params` say what varies between them. */
export async function openParentRun(
  registry: Registry,
  subject: RunSubject,
  params: Record<string, string>,
): Promise<Run> {
  const experimentId = await registry.createExperiment(subject.experiment, { mayExist: true })
  const run = await registry.createRun(experimentId, { tags: authorTags(subject) })
  await registry.logBatch(run.runId, {
    params: { ...subjectParams(subject, await subject.dataset.digest()), ...params },
  })
  return run
}

/**
 * Ends a parent run, and gives it the metrics of the best candidate if there is one. Candidates whose process was
 * killed or whose job was taken back still stand as RUNNING; they become KILLED.
 */
export async function closeParentRun(
  registry: Registry,
  { runId, experimentId }: Run,
  status: EndedStatus,
  best?: Run,
): Promise<void> {
  const children = await registry.searchRuns(experimentId, {
    filter: { status: 'RUNNING', tags: { 'mlflow.parentRunId': runId } },
  })
  for (const child of children) await registry.updateRun(child.runId, { status: 'KILLED' })
  if (best !== undefined) {
    await registry.logBatch(runId, {
      metrics: Object.entries(best.metrics).map(([key, value]) => ({ key, value })),
      tags: { [BEST_RUN]: best.runId },
    })
  }
  await registry.updateRun(runId, { status })
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
    if (status === 'RUNNING') await registry.updateRun(runId, { status: 'KILLED' })
  }
  return attempts.find(({ status }) => status === 'FINISHED')?.runId
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
