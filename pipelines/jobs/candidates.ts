import { availableParallelism } from 'node:os'
import { UserError, errorMessage } from '../../configs/user-error.ts'
import type { TrainingSet } from '../../features/backfill/training-set.ts'
import type { Run } from '../../registry/model.ts'
import type { Registry } from '../../registry/registry.ts'
import type { RunSubject } from '../../training/run.ts'
import { buildTrainingSet, importanceTable, trainingSubject, type TrainOptions } from '../commands/train.ts'
import { stopSignal, type Context } from '../console/command.ts'
import { figure, pairs, table } from '../console/output.ts'
import { referenceTo, resolveReferences, trainCandidateKind, type TrainCandidate } from './kinds.ts'
import { openQueue, runJobs } from './run.ts'

/** What is tried: an estimator, its own parameters, a seed. */
export interface CandidatePlan {
  estimator: string
  params: Record<string, string>
  seed: number
}

/** How a candidate ended. */
type Outcome = CandidatePlan & ({ state: 'complete'; run: Run } | { state: 'fail'; error: string })

/**
 * The candidates that options ask for: each model with each seed, models first. A parameter `MODEL.NAME` is for that model and stands above
 * one for all; a name may have a dot of its own (`monotone.tx_amount`). Where several train at a time here, and no number of threads is
 * named, each takes its share of the machine's.
 *
 * @param features names of those that will be fitted on, where they are known.
 * @throws UserError for an unknown estimator or parameter, before anything is computed.
 */
export async function candidatePlans(
  {
    model,
    param = {},
    seed,
    seeds = 1,
    workers = 1,
  }: Pick<TrainOptions, 'model' | 'param' | 'seed' | 'seeds' | 'workers'>,
  features?: readonly string[],
): Promise<CandidatePlan[]> {
  const { estimatorNames, findEstimator } = await import('../../training/catalog.ts')
  const modelOf = (name: string): string | undefined =>
    estimatorNames().find((estimator) => name.startsWith(`${estimator}.`))
  const models = [...new Set(model.split(',').map((name) => name.trim()))]
  const stray = Object.keys(param).find((name) => !models.includes(modelOf(name) ?? models[0]))
  if (stray !== undefined)
    throw new UserError(
      `--param ${stray}=${param[stray]} is for a model that is not trained. Models: ${models.join(', ')}`,
    )
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

/** Trains the candidates as jobs, each a run under one parent run, and registers the best where a name is given. */
export async function trainCandidates(context: Context, options: TrainOptions): Promise<void> {
  const [{ openRegistry }, { closeParentRun, openParentRun }] = await Promise.all([
    import('../../registry/open.ts'),
    import('../../training/parent-run.ts'),
  ])
  const subject = await trainingSubject(context, options)
  const { featureNames } = await import('../../features/view/view.ts')
  const plans = await candidatePlans(options, featureNames(subject.service))
  const workers = options.workers ?? 1
  await using queue = await openQueue(context, workers)
  const signal = stopSignal()
  await using registry = await openRegistry(context.config.registry, {
    now: Date.now,
    credentials: context.config.mlflow,
  })
  const parent = await openParentRun(registry, subject, {
    estimator: [...new Set(plans.map(({ estimator }) => estimator))].join(','),
    candidates: String(plans.length),
  })
  let trained: { outcomes: Outcome[]; best: Run }
  try {
    const settled = await runJobs(context, queue, {
      kind: trainCandidateKind,
      jobs: await candidateJobs(plans, subject, parent, options),
      workers,
      configFile: options.config,
      label: `train ${plans.length} ${plans.length === 1 ? 'candidate' : 'candidates'}`,
      steps: 100,
      together: false,
      signal,
    })
    trained = await outcomesOf(registry, plans, settled)
    await closeParentRun(registry, parent, 'FINISHED', trained.best)
  } catch (error) {
    await closeParentRun(registry, parent, signal.aborted ? 'KILLED' : 'FAILED')
    throw error
  }
  await report(context, registry, options, { ...trained, parent, by: subject.by })
}

async function candidateJobs(
  plans: CandidatePlan[],
  subject: RunSubject,
  parent: Run,
  { alertsPerDay, importance }: TrainOptions,
): Promise<{ id: string; data: TrainCandidate }[]> {
  const { experiment, split, sort, until, calibration, codeVersion, by } = subject
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
    codeVersion,
    by,
    alertsPerDay,
  }
  return plans.map((plan, candidate) => ({
    id: `${parent.runId}-${candidate}`,
    data: { ...shared, ...plan, candidate },
  }))
}

/** @throws UserError with all reasons when no candidate was trained. */
async function outcomesOf(
  registry: Registry,
  plans: CandidatePlan[],
  settled: PromiseSettledResult<{ runId: string }>[],
): Promise<{ outcomes: Outcome[]; best: Run }> {
  const { bestRun } = await import('../../training/parent-run.ts')
  const outcomes = await Promise.all(
    plans.map(async (plan, at): Promise<Outcome> => {
      const each = settled[at]
      return each.status === 'fulfilled'
        ? { ...plan, state: 'complete', run: await registry.getRun(each.value.runId) }
        : { ...plan, state: 'fail', error: errorMessage(each.reason) }
    }),
  )
  const best = bestRun(outcomes.flatMap((outcome) => (outcome.state === 'complete' ? [outcome.run] : [])))
  if (best !== undefined) return { outcomes, best }
  throw new UserError(
    `None of the ${plans.length} candidates was trained:\n${outcomes.flatMap((outcome) => (outcome.state === 'fail' ? [outcome.error] : [])).join('\n')}`,
  )
}

async function report(
  { output }: Context,
  registry: Registry,
  options: TrainOptions,
  { parent, outcomes, best, by }: { parent: Run; outcomes: Outcome[]; best: Run; by: string },
): Promise<void> {
  const { readImportance, registerRun } = await import('../../training/run.ts')
  const version =
    options.register === undefined
      ? undefined
      : (await registerRun(registry, best.runId, { name: options.register, by, now: Date.now() })).version
  const importance = options.importance === undefined ? undefined : await readImportance(registry, best.runId)
  const value = (outcome: Outcome): number =>
    outcome.state === 'complete' ? (outcome.run.metrics['average_precision'] ?? Number.NaN) : -Infinity
  const ranked = outcomes.toSorted((a, b) => value(b) - value(a))
  const rows = ranked.map((outcome) => {
    const { estimator, seed } = outcome
    return outcome.state === 'complete'
      ? { model: estimator, seed, state: outcome.state, runId: outcome.run.runId, metrics: outcome.run.metrics }
      : { model: estimator, seed, state: outcome.state, error: outcome.error }
  })
  output.result(
    { parentRunId: parent.runId, candidates: rows, best: best.runId, importance, model: options.register, version },
    () =>
      [
        table(
          ['model', 'seed', 'average precision', 'ROC AUC', 'run'],
          rows.map((row) =>
            row.state === 'complete'
              ? [
                  row.model,
                  String(row.seed),
                  figure(row.metrics['average_precision']),
                  figure(row.metrics['roc_auc']),
                  row.runId,
                ]
              : [row.model, String(row.seed), 'failed', '', row.error],
          ),
        ),
        pairs([
          ['parent run', parent.runId],
          ['best', best.runId],
          ...(version === undefined
            ? []
            : [['registered', `${options.register} version ${version}`] as [string, string]]),
        ]),
        ...(importance === undefined ? [] : [importanceTable(importance)]),
        version === undefined
          ? 'To use the best, register it: add --register NAME'
          : `To let it decide: fd models promote ${options.register} ${version}`,
      ].join('\n\n'),
  )
}

/** The last training set of this process: a worker that trains several candidates of one command folds its history once. */
let lastSet: { key: string; set: Promise<TrainingSet> } | undefined

/** The job of one candidate. Run again, it finds what it finished, or starts anew as another run. */
export async function trainCandidateJob(
  context: Context,
  data: TrainCandidate,
  report: (share: number) => void,
): Promise<{ runId: string }> {
  const [{ openRegistry }, { trainCandidate }, { trainRun }, { finishedRun }] = await Promise.all([
    import('../../registry/open.ts'),
    import('../../training/candidate.ts'),
    import('../../training/run.ts'),
    import('../../training/parent-run.ts'),
  ])
  await using registry = await openRegistry(context.config.registry, {
    now: Date.now,
    credentials: context.config.mlflow,
  })
  const place = { parentRunId: data.parentRunId, candidate: data.candidate }
  const finished = await finishedRun(registry, (await parentOf(registry, data)).experimentId, place)
  if (finished !== undefined) return { runId: finished }
  const { dataset, service } = await resolveReferences(context, data)
  const { split, seed, estimator, params, alertsPerDay, until, calibration, importance, sort } = data
  // Of the bar of a job that also shuffles, the fit is the first half.
  const half = importance === undefined ? 1 : 0.5
  return await trainRun(registry, {
    ...data,
    dataset,
    service,
    until,
    calibration,
    parent: place,
    now: Date.now,
    train: async () => {
      const key = JSON.stringify([data.dataset, data.service, split, until, sort])
      if (lastSet?.key !== key)
        lastSet = {
          key,
          set: buildTrainingSet(context, dataset, service, split, { sort, ...(until === undefined ? {} : { until }) }),
        }
      const request = {
        estimator,
        params,
        split,
        seed,
        alertsPerDay,
        ...(calibration && { calibration }),
        ...(importance === undefined ? {} : { importance }),
      }
      return trainCandidate(
        await lastSet.set,
        request,
        (round, _value, rounds) => {
          report((half * round) / rounds)
          return true
        },
        (done, total) => {
          report(half + (half * done) / total)
          return true
        },
      )
    },
  })
}

async function parentOf(registry: Registry, { parentRunId }: TrainCandidate): Promise<Run> {
  try {
    return await registry.getRun(parentRunId)
  } catch (error) {
    throw new UserError(
      `This worker's registry does not have the run of the command, ${parentRunId}: ${errorMessage(error)} Give both the same one (MLFLOW_TRACKING_URI).`,
      { cause: error },
    )
  }
}
