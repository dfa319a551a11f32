import { UserError } from '../../configs/user-error.ts'
import { subset, type TrainingSet } from '../../features/backfill/training-set.ts'
import type { FittedModel } from '../fit/fitted-model.ts'
import { labelled, requireLabels } from '../fit/labels.ts'
import type { Link } from '../fit/link.ts'
import { fitIsotonic, isotonicLink } from './isotonic.ts'
import { fitSigmoid, sigmoidLink } from './platt.ts'

/** How to turn scores into probabilities, and on which rows. */
export interface CalibrationRequest {
  method: 'isotonic' | 'platt'
  /** Latest share of the training rows, in (0, 1), that calibrates instead of being fitted on. */
  share: number
}

/**
 * Parts the rows that calibrate from the rows to fit on. They must not be the same, since a model is surer of rows it
 * was fitted on than of any others. The latest rows calibrate, since they are most like those the model will score; of
 * these, those whose label is known.
 *
 * @throws UserError when `slice`, the rows that calibrate, lacks a class.
 */
export function partCalibration(
  train: TrainingSet,
  { share }: CalibrationRequest,
): { fitted: TrainingSet; slice: TrainingSet } {
  const rows = Int32Array.from({ length: train.rows }, (_, row) => row)
  const first = Math.floor(train.rows * (1 - share))
  const slice = labelled(subset(train, rows.subarray(first)))
  const where = `in the ${slice.rows} latest training rows, which calibrate (--calibration-share ${share})`
  requireLabels(slice, where, 'Give a larger share, or a longer training period.')
  return { fitted: subset(train, rows.subarray(0, first)), slice }
}

/**
 * The same model with its link fitted on `slice`. Its scores are then probabilities of fraud, as far as the slice
 * tells. The link rises with the margin, so the order of the rows stays. Two exceptions: float32 ties, and with
 * `isotonic` all margins beyond those of the slice, which tie.
 *
 * @throws UserError when the margins do not rise with fraud on the slice.
 */
export function calibrate<M extends FittedModel>(
  model: M,
  method: CalibrationRequest['method'],
  slice: TrainingSet,
): M {
  const margins = model.margins(slice.x, slice.categorical)
  const link = method === 'platt' ? fitPlatt(margins, slice.y) : fitLine(margins, slice.y)
  return { ...model, link }
}

function fitPlatt(margins: Float32Array, y: Uint8Array): Link {
  const sigmoid = fitSigmoid(margins, y)
  if (!(sigmoid.slope > 0)) throw doesNotRise(y)
  return sigmoidLink(sigmoid)
}

function fitLine(margins: Float32Array, y: Uint8Array): Link {
  const { knots, blocks } = fitIsotonic(margins, y)
  if (blocks < 2) throw doesNotRise(y)
  return isotonicLink(knots)
}

function doesNotRise(y: Uint8Array): UserError {
  const frauds = y.reduce((sum, label) => sum + label, 0)
  return new UserError(
    `The model's scores do not rise with fraud on the ${y.length} rows (${frauds} frauds) held out to calibrate, ` +
      'so there is nothing to calibrate. ' +
      'Give more rows (--calibration-share 0.3), or train without --calibrate.',
  )
}
