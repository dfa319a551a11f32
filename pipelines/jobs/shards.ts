import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readdir, rm, stat } from 'node:fs/promises'
import { availableParallelism, hostname } from 'node:os'
import { join } from 'node:path'
import { UserError } from '../../configs/user-error.ts'
import type { Dataset } from '../../datasets/table/dataset.ts'
import type { BackfillReport, FeatureSink } from '../../features/backfill/backfill.ts'
import type { ShardFolder } from '../../features/backfill/shard-part.ts'
import type { FeatureService } from '../../features/view/view.ts'
import { publishBase, type BackfillOptions } from '../commands/features.ts'
import { stopSignal, type Context } from '../console/command.ts'
import { backfillShardKind, referenceTo, resolveReferences, type BackfillShard, type ShardResult } from './kinds.ts'
import { allOf, openQueue, runJobs } from './run.ts'

/** Each shard reads the whole file, and joining holds a file open for each view of each shard. */
const MOST_SHARDS = 256
/** Parts of a command that was killed are removed by the next one after this long. */
const STALE_MS = 24 * 60 * 60 * 1000

/**
 * A backfill in shards: jobs fold a share of the keys each, over the whole file; their parts are joined into what `runBackfill` gives, to
 * the bit, and published as one base.
 */
export async function runShardedBackfill(
  context: Context,
  dataset: Dataset,
  service: FeatureService,
  sinks: FeatureSink[],
  options: BackfillOptions & { shards: number },
): Promise<BackfillReport & { version?: number; keys: number }> {
  if (options.shards > MOST_SHARDS)
    throw new UserError(
      `--shards ${options.shards} is more than ${MOST_SHARDS}: each reads the whole file. As many as there are cores among the workers is enough.`,
    )
  const [{ checkService }, { joinShards, joinStates }] = await Promise.all([
    import('../../features/view/view.ts'),
    import('../../features/backfill/shard-join.ts'),
  ])
  checkService(service, dataset.schema, dataset.name)
  const workers = options.workers ?? Math.min(options.shards, availableParallelism())
  await using queue = await openQueue(context, workers)
  await using parts = await partsFolder(context.config.home, options.shards)
  const rows = await dataset.count()
  const signal = stopSignal()
  const results = allOf(
    await runJobs(context, queue, {
      kind: backfillShardKind,
      jobs: await shardJobs(dataset, service, parts, {
        ...options,
        features: sinks.length > 0,
        states: options.online ?? false,
      }),
      workers,
      configFile: options.config,
      label: `backfill, ${options.shards} shards`,
      steps: rows,
      together: true,
      signal,
    }),
  )
  const report = commonReport(results, dataset)
  const { until, sort = false } = options
  if (sinks.length > 0) {
    const progress = context.output.progress('join', rows)
    const joined = (done: number): void => {
      if (signal.aborted) throw new UserError('Stopped. Nothing was written.')
      progress.update(done)
    }
    await joinShards(dataset, service, sinks, parts, {
      sort,
      ...(until === undefined ? {} : { until }),
      report: joined,
    })
    progress.end()
  }
  const keys = results.reduce((sum, result) => sum + result.keys, 0)
  if (options.online !== true) return { ...report, keys }
  return {
    ...report,
    keys,
    version: await publishBase(
      context,
      dataset,
      service,
      { transactions: report.transactions, watermark: report.watermark, until },
      joinStates(parts),
    ),
  }
}

/** A folder for the parts of one command, removed with it. */
async function partsFolder(home: string, count: number): Promise<ShardFolder & AsyncDisposable> {
  const all = join(home, 'shards')
  const folder = join(all, randomUUID())
  await mkdir(folder, { recursive: true })
  for (const name of await readdir(all)) {
    const found = await stat(join(all, name))
    if (Date.now() - found.mtimeMs > STALE_MS) await rm(join(all, name), { recursive: true, force: true })
  }
  return { folder, count, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) }
}

async function shardJobs(
  dataset: Dataset,
  service: FeatureService,
  { folder, count }: ShardFolder,
  { until, sort = false, features, states }: BackfillOptions & { features: boolean; states: boolean },
): Promise<{ id: string; data: BackfillShard }[]> {
  const references = await referenceTo(dataset, service)
  const id = randomUUID()
  return Array.from({ length: count }, (_, shard) => ({
    id: `${id}-${shard}`,
    data: { ...references, folder, count, shard, features, states, sort, ...(until === undefined ? {} : { until }) },
  }))
}

/** Every shard reads the whole history, so all must have seen the same. */
function commonReport(results: ShardResult[], dataset: Dataset): BackfillReport {
  const [{ keys: _, ...first }, ...others] = results
  if (
    others.some((other) =>
      (['transactions', 'frauds', 'labels', 'watermark'] as const).some((name) => other[name] !== first[name]),
    )
  ) {
    throw new UserError(`${dataset.file} changed while the shards read it. Run the command again.`)
  }
  return { ...first, watermark: first.watermark ?? -Infinity, late: 0 }
}

/** The job of one shard. Run again, it writes the same parts again. */
export async function backfillShardJob(
  context: Context,
  data: BackfillShard,
  report: (share: number) => void,
): Promise<ShardResult> {
  const { backfillShard } = await import('../../features/backfill/shard.ts')
  if (!existsSync(data.folder))
    throw new UserError(
      `The worker at ${hostname()} has no folder ${data.folder}. Workers of a sharded backfill need the same FD_HOME, on one disk that all of them see.`,
    )
  const { dataset, service } = await resolveReferences(context, data)
  const { folder, count, shard, features, states, sort, until } = data
  const rows = await dataset.count()
  const found = await backfillShard(
    dataset,
    service,
    { folder, count, shard },
    {
      features,
      states,
      sort,
      ...(until === undefined ? {} : { until }),
      attempt: randomUUID(),
      report: (done) => report(done / rows),
    },
  )
  // JSON has no infinity: of an empty history there is no newest event.
  return { ...found, watermark: Number.isFinite(found.watermark) ? found.watermark : null }
}
