import { Command } from 'commander'
import { UserError } from '../../configs/user-error.ts'
import { timeWord, withNext } from '../console/command-line.ts'
import {
  action,
  dateTime,
  example,
  positiveWholeNumber,
  stoppable,
  stopSignal,
  wholeNumber,
  type Context,
} from '../console/command.ts'
import { outFile } from '../console/out-file.ts'
import { count, instant, pairs, table } from '../console/output.ts'
import { openStore } from '../console/parts.ts'
import { nothingWritten, runBackfill, type BackfillResult, type BackfillRunOptions } from '../jobs/backfill-run.ts'
import { getCommand } from './batch/features-get.ts'
import { joinCommand } from './batch/features-join.ts'
import { checkCommand } from './definitions/check.ts'
import { describeCommand } from './definitions/describe.ts'
import { listCommand } from './definitions/list.ts'
import { verifyCommand } from './verify.ts'

export function featuresCommand(): Command {
  return new Command('features')
    .description('feature services: what models read')
    .addCommand(listCommand())
    .addCommand(describeCommand())
    .addCommand(checkCommand())
    .addCommand(functionsCommand())
    .addCommand(backfillCommand())
    .addCommand(getCommand())
    .addCommand(joinCommand())
    .addCommand(verifyCommand())
}

function functionsCommand(): Command {
  return example(
    new Command('functions').description('operators and functions of expressions, each with an example'),
    'fd features functions',
  ).action(action(functions))
}

async function functions({ output }: Context): Promise<void> {
  const { reference } = await import('../../features/expression/reference.ts')
  const entries = reference()
  output.result(entries, () => {
    const rows = entries.map(({ form, meaning, example: of }) => [form, of, meaning])
    return (
      `${table(['form', 'example', 'what it gives'], rows)}\n\n` +
      'Names: amount, time (milliseconds since 1970), numeric and categorical columns, entities; in derived features ' +
      'the features before them.\nWhat is missing makes the result missing, but where the other side decides, ' +
      'in coalesce and in is_missing.'
    )
  })
}

interface BackfillOptions {
  dataset: string
  data?: string
  service?: string
  out?: string
  online?: boolean
  until?: number
  sort?: boolean
  shards?: number
  workers?: number
  config?: string
}

function backfillCommand(): Command {
  const command = new Command('backfill')
    .description('compute the features of a dataset, to Parquet (--out) and into the online store (--online)')
    .requiredOption('--dataset <name>', 'dataset whose history is folded')
    .option('--data <file>', 'its file, when not the configured one')
    .option('--service <name>', "feature service (default: the dataset's)")
    .option('--out <file>', 'Parquet file: transaction_id, the features, label; in log order')
    .option('--online', 'publish the state from which the scorer goes on')
    .option('--until <date>', 'fold only what stood in the log before this instant', dateTime)
    .option('--sort', 'order the file by time first')
    .option(
      '--shards <n>',
      'divide the keys among that many jobs; each reads the whole file, ' +
        'so this pays where folding or memory is the limit, not reading',
      positiveWholeNumber,
    )
    .option(
      '--workers <n>',
      'shards folded at one time on this machine; ' +
        '0: only on other fd workers of the job queue (default: the cores)',
      wholeNumber,
    )
  return example(
    command,
    'fd features backfill --dataset simulated --until 2018-06-01 --online',
    'fd features backfill --dataset handbook --data transactions.parquet --out features.parquet',
    'fd features backfill --dataset handbook --data transactions.parquet --online --shards 4',
  ).action(action(backfill))
}

async function backfill({ config, output, fd }: Context, options: BackfillOptions): Promise<void> {
  checkBackfill(options)
  const [{ openDataset }, { requireTimes }, { featureService }, { parquetSink }] = await Promise.all([
    import('../../datasets/catalog.ts'),
    import('../../datasets/table/dataset.ts'),
    import('../../features/catalog.ts'),
    import('../../features/backfill/backfill.ts'),
  ])
  const { shards, workers } = options
  const out = options.out === undefined ? undefined : outFile(options.out, config.home)
  const dataset = await openDataset(options.dataset, config, { data: options.data })
  requireTimes(dataset, { online: options.online, until: options.until, sort: options.sort })
  const service = featureService(options.service ?? dataset.service, dataset.schema, config)
  await using sink = out === undefined ? undefined : await parquetSink(out, service, dataset.schema)
  const started = performance.now()
  const history = { dataset, service }
  const sinks = sink === undefined ? [] : [sink]
  const run: BackfillRunOptions = {
    until: options.until,
    sort: options.sort,
    openStore: options.online === true ? () => openStore(config, output.note) : undefined,
  }
  let report: BackfillResult
  if (shards === undefined) {
    report = await runBackfill(history, sinks, run, stoppable(output.progress, stopSignal(), nothingWritten()))
  } else {
    const { runShardedBackfill } = await import('../jobs/shards.ts')
    const queue = { url: config.jobQueue, workers, configFile: options.config, heartbeatMs: config.heartbeatMs }
    report = await runShardedBackfill(history, sinks, { ...run, shards, home: config.home, queue }, output)
  }
  const seconds = (performance.now() - started) / 1000
  const timed = dataset.schema.time !== 'none'
  output.result({ ...report, watermark: timed ? instant(report.watermark) : null, seconds, out }, () =>
    withNext(
      backfillText(report, seconds, { service: service.name, out, timed }),
      afterBackfill(options, service.name, fd),
    ),
  )
}

/** What comes next: to train on the same history. */
function afterBackfill(
  { dataset, data, service, until, sort }: BackfillOptions,
  register: string,
  fd: Context['fd'],
): string {
  return fd('train', { dataset, data, service, until: timeWord(until), sort, register })
}

/** @throws UserError for options that do not go together. */
function checkBackfill({ workers, shards, out, online }: BackfillOptions): void {
  if (workers !== undefined && shards === undefined) {
    throw new UserError('--workers is for a backfill in shards. Add: --shards N')
  }
  if (out === undefined && online !== true) {
    throw new UserError('Say where the features go: --out FILE.parquet, --online, or both.')
  }
}

function backfillText(
  report: BackfillResult,
  seconds: number,
  { service, out, timed }: { service: string; out: string | undefined; timed: boolean },
): string {
  const entries: [string, string | number][] = [
    ['transactions', report.transactions],
    ['frauds', report.frauds],
    ['labels known in time', report.labels],
    ...(timed ? [['newest event', instant(report.watermark)] as [string, string]] : []),
    ['seconds', Number(seconds.toFixed(2))],
    ['transactions a second', Math.round(report.transactions / seconds)],
  ]
  if (out !== undefined) entries.push(['features', out])
  if (report.version !== undefined) {
    entries.push(['online store', `${service}, version ${report.version}: ${count(report.keys)} keys`])
  }
  return pairs(entries)
}
