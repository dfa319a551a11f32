import type { Run } from '../../registry/model.ts'
import type { FeatureImportance } from '../../training/importance.ts'
import { stopSignal, type Context } from '../console/command.ts'
import { figure, pairs, table } from '../console/output.ts'
import { openRegistry, ownRuns, sweepAbandoned } from '../console/parts.ts'
import { candidatePlans, trainCandidates, type Outcome, type TrainedCandidates } from '../jobs/candidates.ts'
import { openQueue } from '../jobs/run.ts'
import { importanceTable, registeredEntries, type Registration } from '../jobs/train-report.ts'
import { trainingSubject } from '../jobs/training-subject.ts'
import type { TrainOptions } from './train-options.ts'

/** `fd train` with several candidates: trains them as jobs and registers the best where a name is given. */
export async function trainSeveral({ config, output }: Context, options: TrainOptions): Promise<void> {
  const [{ featureNames }, { readImportance, readNotes, registerRun }, { selectionValue }] = await Promise.all([
    import('../../features/view/view.ts'),
    import('../../training/run.ts'),
    import('../../training/parent-run.ts'),
  ])
  const { alertsPerDay, register: name } = options
  const subject = await trainingSubject(config, options)
  const plans = await candidatePlans(options, featureNames(subject.service))
  const { jobQueue: url, heartbeatMs } = config
  const use = { url, workers: options.workers ?? 1, configFile: options.config, heartbeatMs }
  await using queue = await openQueue(use, output.note)
  const signal = stopSignal()
  await using registry = await openRegistry(config)
  await using _sweep = await sweepAbandoned(registry, output.note)
  const ownership = await ownRuns(config, output.note)
  const request = { subject, plans, alertsPerDay, importance: options.importance, ownership, signal }
  const trained = await trainCandidates(registry, { queue, use }, request, output)
  const { parent, best } = trained
  const version =
    name === undefined
      ? undefined
      : (await registerRun(registry, best.runId, { name, by: subject.by, now: Date.now() })).version
  const importance = options.importance === undefined ? undefined : await readImportance(registry, best.runId)
  const candidates = ranked(trained.outcomes, selectionValue)
  readNotes(best).forEach(output.note)
  output.result(
    {
      parentRunId: parent.runId,
      candidates: candidates.map(entry),
      best: best.runId,
      metrics: best.metrics,
      importance,
      model: name,
      version,
    },
    () => candidatesText({ ...trained, outcomes: candidates }, { name, version }, importance),
  )
}

/** The best first, then those that were not ranked, then those that failed; equal ones in the order of the plans. */
function ranked(outcomes: Outcome[], value: (run: Run) => number): Outcome[] {
  const place = (outcome: Outcome): [failed: number, value: number] =>
    outcome.state === 'fail' ? [1, 0] : [0, value(outcome.run)]
  return outcomes.toSorted((a, b) => {
    const [[failed, one], [alsoFailed, other]] = [place(a), place(b)]
    return failed - alsoFailed || (one === other ? 0 : other - one)
  })
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
  const judged = outcomes.length === 1 ? '' : ' in the choice'
  return [
    table(['model', 'seed', `average precision${judged}`, `ROC AUC${judged}`, 'run'], outcomes.map(row)),
    ...(outcomes.length === 1 ? [] : [`The best of these, trained on all training rows:\n${judgedText(best)}`]),
    pairs([['parent run', parent.runId], ['best', best.runId], ...registeredEntries(registration)]),
    ...(importance === undefined ? [] : [importanceTable(importance)]),
    version === undefined
      ? 'To use the best, register it: add --register NAME'
      : `To let it decide: fd models promote ${name} ${version}`,
  ].join('\n\n')
}

/** Metrics of the test rows. */
function judgedText({ metrics }: Run): string {
  return pairs(Object.entries(metrics))
}

function row(outcome: Outcome): string[] {
  const { estimator, seed } = outcome
  if (outcome.state === 'fail') return [estimator, String(seed), 'failed', '', outcome.error]
  const { metrics, runId } = outcome.run
  const shown = ['average_precision', 'roc_auc'].map((name) => metrics[`selection_${name}`] ?? metrics[name])
  return [estimator, String(seed), ...shown.map((value) => (value === undefined ? '' : figure(value))), runId]
}
