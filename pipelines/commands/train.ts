import { userInfo } from 'node:os'
import { Command, InvalidArgumentError, Option } from 'commander'
import { codeVersion } from '../../configs/config.ts'
import { UserError } from '../../configs/user-error.ts'
import type { Dataset, SplitRule } from '../../datasets/table/dataset.ts'
import type { TrainingSet } from '../../features/backfill/training-set.ts'
import type { FeatureService } from '../../features/view/view.ts'
import type { Registry } from '../../registry/registry.ts'
import type { CalibrationRequest } from '../../training/calibration/calibration.ts'
import type { Candidate, CandidateRequest } from '../../training/candidate.ts'
import type { Report } from '../../training/fit/report.ts'
import type { FeatureImportance } from '../../training/importance.ts'
import type { RunSubject } from '../../training/run.ts'
import {
  action,
  dateTime,
  example,
  keyValue,
  positiveNumber,
  positiveWholeNumber,
  stopSignal,
  wholeNumber,
  type Context,
} from '../console/command.ts'
import { figure, instant, pairs, table, type Output, type Progress } from '../console/output.ts'
import { runBackfill } from './features.ts'

export interface TrainOptions {
  dataset: string
  data?: string
  service?: string
  model: string
  param?: Record<string, string>
  register?: string
  seed: number
  split?: 'ordered' | 'delayed'
  trainFrom?: number
  until?: number
  alertsPerDay: number
  calibrate?: CalibrationRequest['method']
  calibrationShare?: number
  importance?: number
  sort?: boolean
  seeds?: number
  workers?: number
  config?: string
}

/** Shuffles of each feature when no other number is named. */
const SHUFFLES = 5

/** Share of the training rows that calibrate when no other is named. */
const CALIBRATION_SHARE = 0.2

export function trainCommand(): Command {
  return example(
    new Command('train')
      .description(
        'train a model on a dataset, judge it on later transactions, and keep run, metrics and ONNX graph in the registry',
      )
      .requiredOption('--dataset <name>', 'dataset to train on')
      .option('--data <file>', 'its file, when not the configured one')
      .option('--service <name>', "feature service (default: the dataset's)")
      .option(
        '--model <estimator>',
        'boosting, forest, ml-random-forest, neural, or without labels isolation, autoencoder; several, with commas, are candidates',
        'boosting',
      )
      .option(
        '--param <name=value>',
        'hyper-parameter (fd estimators lists them); may be repeated; MODEL.NAME=VALUE is for that of several models alone',
        keyValue,
      )
      .option('--register <name>', 'register the model, or the best of the candidates, as a new version of this name')
      .option('--seed <n>', 'the same seed gives the same model', wholeNumber, 0)
      .option('--seeds <n>', 'train each model with that many seeds, from --seed on', positiveWholeNumber)
      .option(
        '--workers <n>',
        'train the candidates as jobs, that many at a time on this machine; 0: only on other fd workers of the job queue (default for several: 1)',
        wholeNumber,
      )
      .option(
        '--split <rule>',
        "ordered (70/30 by time) or delayed (the Handbook's week, gap, week); default: the dataset's",
      )
      .option('--train-from <date>', 'first training day of the delayed split', dateTime)
      .option('--until <date>', 'use only what was known before this instant', dateTime)
      .option('--alerts-per-day <n>', 'alert budget from which the threshold follows', positiveNumber, 100)
      .addOption(
        new Option(
          '--calibrate <method>',
          'make the score a probability, on the latest training rows, which are then not fitted on',
        ).choices(['isotonic', 'platt']),
      )
      .option(
        '--calibration-share <share>',
        `how many of the training rows calibrate (default: ${CALIBRATION_SHARE})`,
        innerShare,
      )
      .addOption(
        new Option(
          '--importance [shuffles]',
          'list the features by how far the average precision on the test rows falls when one is shuffled (permutation importance), each so many times; of trees also the share of gain',
        )
          .argParser(positiveWholeNumber)
          .preset(String(SHUFFLES)),
      )
      .option('--sort', 'order the file by time first'),
    'fd train --dataset kaggle-cc --data creditcard.csv --model forest --register card-fraud',
    'fd train --dataset simulated --param rounds=200 --param max_depth=5',
    'fd train --dataset simulated --model boosting,forest --seeds 3 --workers 2 --param boosting.rounds=300 --register card-fraud',
    'fd train --dataset simulated --model neural --calibrate isotonic',
    'fd train --dataset simulated --importance',
  ).action(action(trainCommandAction))
}

function innerShare(text: string): number {
  const value = Number(text)
  if (!(value > 0 && value < 1)) throw new InvalidArgumentError('Expected a number between 0 and 1.')
  return value
}

async function trainCommandAction(context: Context, options: TrainOptions): Promise<void> {
  const { openRegistry } = await import('../../registry/open.ts')
  if (options.workers !== undefined || options.seeds !== undefined || options.model.includes(',')) {
    return (await import('../jobs/candidates.ts')).trainCandidates(context, options)
  }
  await using registry = await openRegistry(context.config.registry, {
    now: Date.now,
    credentials: context.config.mlflow,
  })
  const trained = await train(context, registry, options, stopSignal)
  const { candidate, runId, version } = trained
  context.output.result(
    {
      runId,
      model: options.register,
      version,
      params: candidate.params,
      threshold: candidate.threshold,
      metrics: candidate.metrics,
      importance: candidate.importance,
    },
    () =>
      [
        ...(candidate.importance === undefined ? [] : [importanceTable(candidate.importance)]),
        pairs(Object.entries(candidate.metrics)),
        pairs([
          ['threshold', String(candidate.threshold)],
          ['run', runId],
          ...(version === undefined
            ? []
            : [['registered', `${options.register} version ${version}`] as [string, string]]),
        ]),
        version === undefined
          ? 'To use it, register it: add --register NAME'
          : `To let it decide: fd models promote ${options.register} ${version}`,
      ].join('\n\n'),
  )
}

export interface Trained {
  candidate: Candidate
  runId: string
  version?: number
}

/**
 * Builds the training set, fits and judges a model, and keeps it as a run, and as a version when `register` names a model.
 *
 * @param listen asked, once there is a run to end, for the signal that ends it as KILLED. Default: none.
 */
export async function train(
  context: Context,
  registry: Registry,
  options: TrainOptions,
  listen: () => AbortSignal = () => new AbortController().signal,
): Promise<Trained> {
  const [{ trainCandidate }, { logRun }, { findEstimator }, { featureNames }] = await Promise.all([
    import('../../training/candidate.ts'),
    import('../../training/run.ts'),
    import('../../training/catalog.ts'),
    import('../../features/view/view.ts'),
  ])
  const estimator = findEstimator(options.model)
  const subject = await trainingSubject(context, options)
  // A wrong name is told before minutes of data are read.
  estimator.params(options.param ?? {}, featureNames(subject.service))
  const { dataset, service, split, calibration } = subject
  const set = await buildTrainingSet(context, dataset, service, split, options)
  const signal = listen()
  const bars = trainingBars(context.output, options.model)
  try {
    const trained = await logRun(registry, {
      ...subject,
      model: options.register,
      estimator: options.model,
      seed: options.seed,
      now: Date.now,
      train: () =>
        trainCandidate(
          set,
          { ...candidateRequest(options), split, ...(calibration && { calibration }) },
          (...round) => {
            bars.fit(...round)
            return !signal.aborted
          },
          (...shuffle) => {
            bars.shuffle(...shuffle)
            return !signal.aborted
          },
        ),
    })
    bars.end()
    return trained
  } catch (error) {
    if (signal.aborted) throw new UserError('Stopped. The run that was under way is kept as KILLED.', { cause: error })
    throw error
  }
}

/** A bar of the fit, and after it one of the shuffles, where there are any. */
function trainingBars(
  output: Output,
  model: string,
): { fit: (...round: Parameters<Report>) => void; shuffle: (done: number, total: number) => void; end: () => void } {
  let bar: Progress | undefined
  let shuffling = false
  return {
    fit: (round, value, rounds) => {
      bar ??= output.progress(`fit ${model}`, rounds)
      bar.update(round, Number.isNaN(value) ? '' : `average precision ${figure(value)}`)
    },
    shuffle: (done, total) => {
      if (!shuffling) {
        bar?.end()
        bar = output.progress('shuffle features', total)
        shuffling = true
      }
      bar?.update(done)
    },
    end: () => bar?.end(),
  }
}

function candidateRequest({
  model,
  param = {},
  seed,
  alertsPerDay,
  importance,
}: TrainOptions): Omit<CandidateRequest, 'split'> {
  return { estimator: model, params: param, seed, alertsPerDay, ...(importance === undefined ? {} : { importance }) }
}

/** Features, the most needed first. */
export function importanceTable(importance: FeatureImportance[]): string {
  const heading = [
    'feature',
    'fall of average precision',
    'deviation',
    ...(importance.some(({ gain }) => gain !== undefined) ? ['share of gain'] : []),
  ]
  return table(
    heading,
    importance.map(({ feature, mean, deviation, gain }) => [
      feature,
      ...[mean, deviation, ...(gain === undefined ? [] : [gain])].map((value) =>
        (Math.round(value * 1e4) / 1e4 + 0).toFixed(4).padStart(7),
      ),
    ]),
  )
}

/** What the options say is to be trained on, and how it is judged. @throws UserError for a name, file or split that does not do. */
export async function trainingSubject({ config }: Context, options: TrainOptions): Promise<RunSubject> {
  const [{ openDataset }, { featureService }, { checkModelName }] = await Promise.all([
    import('../../datasets/catalog.ts'),
    import('../../features/catalog.ts'),
    import('../../registry/naming.ts'),
  ])
  if (options.register !== undefined) checkModelName(options.register)
  if (options.calibrate === undefined && options.calibrationShare !== undefined)
    throw new UserError('--calibration-share is for a score that is made a probability. Add: --calibrate isotonic')
  const dataset = await openDataset(options.dataset, config, options.data === undefined ? {} : { data: options.data })
  const service = featureService(options.service ?? dataset.service, dataset.schema)
  return {
    experiment: options.register ?? service.name,
    dataset,
    service,
    split: splitRule(dataset, options),
    calibration:
      options.calibrate === undefined
        ? undefined
        : { method: options.calibrate, share: options.calibrationShare ?? CALIBRATION_SHARE },
    until: options.until,
    sort: options.sort ?? false,
    codeVersion: codeVersion(),
    by: userInfo().username,
  }
}

/** Folds a dataset into the features, in memory, as a model reads them. @throws UserError when no label is known. */
export async function buildTrainingSet(
  context: Context,
  dataset: Dataset,
  service: FeatureService,
  split: SplitRule,
  options: { until?: number; sort?: boolean },
): Promise<TrainingSet> {
  const { trainingSetSink } = await import('../../features/backfill/training-set.ts')
  const sink = trainingSetSink(service, dataset.schema, {
    ...(split.kind === 'delayed' ? { cardEntity: split.cardEntity } : {}),
    ...(options.until === undefined ? {} : { knownBy: options.until }),
  })
  await runBackfill(context, dataset, service, [sink], {
    ...(options.until === undefined ? {} : { until: options.until }),
    sort: options.sort ?? false,
  })
  const set = sink.set()
  if (set.rows > 0) return set
  const late = options.until === undefined ? '' : ` that was known by ${instant(options.until)}`
  throw new UserError(
    `No transaction of ${dataset.file} has a label${late}, so there is nothing to train on. ${late === '' ? 'Give a file with labels: --data FILE' : 'Give a later instant: --until DATE'}`,
  )
}

function splitRule(dataset: Dataset, options: TrainOptions): SplitRule {
  const kind = options.split ?? (options.trainFrom === undefined ? dataset.split.kind : 'delayed')
  if (kind === 'ordered') return dataset.split.kind === 'ordered' ? dataset.split : { kind, trainShare: 0.7 }
  if (kind !== 'delayed')
    throw new UserError(`"${String(kind)}" is not a split. Use --split ordered or --split delayed.`)
  const [card] = dataset.schema.entities
  if (card === undefined)
    throw new UserError(
      `Dataset "${dataset.name}" has no entity, so the delayed split cannot tell known cards apart. Use --split ordered.`,
    )
  const own = dataset.split.kind === 'delayed' ? dataset.split : undefined
  const trainFrom = options.trainFrom ?? own?.trainFrom
  if (trainFrom === undefined)
    throw new UserError(`The delayed split of "${dataset.name}" needs a first training day: --train-from 2018-07-25`)
  return { kind, trainDays: 7, delayDays: 7, testDays: 7, cardEntity: card.name, ...own, trainFrom }
}
