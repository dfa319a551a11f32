import { resolve } from 'node:path'
import { Command, Option } from 'commander'
import { UserError } from '../../../configs/user-error.ts'
import type { Frame } from '../../../datasets/frame/frame.ts'
import type { Dataset } from '../../../datasets/table/dataset.ts'
import { TIME_UNITS, type TimeUnit } from '../../../datasets/table/time.ts'
import type { Joined, JoinReport } from '../../../features/join/joined-rows.ts'
import { featureNames, type FeatureService } from '../../../features/view/view.ts'
import { sameCommand, withNext } from '../../console/command-line.ts'
import { action, example, stoppable, stopSignal, type Context } from '../../console/command.ts'
import { outFile } from '../../console/out-file.ts'
import { count, pairs } from '../../console/output.ts'

interface JoinOptions {
  dataset: string
  data?: string
  service?: string
  labels: string
  out: string
  time?: string
  unit?: TimeUnit
  sort?: boolean
}

export function joinCommand(): Command {
  const command = new Command('join')
    .description(
      "give the rows of a table of one's own the features as of their times, out of a dataset's history.\n\n" +
        'A row finds what a transaction of its keys would have found just before all transactions of its instant, ' +
        'with the fraud labels that were known by then. It is no event itself, so no window counts it.\n\n' +
        'A row with the id of a transaction in the history, and its time where the table has times, is that ' +
        'transaction: it gets the values that a backfill computes for it.',
    )
    .requiredOption('--dataset <name>', 'dataset whose history is folded')
    .option('--data <file>', 'its file, when not the configured one')
    .option('--service <name>', "feature service (default: the dataset's)")
    .requiredOption(
      '--labels <file>',
      'CSV or Parquet with the key columns of some or all entities and a time, or with ids; other columns are kept',
    )
    .requiredOption('--out <file>', 'the same rows with their features: .parquet, .csv or .csv.gz')
    .option('--time <column>', 'the column of its times (default: named as in the dataset)')
    .addOption(
      new Option(
        '--unit <unit>',
        'how it counts (default: as in the dataset; timestamps are told by themselves)',
      ).choices([...TIME_UNITS]),
    )
    .option('--sort', "order the dataset's file by time first")
  return example(
    command,
    'fd features join --dataset simulated --labels disputes.csv --out training.parquet',
    'fd features join --dataset shops --service risk --labels frame.parquet --time asked_at --out frame.csv',
  ).action(action(join))
}

async function join({ config, output, fd }: Context, options: JoinOptions): Promise<void> {
  const [{ openDataset }, { requireTimes }, { featureService }, { tableFormat }] = await Promise.all([
    import('../../../datasets/catalog.ts'),
    import('../../../datasets/table/dataset.ts'),
    import('../../../features/catalog.ts'),
    import('../../../datasets/table/parquet.ts'),
  ])
  const out = outFile(options.out, config.home)
  tableFormat(out)
  if (resolve(options.labels) === out) {
    throw new UserError(`--out ${out} is the table itself. Name another file.`)
  }
  const dataset = await openDataset(options.dataset, config, { data: options.data })
  requireTimes(dataset, { labels: true })
  const service = featureService(options.service ?? dataset.service, dataset.schema, config)
  const started = performance.now()
  const [{ readFrame }, { joinFeatures }, { writeJoined }] = await Promise.all([
    import('../../../datasets/frame/frame.ts'),
    import('../../../features/join/join.ts'),
    import('../../../features/join/joined-rows.ts'),
  ])
  const { time, unit } = options
  const frame = await readFrame(options.labels, dataset.schema, { time, unit, tokenKey: config.tokenKey })
  const state = `Nothing was written. To join, run: ${sameCommand()}`
  const progress = stoppable(output.progress, stopSignal(), state)('join', await dataset.count())
  const joined = await joinFeatures(dataset, service, frame, { sort: options.sort, report: progress.update })
  progress.end()
  const renamed = await writeJoined(out, frame, service, dataset.schema, joined)
  const without = emptyFeatures(joined, service)
  for (const note of notes(joined.report, { frame, dataset, without, renamed })) output.note(note)
  const seconds = (performance.now() - started) / 1000
  const document = { ...joined.report, service: service.name, out, without, renamed, seconds }
  const { dataset: name, data, sort } = options
  const next = fd('train', { dataset: name, data, service: options.service, sort })
  output.result(document, () => withNext(describe(joined.report, out, seconds), next))
}

/** The features that no row has a value of. */
function emptyFeatures({ values, categories, report }: Joined, service: FeatureService): string[] {
  const names = featureNames(service)
  const kinds = service.views.flatMap((view) => view.features.map((feature) => 'from' in feature && feature.from))
  let category = 0
  return names.filter((_, f) => {
    if (kinds[f] === 'categorical') return categories[category++].every((name) => name === '')
    for (let row = 0, at = f; row < report.rows; row++, at += names.length) if (!Number.isNaN(values[at])) return false
    return true
  })
}

interface JoinNotes {
  frame: Frame
  dataset: Dataset
  without: string[]
  renamed: Record<string, string>
}

function notes({ rows, otherTime, unmatched, truncated }: JoinReport, told: JoinNotes): string[] {
  const { frame, dataset, without, renamed } = told
  const lacks = frame.absent.length === 0 ? '' : `, which has no column ${shown(frame.absent)}`
  const others = Object.entries(renamed).map(([name, now]) => `${name} as ${now}`)
  return [
    ...(without.length > 0 ? [`Missing in every row of ${frame.file}${lacks}: ${shown(without)}.`] : []),
    ...(otherTime > 0
      ? [
          `${count(otherTime)} of ${count(rows)} rows have the id of a transaction of ${dataset.name} and another ` +
            'time than it: they were looked up as rows of their own.',
        ]
      : []),
    ...(unmatched > 0
      ? [
          `${count(unmatched)} of ${count(rows)} rows have an id that ${dataset.file} does not have: their features ` +
            'are missing. With keys and times they would be looked up.',
        ]
      : []),
    ...(truncated > 0
      ? [`${count(truncated)} rows are of a key with more events than features.maxEvents: windows lack the oldest.`]
      : []),
    ...(others.length > 0 ? [`Columns of the table have these names already: ${shown(others)}.`] : []),
  ]
}

/** Most names that a note lists. */
const MOST_NAMES = 20

function shown(names: readonly string[]): string {
  const more = names.length - MOST_NAMES
  return names.slice(0, MOST_NAMES).join(', ') + (more > 0 ? ` and ${more} more` : '')
}

function describe({ rows, transactions, events }: JoinReport, out: string, seconds: number): string {
  return pairs([
    ['rows', rows],
    ['of these, transactions of the history', transactions],
    ['events of the history', events],
    ['seconds', Number(seconds.toFixed(2))],
    ['rows and features', out],
  ])
}
