import type { Config } from '../../configs/config.ts'
import { UserError } from '../../configs/user-error.ts'
import { simulatedFile } from '../simulator/simulator.ts'
import type { Dataset, DatasetSchema } from '../table/dataset.ts'
import { fileDataset, locateFile } from '../table/file-dataset.ts'
import { END_OF_TIME } from '../table/time.ts'
import { DAY } from '../table/transaction.ts'

/**
 * The columns of the Fraud Detection Handbook's transactions; other columns are not read. Frauds become known after 7
 * days.
 */
export const HANDBOOK_SCHEMA: DatasetSchema = {
  id: { column: 'TRANSACTION_ID', type: 'integer' },
  time: { column: 'TX_DATETIME', unit: 'timestamp' },
  amount: { column: 'TX_AMOUNT', minorUnits: 2 },
  label: { column: 'TX_FRAUD', delay: 7 * DAY },
  entities: [
    { name: 'customer', column: 'CUSTOMER_ID', type: 'integer' },
    { name: 'terminal', column: 'TERMINAL_ID', type: 'integer' },
  ],
  numeric: [],
  categorical: [],
}

/**
 * The transactions published with the Fraud Detection Handbook, split as in its baseline (chapter 3).
 *
 * @throws UserError when no file was named, or the named file does not exist.
 */
export function handbook(config: Config, data?: string): Dataset {
  const file = locateFile('handbook', config, data)
  if (file === undefined) {
    throw new UserError(
      'The dataset handbook needs its file: the transactions of the Fraud Detection Handbook as Parquet or CSV.\n' +
        'Give --data FILE, or set datasets.handbook.path in the configuration. ' +
        'To work without it: fd datasets simulate, then --dataset simulated.',
    )
  }
  return fileDataset(
    {
      name: 'handbook',
      description: 'Fraud Detection Handbook: simulated card transactions of 183 days',
      schema: HANDBOOK_SCHEMA,
      service: 'card-fraud',
      split: {
        kind: 'delayed',
        trainFrom: Date.UTC(2018, 6, 25),
        trainDays: 7,
        delayDays: 7,
        testDays: 7,
        cardEntity: 'customer',
      },
    },
    file,
    { maxAhead: config.scorer.maxAhead },
  )
}

/**
 * The transactions that `fd datasets simulate` made.
 *
 * @throws UserError when nothing was simulated yet, or the named file does not exist.
 */
export function simulated(config: Config, data?: string): Dataset {
  const usual = simulatedFile(config)
  const file = locateFile('simulated', config, data, usual)
  if (file === undefined) {
    throw new UserError(
      `Nothing is simulated yet: there is no ${usual}.\nRun: fd datasets simulate. Or give --data FILE.`,
    )
  }
  return fileDataset(
    {
      name: 'simulated',
      description: 'our simulation after the Fraud Detection Handbook',
      schema: HANDBOOK_SCHEMA,
      service: 'card-fraud',
      split: { kind: 'ordered', trainShare: 0.7 },
      // A simulated world may go on for as many days as one likes.
      until: END_OF_TIME,
    },
    file,
    { maxAhead: config.scorer.maxAhead },
  )
}
