import type { Run } from '../../../registry/model.ts'
import type { Registry } from '../../../registry/registry.ts'
import type { MemoryJobs } from '../../../training/testing/memory-jobs.ts'
import type { CandidatePlan, TrainedCandidates } from '../../jobs/candidates.ts'
import type { TrainCandidate } from '../../jobs/kinds.ts'
import { metricOf, subject, valueOf } from './stand-ins.ts'

/** A command, and what it was told. */
export interface AskedTraining {
  name: string
  plans: CandidatePlan[]
  told?: { trained: TrainedCandidates } | { error: unknown }
}

/** What went wrong in a schedule. */
export interface Trouble {
  /** Some process was stopped, so that others may have taken it for dead. */
  stopped: boolean
  /** So many jobs died that one may have used up its attempts. */
  deadly: boolean
}

/** Holds what commands were told, and what is left of them, against what an undisturbed command comes to. */
export async function expectTrained(
  registry: Registry,
  jobs: MemoryJobs,
  all: readonly AskedTraining[],
  trouble: Trouble,
): Promise<void> {
  const left = [...jobs.jobs.values()].map(({ id, place }) => `${id} ${place}`)
  check(left.length === 0, `Jobs are left: ${left.join(', ')}`)
  const experiment = await registry.getExperimentByName(subject.experiment)
  if (experiment === undefined) return
  const runs = await registry.searchRuns(experiment.experimentId)
  for (const { runId, status } of runs) check(status !== 'RUNNING', `Run ${runId} is left RUNNING`)
  for (const asked of all) await expectTold(registry, runs, asked, trouble)
}

async function expectTold(
  registry: Registry,
  runs: readonly Run[],
  { name, plans, told }: AskedTraining,
  { stopped, deadly }: Trouble,
): Promise<void> {
  if (told === undefined) return
  if ('error' in told) return check(stopped || deadly, `${name} failed: ${String(told.error)}`)
  const { parent, outcomes, best } = told.trained
  const board = outcomes.map((each) => (each.state === 'complete' ? each.run : undefined))
  for (const [at, run] of board.entries()) {
    const purpose = plans.length === 1 ? 'use' : 'selection'
    if (run === undefined) check(stopped || deadly, `${name} has no candidate ${at}`)
    else expectRun(await registry.getRun(run.runId), valueOf(plans[at].seed, purpose), purpose)
  }
  const values = board.map((run, at) => (run === undefined ? -1 : valueOf(plans[at].seed, 'selection')))
  const chosen = plans[values.indexOf(Math.max(...values))]
  expectRun(await registry.getRun(best.runId), valueOf(chosen.seed, 'use'), 'use')
  const now = await registry.getRun(parent.runId)
  check(now.status === 'FINISHED', `The run of ${name} is ${now.status}`)
  check(now.tags['fd.best.run'] === best.runId, `The best of ${name} is ${now.tags['fd.best.run']}`)
  check(now.metrics['average_precision'] === best.metrics['average_precision'], `The run of ${name} is another's`)
  const places = runs
    .filter(({ tags, status }) => tags['mlflow.parentRunId'] === parent.runId && status === 'FINISHED')
    .map(({ tags }) => tags['fd.candidate'])
  check(stopped || new Set(places).size === places.length, `${name} has two runs of one candidate`)
}

function expectRun({ runId, status, metrics }: Run, value: number, purpose: TrainCandidate['purpose']): void {
  check(status === 'FINISHED', `Run ${runId} is ${status}`)
  check(metrics[metricOf(purpose)] === value, `Run ${runId} has ${JSON.stringify(metrics)}, not ${value}`)
}

function check(holds: boolean, otherwise: string): void {
  if (!holds) throw new Error(otherwise)
}
