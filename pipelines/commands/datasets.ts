import { Command, Option } from 'commander'
import { UserError } from '../../configs/user-error.ts'
import type { Profile } from '../../datasets/profile/profile.ts'
import {
  decimalsOf,
  type Dataset,
  type DatasetSchema,
  type EntityRole,
  type SplitRule,
} from '../../datasets/table/dataset.ts'
import { DAY } from '../../datasets/table/transaction.ts'
import { timeWord, withNext } from '../console/command-line.ts'
import { action, dateTime, example, wholeNumber, type Context } from '../console/command.ts'
import { outFile } from '../console/out-file.ts'
import { count, pairs, table } from '../console/output.ts'
import { profileText } from './datasets-profile.ts'

export function datasetsCommand(): Command {
  return new Command('datasets')
    .description('histories of transactions')
    .addCommand(listCommand())
    .addCommand(describeCommand())
    .addCommand(simulateCommand())
    .addCommand(fetchCommand())
}

function listCommand(): Command {
  return example(
    new Command('list').description('datasets, and whether their file is there'),
    'fd datasets list',
  ).action(action(list))
}

interface Entry {
  name: string
  description: string
  file: string | null
  /** Why the file is not there. */
  missing: string | null
}

async function list({ config, output, fd }: Context): Promise<void> {
  const { datasetNames, openDataset } = await import('../../datasets/catalog.ts')
  const found: Entry[] = []
  for (const name of datasetNames(config)) found.push(await entry(name, () => openDataset(name, config)))
  const there = found.find(({ file }) => file !== null)
  output.result(found, () =>
    withNext(
      table(
        ['dataset', 'file', 'description'],
        found.map(({ name, file, description }) => [name, file ?? 'none yet', description]),
      ),
      there === undefined ? fd('datasets', 'simulate') : fd('datasets', 'describe', there.name),
    ),
  )
}

async function entry(name: string, open: () => Promise<Dataset>): Promise<Entry> {
  try {
    const { description, file } = await open()
    return { name, description, file, missing: null }
  } catch (error) {
    if (!(error instanceof UserError)) throw error
    return { name, description: error.message.split('\n')[0], file: null, missing: error.message }
  }
}

function describeCommand(): Command {
  return example(
    new Command('describe')
      .description('roles of the columns, what the rows look like, and what looks wrong')
      .argument('<name>')
      .option('--data <file>', 'its file, when not the configured one'),
    'fd datasets describe kaggle-cc --data creditcard.csv',
  ).action(action(describe))
}

async function describe({ config, output, fd }: Context, options: { data?: string }, name: string): Promise<void> {
  const { openDataset } = await import('../../datasets/catalog.ts')
  const { profileOf } = await import('../../datasets/profile/profile.ts')
  const { findingsOf } = await import('../../datasets/profile/findings.ts')
  const dataset = await openDataset(name, config, { data: options.data })
  const { description, schema, service, split, file } = dataset
  const profile = await profileOf(dataset)
  const rows = profile.stopped === null ? profile.rows : await dataset.count()
  const [digest, findings] = [await dataset.digest(), findingsOf(profile, schema)]
  output.result({ name, description, file, rows, digest, service, split, schema, profile, findings }, () =>
    withNext(
      [descriptionText(dataset, rows, digest), profileText(profile, findings)].join('\n\n'),
      afterDescription(dataset, profile, options.data, fd),
    ),
  )
}

/** What comes next: to fold the history, but for a last fifth that is left to be streamed; without any, to train. */
function afterDescription(
  { name, schema, service }: Dataset,
  profile: Profile,
  data: string | undefined,
  fd: Context['fd'],
): string {
  if (schema.time === 'none' || schema.entities.length === 0)
    return fd('train', { dataset: name, data, register: service })
  // What was read of a file in another order says nothing of where its last fifth begins.
  const sort = profile.stopped?.includes('--sort') === true
  const until = sort ? undefined : timeWord(cutOf(profile))
  return fd('features', 'backfill', { dataset: name, data, until, online: true, sort })
}

/** The first midnight before which four fifths of the rows lie; undefined where there is none behind the first day. */
function cutOf({ rows, from, rowsByDay }: Profile): number | undefined {
  let before = 0
  const day = rowsByDay.findIndex((rowsOfDay) => {
    if (before >= 0.8 * rows) return true
    before += rowsOfDay
    return false
  })
  return day === -1 ? undefined : Math.floor(from / DAY) * DAY + day * DAY
}

function descriptionText({ description, schema, service, split, file }: Dataset, rows: number, digest: string): string {
  const entries: [string, string | number][] = [
    ['description', description],
    ['file', file],
    ['rows', rows],
    ['sha256', digest],
    ['id', schema.id?.column ?? 'the row number'],
    ['event time', timeText(schema.time)],
    ['amount', amountText(schema)],
    ['label', schema.label === undefined ? 'none' : `${schema.label.column}, known ${known(schema.label)}`],
    ['entities', schema.entities.map(entityText).join(', ')],
    ['numeric', schema.numeric.map((column) => numericText(column, schema)).join(', ')],
    ['categorical', schema.categorical.join(', ')],
    ['feature service', service],
    ['split', splitText(split, schema.time === 'none' ? 'order' : 'time')],
  ]
  return pairs(entries.filter(([, value]) => value !== ''))
}

function amountText({ amount, refunds }: DatasetSchema): string {
  const negative = refunds === true ? ', below 0 a refund' : ''
  return `${amount.column} (${amount.minorUnits} decimals${negative})`
}

function numericText(column: string, schema: DatasetSchema): string {
  const decimals = decimalsOf(schema, column)
  return decimals === undefined ? column : `${column} (${decimals} decimals)`
}

function entityText(entity: EntityRole): string {
  if ('of' in entity) return `${entity.name} (${entity.of.join(' and ')})`
  const { name, column, optional } = entity
  return `${name} (${column}${optional === true ? ', may be blank' : ''})`
}

function known(label: { delay?: number; knownAt?: string }): string {
  if (label.knownAt !== undefined) return `at ${label.knownAt}`
  return label.delay === undefined || label.delay === 0 ? 'at once' : `after ${label.delay / 86_400_000} days`
}

function timeText(time: DatasetSchema['time']): string {
  if (time === 'none') return 'none: rows in their order, records of the stream by their arrival, no windows'
  return `${time.column} (${time.unit})`
}

function splitText(split: SplitRule, by: 'order' | 'time'): string {
  return split.kind === 'ordered'
    ? `first ${split.trainShare * 100} % by ${by} trains`
    : `${split.trainDays} days, ${split.delayDays} days of delay, ${split.testDays} days`
}

interface SimulateOptions {
  customers: number
  terminals: number
  days: number
  seed: number
  start: number
  out?: string
}

function simulateCommand(): Command {
  return example(
    new Command('simulate')
      .description('simulate card transactions with three kinds of fraud, after the Fraud Detection Handbook')
      .option('--customers <n>', 'customers', wholeNumber, 5000)
      .option('--terminals <n>', 'terminals', wholeNumber, 10000)
      .option('--days <n>', 'days', wholeNumber, 183)
      .option('--seed <n>', 'the same seed gives the same transactions', wholeNumber, 0)
      .addOption(
        new Option('--start <date>', 'first day').argParser(dateTime).default(Date.UTC(2018, 3, 1), '2018-04-01'),
      )
      .option('--out <file>', 'Parquet file (default: where --dataset simulated looks)'),
    'fd datasets simulate --customers 1000 --terminals 2000 --days 90 --seed 7 --out transactions.parquet',
  ).action(action(simulate))
}

async function simulate({ config, output, fd }: Context, options: SimulateOptions): Promise<void> {
  const { simulateToParquet, simulatedFile } = await import('../../datasets/simulator/simulator.ts')
  const file = outFile(options.out ?? simulatedFile(config), config.home)
  const progress = output.progress('simulate', options.days)
  const started = performance.now()
  const report = await simulateToParquet(options, file, (day) => progress.update(day))
  progress.end()
  const seconds = (performance.now() - started) / 1000
  output.result({ file, ...report, seconds }, () => {
    const what = `${count(report.transactions)} transactions with ${count(report.frauds)} frauds`
    const next = fd('datasets', 'describe', 'simulated', { data: options.out })
    return withNext(`${what} in ${seconds.toFixed(1)} s: ${file}`, next)
  })
}

function fetchCommand(): Command {
  return example(
    new Command('fetch')
      .description("download a dataset from Kaggle's API (KAGGLE_USERNAME, KAGGLE_KEY); continues where it was cut off")
      .argument('<name>'),
    'fd datasets fetch kaggle-cc',
  ).action(action(fetchDataset))
}

async function fetchDataset({ config, output, fd }: Context, _: object, name: string): Promise<void> {
  if (name !== 'kaggle-cc') {
    throw new UserError(
      `"${name}" cannot be fetched; kaggle-cc can. Others are made (fd datasets simulate) or given (--data FILE).`,
    )
  }
  const { fetchKaggleCc } = await import('../../datasets/published/kaggle-cc.ts')
  const progress = output.progress('fetch')
  const { file, sha256 } = await fetchKaggleCc(config, (done) => progress.update(done))
  progress.end()
  output.result({ file, sha256 }, () => withNext(`${file}\nsha256 ${sha256}`, fd('datasets', 'describe', name)))
}
