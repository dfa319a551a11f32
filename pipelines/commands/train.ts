import { Command } from 'commander'
import type { Tell } from '../../configs/tell.ts'
import type { Candidate, CandidateRequest } from '../../training/candidate.ts'
import type { Report } from '../../training/fit/report.ts'
import type { RunSubject } from '../../training/run.ts'
import { sameCommand } from '../console/command-line.ts'
import { action, cutShort, example, stoppable, stopSignal, type Context } from '../console/command.ts'
import { figure, pairs, type OpenProgress, type Progress } from '../console/output.ts'
import { openRegistry, ownRuns, sweepAbandoned, type ModelParts } from '../console/parts.ts'
import { importanceTable, registeredEntries } from '../jobs/train-report.ts'
import { buildTrainingSet } from '../jobs/training-set.ts'
import { trainingSubject } from '../jobs/training-subject.ts'
import { addCandidateOptions, addDataOptions, addJudgementOptions, type TrainOptions } from './train-options.ts'

export function trainCommand(): Command {
  const command = new Command('train').description(
    'train a model on a dataset, judge it on later transactions, ' +
      'and keep run, metrics and ONNX graph in the registry',
  )
  addDataOptions(command)
  addCandidateOptions(command)
  addJudgementOptions(command)
  command.option('--sort', 'order the file by time first')
  return example(
    command,
    'fd train --dataset kaggle-cc --data creditcard.csv --model forest --register card-fraud',
    'fd train --dataset simulated --param rounds=200 --param max_depth=5',
    'fd train --dataset simulated --model boosting,forest --seeds 3 --workers 2 ' +
      '--param boosting.rounds=300 --register card-fraud',
    'fd train --dataset simulated --model neural --calibrate isotonic',
    'fd train --dataset simulated --importance',
  ).action(action(trainOneOrSeveral))
}

async function trainOneOrSeveral(context: Context, options: TrainOptions): Promise<void> {
  if (options.workers === undefined && options.seeds === undefined && !options.model.includes(',')) {
    return trainOne(context, options)
  }
  const { trainSeveral } = await import('./train-candidates.ts')
  return trainSeveral(context, options)
}

async function trainOne({ config, output }: Context, options: TrainOptions): Promise<void> {
  await using registry = await openRegistry(config)
  await using _sweep = await sweepAbandoned(registry, output.note)
  const parts = { registry, config, openProgress: output.progress, tell: output.note }
  const trained = await train(parts, options, stopSignal)
  const { candidate, runId, version } = trained
  const { params, threshold, alertsPerDay, metrics, importance } = candidate
  const { notesOf } = await import('../../training/run.ts')
  notesOf(candidate).forEach(output.note)
  output.result({ runId, model: options.register, version, params, threshold, alertsPerDay, metrics, importance }, () =>
    trainedText(trained, options.register),
  )
}

function trainedText({ candidate, runId, version }: Trained, name: string | undefined): string {
  const { importance, metrics, threshold, alertsPerDay } = candidate
  return [
    ...(importance === undefined ? [] : [importanceTable(importance)]),
    pairs(Object.entries(metrics)),
    pairs([
      ['threshold', `${threshold} (${alertsPerDay} alerts a day)`],
      ['run', runId],
      ...registeredEntries({ name, version }),
    ]),
    version === undefined
      ? 'To use it, register it: add --register NAME'
      : `To let it decide: fd models promote ${name} ${version}`,
  ].join('\n\n')
}

export interface Trained {
  candidate: Candidate
  runId: string
  /** Undefined when the model was not registered. */
  version?: number
}

/**
 * Builds the training set, fits and judges a model, and keeps it as a run. When `register` names a model, it also
 * becomes a version of that model.
 *
 * @param listen is called when all is checked, for the signal that ends the work; a run that has begun is then KILLED.
 * Default: no signal.
 */
export async function train(
  { registry, config, openProgress, tell }: ModelParts & { tell?: Tell },
  options: TrainOptions,
  listen: () => AbortSignal = () => new AbortController().signal,
): Promise<Trained> {
  const [{ trainCandidate }, { logRun }, { findEstimator }, { featureNames }] = await Promise.all([
    import('../../training/candidate.ts'),
    import('../../training/run.ts'),
    import('../../training/catalog.ts'),
    import('../../features/view/view.ts'),
  ])
  const { register, model, seed } = options
  const estimator = findEstimator(model)
  const subject = await trainingSubject(config, options)
  // A wrong parameter is reported before minutes of data are read.
  estimator.params(options.param ?? {}, featureNames(subject.service))
  const signal = listen()
  const nothing = `No run was begun. To train, run: ${sameCommand()}`
  const set = await buildTrainingSet(
    { ...subject, unlabelled: estimator.unsupervised },
    stoppable(openProgress, signal, nothing),
  )
  const ownership = await ownRuns(config, tell)
  const request = { ...subject, model: register, estimator: model, seed, ownership, now: Date.now }
  const fit = async (closed: AbortSignal): Promise<Candidate> => {
    const bars = trainingBars(openProgress, model, AbortSignal.any([signal, closed]))
    const candidate = await trainCandidate(set, candidateRequest(options, subject), bars.fit, bars.shuffle)
    bars.end()
    return candidate
  }
  try {
    return await logRun(registry, { ...request, train: fit })
  } catch (error) {
    if (signal.aborted) {
      throw cutShort(signal, `The run is kept as KILLED. To train from the start, run: ${sameCommand()}`, error)
    }
    throw error
  }
}

function candidateRequest(
  { model, param = {}, seed, alertsPerDay, importance }: TrainOptions,
  { split, calibration }: RunSubject,
): CandidateRequest {
  return { estimator: model, params: param, seed, alertsPerDay, importance, split, calibration }
}

/**
 * A bar of the fit and, after it, one of the shuffles, where there are any. Both end the run when the signal is
 * aborted.
 */
interface TrainingBars {
  fit: Report
  shuffle: (done: number, total: number) => boolean
  end: () => void
}

function trainingBars(openProgress: OpenProgress, model: string, signal: AbortSignal): TrainingBars {
  let bar: Progress | undefined
  let shuffling = false
  return {
    fit: (round, value, rounds) => {
      bar ??= openProgress(`fit ${model}`, rounds)
      bar.update(round, Number.isNaN(value) ? '' : `average precision ${figure(value)}`)
      return !signal.aborted
    },
    shuffle: (done, total) => {
      if (!shuffling) {
        bar?.end()
        bar = openProgress('shuffle features', total)
        shuffling = true
      }
      bar?.update(done)
      return !signal.aborted
    },
    end: () => bar?.end(),
  }
}
