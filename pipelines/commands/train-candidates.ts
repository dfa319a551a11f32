import type { FeatureImportance } from '../../training/importance.ts'
import { stopSignal, type Context } from '../console/command.ts'
import { figure, pairs, table } from '../console/output.ts'
import { openRegistry } from '../console/parts.ts'
import { candidatePlans, trainCandidates, type Outcome, type TrainedCandidates } from '../jobs/candidates.ts'
import { openQueue } from '../jobs/run.ts'
import { trainingSubject } from '../jobs/training-subject.ts'
import type { TrainOptions } from './train-options.ts'
import { importanceTable, registeredEntries, type Registration } from './train-report.ts'

/** `fd train` with several candidates: trains them as jobs and registers the best where a name is given. */
export async function trainSeveral({ config, output }: Context, options: TrainOptions): Promise<void> {
  const [{ featureNames }, { readImportance, registerRun }] = await Promise.all([
    import('../../features/view/view.ts'),
    import('../../training/run.ts'),
  ])
  const { alertsPerDay, register: name } = options
  const subject = await trainingSubject(config, options)
  const plans = await candidatePlans(options, featureNames(subject.service))
  const use = { url: config.jobQueue, workers: options.workers ?? 1, configFile: options.config }
  await using queue = await openQueue(use, output.note)
  const signal = stopSignal()
  await using registry = await openRegistry(config)
  const request = { subject, plans, alertsPerDay, importance: options.importance, signal }
  const trained = await trainCandidates(registry, { queue, use }, request, output)
  const { parent, best } = trained
  const version =
    name === undefined
      ? undefined
      : (await registerRun(registry, best.runId, { name, by: subject.by, now: Date.now() })).version
  const importance = options.importance === undefined ? undefined : await readImportance(registry, best.runId)
  const candidates = ranked(trained.outcomes)
  output.result(
    {
      parentRunId: parent.runId,
      candidates: candidates.map(entry),
      best: best.runId,
      importance,
      model: name,
      version,
    },
    () => candidatesText({ ...trained, outcomes: candidates }, { name, version }, importance),
  )
}

/** The highest average precision first, then those without one, then those that failed. */
function ranked(outcomes: Outcome[]): Outcome[] {
  const value = (outcome: Outcome): number =>
    outcome.state === 'complete' ? (outcome.run.metrics['average_precision'] ?? Number.NaN) : -Infinity
  return outcomes.toSorted((a, b) => value(b) - value(a))
}

/** A candidate in the JSON document. */
function entry(outcome: Outcome): object {
  const { estimator, seed, state } = outcome
  return outcome.state === 'complete'
    ? { model: estimator, seed, state, runId: outcome.run.runId, metrics: outcome.run.metrics }
    : { model: estimator, seed, state, error: outcome.error }
}

function candidatesText(
  { parent, outcomes, best }: TrainedCandidates,
  registration: Registration,
  importance: FeatureImportance[] | undefined,
): string {
  const { name, version } = registration
  return [
    table(['model', 'seed', 'average precision', 'ROC AUC', 'run'], outcomes.map(row)),
    pairs([['parent run', parent.runId], ['best', best.runId], ...registeredEntries(registration)]),
    ...(importance === undefined ? [] : [importanceTable(importance)]),
    version === undefined
      ? 'To use the best, register it: add --register NAME'
      : `To let it decide: fd models promote ${name} ${version}`,
  ].join('\n\n')
}

function row(outcome: Outcome): string[] {
  const { estimator, seed } = outcome
  if (outcome.state === 'fail') return [estimator, String(seed), 'failed', '', outcome.error]
  const { metrics, runId } = outcome.run
  return [estimator, String(seed), figure(metrics['average_precision']), figure(metrics['roc_auc']), runId]
}
