import { userInfo } from 'node:os'
import { codeVersion } from '../../configs/code-version.ts'
import type { Config } from '../../configs/config.ts'
import { UserError } from '../../configs/user-error.ts'
import type { Dataset, SplitRule } from '../../datasets/table/dataset.ts'
import type { EpochMs } from '../../datasets/table/transaction.ts'
import type { CalibrationRequest } from '../../training/calibration/calibration.ts'
import type { RunSubject } from '../../training/run.ts'

/** Options of `fd train` that say on what is trained, and how the data are divided. */
export interface SubjectOptions {
  dataset: string
  data?: string
  service?: string
  /** Name of the registered model; also that of the experiment. */
  register?: string
  split?: SplitRule['kind']
  /** First training day of the delayed split. */
  trainFrom?: EpochMs
  until?: EpochMs
  sort?: boolean
  calibrate?: CalibrationRequest['method']
  calibrationShare?: number
}

/** Share of the training rows that calibrate when no other is named. */
export const CALIBRATION_SHARE = 0.2

/**
 * What the options say is to be trained on, and how it is judged.
 *
 * @throws UserError for a name that is not valid, a dataset or file that is not there, or a split that does not fit it.
 */
export async function trainingSubject(config: Config, options: SubjectOptions): Promise<RunSubject> {
  const [{ openDataset }, { requireTimes }, { featureService }, { checkModelName }] = await Promise.all([
    import('../../datasets/catalog.ts'),
    import('../../datasets/table/dataset.ts'),
    import('../../features/catalog.ts'),
    import('../../registry/naming.ts'),
  ])
  if (options.register !== undefined) checkModelName(options.register)
  if (options.calibrate === undefined && options.calibrationShare !== undefined) {
    throw new UserError('--calibration-share is for a score that is made a probability. Add: --calibrate isotonic')
  }
  const dataset = await openDataset(options.dataset, config, { data: options.data })
  const { split, trainFrom, until, sort } = options
  requireTimes(dataset, { 'train-from': trainFrom, until, sort, 'split delayed': split === 'delayed' })
  const service = featureService(options.service ?? dataset.service, dataset.schema, config)
  return {
    experiment: options.register ?? service.name,
    dataset,
    service,
    split: splitRule(dataset, options),
    calibration: calibrationRequest(options),
    until,
    sort: sort ?? false,
    code: codeVersion(),
    by: userInfo().username,
  }
}

function calibrationRequest({ calibrate, calibrationShare }: SubjectOptions): CalibrationRequest | undefined {
  return calibrate === undefined ? undefined : { method: calibrate, share: calibrationShare ?? CALIBRATION_SHARE }
}

function splitRule(dataset: Dataset, options: SubjectOptions): SplitRule {
  const kind = options.split ?? (options.trainFrom === undefined ? dataset.split.kind : 'delayed')
  if (kind === 'ordered') return dataset.split.kind === 'ordered' ? dataset.split : { kind, trainShare: 0.7 }
  // The command line accepts any text for --split.
  if (kind !== 'delayed') {
    throw new UserError(`"${String(kind)}" is not a split. Use --split ordered or --split delayed.`)
  }
  const [card] = dataset.schema.entities
  if (card === undefined) {
    throw new UserError(
      `Dataset "${dataset.name}" has no entity, so the delayed split cannot tell known cards apart. ` +
        'Use --split ordered.',
    )
  }
  const own = dataset.split.kind === 'delayed' ? dataset.split : undefined
  const trainFrom = options.trainFrom ?? own?.trainFrom
  if (trainFrom === undefined) {
    throw new UserError(`The delayed split of "${dataset.name}" needs a first training day: --train-from 2018-07-25`)
  }
  return { kind, trainDays: 7, delayDays: 7, testDays: 7, cardEntity: card.name, ...own, trainFrom }
}
