import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../../configs/config.ts'
import { UserError } from '../../configs/user-error.ts'
import type { Dataset, DatasetSchema } from '../table/dataset.ts'
import { fileDataset, locateFile, sha256 } from '../table/file-dataset.ts'
import { readTable } from '../table/table.ts'
import { downloadFromKaggle } from './kaggle-download.ts'

/** V1 … V28: principal components of the bank's own attributes. */
export const COMPONENTS = Array.from({ length: 28 }, (_, index) => `V${index + 1}`)

/**
 * The columns of `creditcard.csv`. Time counts seconds from the first of two days in September 2013; labels are known
 * at once.
 */
export const KAGGLE_CC_SCHEMA: DatasetSchema = {
  time: { column: 'Time', unit: 's', origin: Date.UTC(2013, 8, 1) },
  amount: { column: 'Amount', minorUnits: 2 },
  label: { column: 'Class' },
  entities: [],
  numeric: COMPONENTS,
  categorical: [],
}

/** Row counts of the published file, by which a download is checked: its sha256 was never published. */
export const KAGGLE_CC_ROWS = { transactions: 284_807, frauds: 492 }

/**
 * Credit card fraud of the ULB machine learning group, as published on Kaggle (`mlg-ulb/creditcardfraud`).
 *
 * @throws UserError when there is no file; the message lists the ways to get one.
 */
export function kaggleCc(config: Config, data?: string): Dataset {
  const usual = kaggleCcFile(config)
  const file = locateFile('kaggle-cc', config, data, usual)
  if (file === undefined) {
    throw new UserError(
      [
        `The dataset kaggle-cc needs Kaggle's creditcard.csv. Any one of:`,
        `  1. give the file: --data creditcard.csv`,
        `  2. set its path in the configuration: datasets.kaggle-cc.path`,
        `  3. download it to ${usual}: set KAGGLE_USERNAME and KAGGLE_KEY, then run: fd datasets fetch kaggle-cc`,
        `To try now, without Kaggle: --dataset kaggle-cc-synthetic (the same columns, made here).`,
      ].join('\n'),
    )
  }
  return fileDataset(
    {
      name: 'kaggle-cc',
      description: 'Kaggle mlg-ulb/creditcardfraud: two days of European cards',
      schema: KAGGLE_CC_SCHEMA,
      service: 'kaggle-cc',
      split: { kind: 'ordered', trainShare: 0.7 },
    },
    file,
    { maxAhead: config.scorer.maxAhead },
  )
}

/**
 * Downloads `creditcard.csv` to where `kaggleCc` looks, and continues where an earlier download was cut off. The file
 * gets its name only after all of it was read and its rows and frauds were counted. An existing file is not downloaded
 * again.
 *
 * @param report receives the bytes so far, and in all (undefined: the server did not say).
 * @param options another server and other counts.
 * @throws UserError without credentials, when Kaggle refuses, when the connection makes no progress, or when the
 * content is not that file.
 */
export async function fetchKaggleCc(
  config: Config,
  report: (bytes: number, total: number | undefined) => void,
  options: { baseUrl?: string; expected?: { transactions: number; frauds: number } } = {},
): Promise<{ file: string; sha256: string }> {
  const file = kaggleCcFile(config)
  if (!existsSync(file)) {
    const { username, key } = config.kaggle
    if (username === undefined || key === undefined) {
      throw new UserError(
        'Kaggle asks who you are. Make a key at https://www.kaggle.com/settings (API), ' +
          'set KAGGLE_USERNAME and KAGGLE_KEY, and run again: fd datasets fetch kaggle-cc',
      )
    }
    const path = 'mlg-ulb/creditcardfraud/creditcard.csv'
    const url = `${options.baseUrl ?? 'https://www.kaggle.com'}/api/v1/datasets/download/${path}`
    await downloadFromKaggle({
      url,
      username,
      key,
      file,
      report,
      check: (candidate) => checkContent(candidate, options.expected ?? KAGGLE_CC_ROWS),
    })
  }
  return { file, sha256: await sha256(file) }
}

function kaggleCcFile(config: Config): string {
  return join(config.home, 'datasets', 'creditcard.csv')
}

async function checkContent(file: string, expected: { transactions: number; frauds: number }): Promise<void> {
  let [transactions, frauds] = [0, 0]
  for await (const batch of readTable(file, KAGGLE_CC_SCHEMA)) {
    transactions += batch.size
    frauds += batch.label.subarray(0, batch.size).reduce((sum, label) => sum + label, 0)
  }
  if (transactions !== expected.transactions || frauds !== expected.frauds) {
    throw new UserError(
      `What Kaggle sent has ${transactions} rows and ${frauds} frauds, ` +
        `not ${expected.transactions} and ${expected.frauds}.`,
    )
  }
}
