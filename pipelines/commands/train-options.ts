import { Command, InvalidArgumentError, Option } from 'commander'
import { dateTime, keyValue, positiveNumber, positiveWholeNumber, wholeNumber } from '../console/command.ts'
import type { CandidateOptions } from '../jobs/candidates.ts'
import { CALIBRATION_SHARE, type SubjectOptions } from '../jobs/training-subject.ts'

/** Options of `fd train`. */
export interface TrainOptions extends SubjectOptions, CandidateOptions {
  /** Alert budget from which the threshold follows. */
  alertsPerDay: number
  /** Shuffles of each feature that measure its importance. Default: it is not measured. */
  importance?: number
  config?: string
}

/** Shuffles of each feature when no other number is named. */
const SHUFFLES = 5

/** Adds the options that say on what is trained. */
export function addDataOptions(command: Command): Command {
  return command
    .requiredOption('--dataset <name>', 'dataset to train on')
    .option('--data <file>', 'its file, when not the configured one')
    .option('--service <name>', "feature service (default: the dataset's)")
}

/** Adds the options that say what is fitted: estimators, their parameters and seeds, and how many at one time. */
export function addCandidateOptions(command: Command): Command {
  return command
    .option(
      '--model <estimator>',
      'boosting, forest, ml-random-forest, neural, or without labels isolation, autoencoder; ' +
        'several, with commas, are candidates',
      'boosting',
    )
    .option(
      '--param <name=value>',
      'hyper-parameter (fd estimators lists them); may be repeated; ' +
        'MODEL.NAME=VALUE is for that of several models alone',
      keyValue,
    )
    .option('--register <name>', 'register the model, or the best of the candidates, as a new version of this name')
    .option('--seed <n>', 'the same seed gives the same model', wholeNumber, 0)
    .option('--seeds <n>', 'train each model with that many seeds, from --seed on', positiveWholeNumber)
    .option(
      '--workers <n>',
      'train the candidates as jobs, that many at a time on this machine; ' +
        '0: only on other fd workers of the job queue (default for several: 1)',
      wholeNumber,
    )
}

/** Adds the options that say how a model is judged: split, threshold, calibration, importance. */
export function addJudgementOptions(command: Command): Command {
  return command
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
        'list the features by how far the average precision on the test rows falls when one is shuffled ' +
          '(permutation importance), each so many times; of trees also the share of gain',
      )
        .argParser(positiveWholeNumber)
        .preset(String(SHUFFLES)),
    )
}

function innerShare(text: string): number {
  const value = Number(text)
  if (!(value > 0 && value < 1)) throw new InvalidArgumentError('Expected a number between 0 and 1.')
  return value
}
