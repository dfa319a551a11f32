import { Command } from 'commander'
import { UserError } from '../../configs/user-error.ts'
import type { Dataset } from '../../datasets/table/dataset.ts'
import type { BackfillReport, FeatureSink } from '../../features/backfill/backfill.ts'
import type { EntityState } from '../../features/store/online-store.ts'
import type { FeatureService } from '../../features/view/view.ts'
import { action, dateTime, example, positiveWholeNumber, wholeNumber, type Context } from '../console/command.ts'
import { count, figure, instant, pairs, table } from '../console/output.ts'
import { openLog, openStore } from '../console/parts.ts'
import { verifyCommand } from './verify.ts'

export function featuresCommand(): Command {
  const features = new Command('features').description('feature services: what models read')
  features.addCommand(
    example(new Command('list').description('feature services'), 'fd features list').action(action(list)),
  )
  features.addCommand(
    example(
      new Command('describe').description('views, windows and features of a service').argument('<service>'),
      'fd features describe card-fraud',
    ).action(action(describe)),
  )
  features.addCommand(
    example(
      new Command('backfill')
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
          'divide the keys among that many jobs; each reads the whole file, so this pays where folding or memory is the limit, not reading',
          positiveWholeNumber,
        )
        .option(
          '--workers <n>',
          'shards folded at one time on this machine; 0: only on other fd workers of the job queue (default: the cores)',
          wholeNumber,
        ),
      'fd features backfill --dataset simulated --until 2018-06-01 --online',
      'fd features backfill --dataset handbook --data transactions.parquet --out features.parquet',
      'fd features backfill --dataset handbook --data transactions.parquet --online --shards 4',
    ).action(action(backfillCommand)),
  )
  features.addCommand(
    example(
      new Command('get')
        .description("an entity's features in the online store")
        .requiredOption('--service <name>', 'feature service')
        .requiredOption('--entity <entity=key>', 'for example customer=42')
        .option('--group <group>', 'state as this scorer group has it')
        .option('--at <date>', 'as of this event time (default: the newest the store has seen)', dateTime),
      'fd features get --service card-fraud --entity customer=42',
    ).action(action(get)),
  )
  features.addCommand(verifyCommand())
  return features
}

async function list({ output }: Context): Promise<void> {
  const { featureServices } = await import('../../features/catalog.ts')
  const [{ featureNames }, { ATTRIBUTES }] = await Promise.all([
    import('../../features/view/view.ts'),
    import('../../features/view/attributes.ts'),
  ])
  const rows = featureServices.map((service) => [
    service.name,
    String(featureNames(service).length),
    service.description,
  ])
  rows.push([ATTRIBUTES, 'any', "The dataset's own amount, numeric and categorical columns."])
  output.result(featureServices, () => table(['service', 'features', 'description'], rows))
}

async function describe({ output }: Context, _: object, name: string): Promise<void> {
  const { featureService } = await import('../../features/catalog.ts')
  const { serviceDigest } = await import('../../features/view/view.ts')
  const service = featureService(name)
  const rows = service.views.flatMap((view) =>
    view.kind === 'request'
      ? view.features.map((feature) => [
          view.name,
          'the transaction',
          feature.name,
          'column' in feature ? feature.column : feature.from,
          '',
        ])
      : view.features.map((feature) => [
          view.name,
          view.entity,
          feature.name,
          feature.function,
          'window' in feature ? window(feature.window) : '',
        ]),
  )
  const digest = serviceDigest(service)
  output.result(
    { ...service, digest },
    () =>
      `${service.description}\ndigest ${digest}\n\n${table(['view', 'entity', 'feature', 'function', 'window'], rows)}`,
  )
}

function window(span: { length: number; delay?: number } | { last: number }): string {
  if ('last' in span) return `last ${span.last}`
  const days = (ms: number): string => `${figure(ms / 86_400_000)} d`
  return span.delay === undefined ? days(span.length) : `${days(span.length)}, ending ${days(span.delay)} ago`
}

export interface BackfillOptions {
  online?: boolean
  until?: number
  sort?: boolean
  shards?: number
  workers?: number
  config?: string
}

async function backfillCommand(
  { config, output }: Context,
  options: BackfillOptions & { dataset: string; data?: string; service?: string; out?: string },
): Promise<void> {
  const { shards } = options
  if (options.workers !== undefined && shards === undefined)
    throw new UserError('--workers is for a backfill in shards. Add: --shards N')
  if (options.out === undefined && options.online !== true)
    throw new UserError('Say where the features go: --out FILE.parquet, --online, or both.')
  const [{ openDataset }, { featureService }, { parquetSink }] = await Promise.all([
    import('../../datasets/catalog.ts'),
    import('../../features/catalog.ts'),
    import('../../features/backfill/backfill.ts'),
  ])
  const dataset = await openDataset(options.dataset, config, options.data === undefined ? {} : { data: options.data })
  const service = featureService(options.service ?? dataset.service, dataset.schema)
  await using sink = options.out === undefined ? undefined : await parquetSink(options.out, service, dataset.schema)
  const started = performance.now()
  const sinks = sink === undefined ? [] : [sink]
  const report =
    shards === undefined
      ? await runBackfill({ config, output }, dataset, service, sinks, options)
      : await (
          await import('../jobs/shards.ts')
        ).runShardedBackfill({ config, output }, dataset, service, sinks, { ...options, shards })
  const seconds = (performance.now() - started) / 1000
  output.result({ ...report, watermark: instant(report.watermark), seconds, out: options.out }, () =>
    pairs([
      ['transactions', report.transactions],
      ['frauds', report.frauds],
      ['labels known in time', report.labels],
      ['newest event', instant(report.watermark)],
      ['seconds', Number(seconds.toFixed(2))],
      ['transactions a second', Math.round(report.transactions / seconds)],
      ...(options.out === undefined ? [] : [['features', options.out] as [string, string]]),
      ...(report.version === undefined
        ? []
        : [
            ['online store', `${service.name}, version ${report.version}: ${count(report.keys)} keys`] as [
              string,
              string,
            ],
          ]),
    ]),
  )
}

/** Folds a dataset and, when asked, publishes the state of the fold. */
export async function runBackfill(
  context: Context,
  dataset: Dataset,
  service: FeatureService,
  sinks: FeatureSink[],
  options: { online?: boolean; until?: number; sort?: boolean },
): Promise<BackfillReport & { version?: number; keys: number }> {
  const { backfill, statesOf } = await import('../../features/backfill/backfill.ts')
  const progress = context.output.progress('backfill', await dataset.count())
  const { report, fold } = await backfill(dataset, service, sinks, {
    ...(options.until === undefined ? {} : { until: options.until }),
    sort: options.sort ?? false,
    report: (done) => progress.update(done),
  })
  progress.end()
  const keys = fold.views.reduce((sum, view) => sum + view.keys, 0)
  if (options.online !== true) return { ...report, keys }
  return {
    ...report,
    keys,
    version: await publishBase(context, dataset, service, { ...report, until: options.until }, statesOf(fold)),
  }
}

/** Makes the states of a folded history the newest base of the online store, and resolves to its version. */
export async function publishBase(
  context: Context,
  dataset: Dataset,
  service: FeatureService,
  {
    transactions,
    watermark,
    until,
  }: Pick<BackfillReport, 'transactions' | 'watermark'> & { until: number | undefined },
  states: Iterable<EntityState>,
): Promise<number> {
  const { serviceDigest } = await import('../../features/view/view.ts')
  await using store = await openStore(context)
  const history = {
    dataset: dataset.name,
    file: dataset.file,
    fileDigest: await dataset.digest(),
    transactions,
    ...(until === undefined ? {} : { until }),
  }
  const { minorUnits } = dataset.schema.amount
  const base = await store.publish(
    { service: service.name, serviceDigest: serviceDigest(service), history, watermark, minorUnits },
    states,
  )
  return base.version
}

async function get(
  context: Context,
  options: { service: string; entity: string; group?: string; at?: number },
): Promise<void> {
  const { config, output } = context
  const [{ featureService }, { onlineFeatures }, { statePlace }, { TRANSACTIONS }] = await Promise.all([
    import('../../features/catalog.ts'),
    import('../../features/online.ts'),
    import('../../features/chain/chain.ts'),
    import('../../serving/topics.ts'),
  ])
  const service = featureService(options.service)
  const equals = options.entity.indexOf('=')
  if (equals <= 0 || equals === options.entity.length - 1)
    throw new UserError(`"${options.entity}" is not ENTITY=KEY. For example: --entity customer=42`)
  const [entity, key] = [options.entity.slice(0, equals), options.entity.slice(equals + 1)]
  await using log = await openLog(context)
  await using store = await openStore(context)
  const state = await store.group(
    service.name,
    statePlace(await log.topics(), TRANSACTIONS, options.group ?? config.scorer.group, service, entity, key),
  )
  const found = await onlineFeatures(state, service, entity, key, options.at)
  output.result(
    { ...found, at: instant(found.at) },
    () => `${found.entity} ${found.key} at ${instant(found.at)}\n\n${pairs(Object.entries(found.features))}`,
  )
}
