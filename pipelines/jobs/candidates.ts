import { availableParallelism } from 'node:os'
import { UserError, errorMessage } from '../../configs/user-error.ts'
import type { Run } from '../../registry/model.ts'
import type { Registry } from '../../registry/registry.ts'
import type { RunOwnership } from '../../training/ownership/heartbeat.ts'
import { chosenRun, closeParentRun, finishParentRun, openParentRun } from '../../training/parent-run.ts'
import type { JobQueue } from '../../training/queue/job-queue.ts'
import { closedByAnother, type RunSubject } from '../../training/run.ts'
import type { Output } from '../console/output.ts'
import { referenceTo, trainCandidateKind, type TrainCandidate } from './kinds.ts'
import { runJobs, type QueueUse } from './run.ts'

/** One candidate: an estimator, its own parameters, a seed. */
export interface CandidatePlan {
  estimator: string
  params: Record<string, string>
  seed: number
}

/** How a candidate ended. */
export type Outcome = CandidatePlan & ({ state: 'complete'; run: Run } | { state: 'fail'; error: string })

/** Options of `fd train` that say which candidates there are. */
export interface CandidateOptions {
  /** Estimators, separated by commas. */
  model: string
  param?: Record<string, string>
  /** The first seed. */
  seed: number
  /** Seeds of each model. Default: 1. */
  seeds?: number
  /** Candidates trained at one time on this machine. Default: 1. */
  workers?: number
}

/**
 * The candidates that options ask for: each model with each seed, models first. A parameter `MODEL.NAME` is for that
 * model and takes precedence over one for all models. A name may contain a dot of its own (`monotone.tx_amount`).
 * When several candidates train at one time on this machine, and no number of threads is given, each takes its share
 * of the cores.
 *
 * @param features names of the features that will be fitted on, where they are known.
 * @throws UserError for an unknown estimator or parameter, before anything is computed.
 */
export async function candidatePlans(
  { model, param = {}, seed, seeds = 1, workers = 1 }: CandidateOptions,
  features?: readonly string[],
): Promise<CandidatePlan[]> {
  const { estimatorNames, findEstimator } = await import('../../training/catalog.ts')
  const modelOf = (name: string): string | undefined =>
    estimatorNames().find((estimator) => name.startsWith(`${estimator}.`))
  const models = [...new Set(model.split(',').map((name) => name.trim()))]
  const stray = Object.keys(param).find((name) => !models.includes(modelOf(name) ?? models[0]))
  if (stray !== undefined) {
    throw new UserError(
      `--param ${stray}=${param[stray]} is for a model that is not trained. Models: ${models.join(', ')}`,
    )
  }
  const atOnce = Math.min(workers, models.length * seeds)
  return models.flatMap((estimator) => {
    const forAll = Object.entries(param).filter(([name]) => modelOf(name) === undefined)
    const own = Object.entries(param).flatMap(([name, value]) =>
      modelOf(name) === estimator ? [[name.slice(estimator.length + 1), value] as const] : [],
    )
    const { parameters, params: check } = findEstimator(estimator)
    const share: Record<string, string> =
      atOnce > 1 && parameters.some(({ name }) => name === 'threads')
        ? { threads: String(Math.max(1, Math.floor(availableParallelism() / atOnce))) }
        : {}
    const params = { ...share, ...Object.fromEntries([...forAll, ...own]) }
    check(params, features)
    return Array.from({ length: seeds }, (_, n) => ({ estimator, params, seed: seed + n }))
  })
}

/** What candidates are trained on, and how each is judged. */
export interface CandidatesRequest {
  subject: RunSubject
  plans: CandidatePlan[]
  alertsPerDay: number
  /** Shuffles of each feature that measure its importance. Default: it is not measured. */
  importance?: number
  /** Of this process: the run of the command belongs to it. */
  ownership: RunOwnership
  /** Takes back the candidates that are not trained yet. */
  signal: AbortSignal
}

/** Runs of trained candidates under the run of their command. */
export interface TrainedCandidates {
  parent: Run
  /** One for each plan, in the order of the plans; of several, each with the metrics of the choice. */
  outcomes: Outcome[]
  /** The candidate that was chosen, trained anew on all training rows and judged on the test rows. */
  best: Run
}

/**
 * Trains the candidates as jobs, each a run under one parent run. Several are trained for the choice among them
 * (`training/selection.ts`), and the chosen one is then trained to be used, by one more job. The parent ends as
 * FINISHED, KILLED when the signal was aborted, or else FAILED.
 *
 * @throws UserError when no candidate was trained, or when the signal was aborted.
 */
export async function trainCandidates(
  registry: Registry,
  { queue, use }: { queue: JobQueue; use: QueueUse },
  request: CandidatesRequest,
  output: Output,
): Promise<TrainedCandidates> {
  const { subject, plans, ownership } = request
  const estimator = [...new Set(plans.map((plan) => plan.estimator))].join(',')
  const varied = { estimator, candidates: String(plans.length) }
  const parent = await openParentRun(registry, subject, varied, ownership)
  await using alive = ownership.begin(parent.runId)
  const signal = AbortSignal.any([request.signal, alive.closed])
  try {
    const train = async (jobs: CandidateJob[], label: string): Promise<PromiseSettledResult<{ runId: string }>[]> =>
      runJobs(queue, use, { kind: trainCandidateKind, jobs, label, steps: 100, together: false, signal }, output)
    const trained = await trainAndChoose(registry, request, await candidateJobs(request, parent), train)
    await finishParentRun(registry, parent, trained.best)
    return { parent, ...trained }
  } catch (error) {
    const own = await closeParentRun(registry, parent, signal.aborted ? 'KILLED' : 'FAILED')
    throw !own && alive.closed.aborted ? await closedByAnother(registry, parent.runId) : error
  }
}

/** A job of the queue that trains one candidate. */
interface CandidateJob {
  id: string
  data: TrainCandidate
}

/** Has the candidates trained, chooses, and has the chosen one trained; a single one is trained to be used at once. */
async function trainAndChoose(
  registry: Registry,
  { plans }: CandidatesRequest,
  { several, use }: { several: CandidateJob[]; use: (at: number) => CandidateJob },
  train: (jobs: CandidateJob[], label: string) => Promise<PromiseSettledResult<{ runId: string }>[]>,
): Promise<Omit<TrainedCandidates, 'parent'>> {
  if (plans.length === 1) {
    const { outcomes, complete } = await outcomesOf(registry, plans, await train([use(0)], 'train 1 candidate'))
    return { outcomes, best: complete[0] }
  }
  const settled = await train(several, `train ${plans.length} candidates`)
  const { outcomes, complete } = await outcomesOf(registry, plans, settled)
  const chosen = chosenRun(complete)
  if (chosen === undefined) {
    throw new UserError(
      `None of the ${plans.length} candidates could be ranked: the data have no labels. ` +
        `Train one of them: fd train --model ${plans[0].estimator}`,
    )
  }
  const at = outcomes.findIndex((outcome) => outcome.state === 'complete' && outcome.run.runId === chosen.runId)
  const used = await outcomesOf(registry, [plans[at]], await train([use(at)], 'train the chosen one on all rows'))
  return { outcomes, best: used.complete[0] }
}

/**
 * The jobs of the choice, and the one that trains a plan to be used. Each has a place of its own under the parent run:
 * the last one comes after those of the choice.
 */
async function candidateJobs(
  { subject, plans, alertsPerDay, importance }: CandidatesRequest,
  parent: Run,
): Promise<{ several: CandidateJob[]; use: (at: number) => CandidateJob }> {
  const { experiment, split, sort, until, calibration, code, by } = subject
  const references = await referenceTo(subject.dataset, subject.service)
  const shared = {
    ...references,
    parentRunId: parent.runId,
    experiment,
    split,
    sort,
    ...(until === undefined ? {} : { until }),
    ...(calibration && { calibration }),
    ...(importance === undefined ? {} : { importance }),
    code,
    by,
    alertsPerDay,
  }
  const job = (plan: CandidatePlan, candidate: number, purpose: TrainCandidate['purpose']): CandidateJob => ({
    id: `${parent.runId}-${candidate}`,
    data: { ...shared, ...plan, candidate, purpose },
  })
  return {
    several: plans.map((plan, candidate) => job(plan, candidate, 'selection')),
    use: (at) => job(plans[at], plans.length === 1 ? 0 : plans.length, 'use'),
  }
}

/** What became of each plan. @throws UserError with the reasons of all when no candidate was trained. */
async function outcomesOf(
  registry: Registry,
  plans: CandidatePlan[],
  settled: PromiseSettledResult<{ runId: string }>[],
): Promise<{ outcomes: Outcome[]; complete: Run[] }> {
  const outcomes = await Promise.all(
    plans.map(async (plan, at): Promise<Outcome> => {
      const each = settled[at]
      return each.status === 'fulfilled'
        ? { ...plan, state: 'complete', run: await registry.getRun(each.value.runId) }
        : { ...plan, state: 'fail', error: errorMessage(each.reason) }
    }),
  )
  const complete = outcomes.flatMap((outcome) => (outcome.state === 'complete' ? [outcome.run] : []))
  if (complete.length > 0) return { outcomes, complete }
  const reasons = outcomes.flatMap((outcome) => (outcome.state === 'fail' ? [outcome.error] : []))
  throw new UserError(`None of the ${plans.length} candidates was trained:\n${reasons.join('\n')}`)
}
