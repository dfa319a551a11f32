import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readdir, rm, stat } from 'node:fs/promises'
import { availableParallelism, hostname } from 'node:os'
import { join } from 'node:path'
import { codeVersion } from '../../configs/code-version.ts'
import type { Config } from '../../configs/config.ts'
import { makeFolder } from '../../configs/folder.ts'
import { UserError } from '../../configs/user-error.ts'
import type { Dataset } from '../../datasets/table/dataset.ts'
import type { BackfillReport, FeatureSink } from '../../features/backfill/backfill.ts'
import type { ShardFolder } from '../../features/backfill/shard-part.ts'
import { stoppable, stopSignal } from '../console/command.ts'
import type { OpenProgress, Output } from '../console/output.ts'
import {
  nothingWritten,
  publishBase,
  type BackfillResult,
  type BackfillRunOptions,
  type History,
} from './backfill-run.ts'
import {
  backfillShardKind,
  referenceTo,
  resolveReferences,
  sameCode,
  type BackfillShard,
  type ShardResult,
} from './kinds.ts'
import { allOf, openQueue, runJobs, type QueueUse } from './run.ts'

/** Each shard reads the whole file, and joining holds a file open for each view of each shard. */
const MOST_SHARDS = 256
/** A command removes the parts of an earlier one that was killed when they are older than this. */
const STALE_MS = 24 * 60 * 60 * 1000

export interface ShardedBackfillOptions extends BackfillRunOptions {
  shards: number
  /** FD_HOME, in which the parts lie until they are joined. Workers need the same one. */
  home: string
  /** The job queue. Default for `workers`: the cores, at most one for each shard. */
  queue: Omit<QueueUse, 'workers'> & { workers?: number }
}

/**
 * A backfill in shards. Each job reads the whole file and folds its share of the keys. The parts are then joined into
 * what `runBackfill` gives, to the bit, and published as one base.
 *
 * @throws UserError for too many shards, a shard that cannot be folded, a file that changed meanwhile, or Ctrl-C.
 */
export async function runShardedBackfill(
  history: History,
  sinks: readonly FeatureSink[],
  options: ShardedBackfillOptions,
  output: Output,
): Promise<BackfillResult> {
  const { shards, openStore, until, sort = false } = options
  if (shards > MOST_SHARDS) {
    throw new UserError(
      `--shards ${shards} is more than ${MOST_SHARDS}: each reads the whole file. ` +
        'As many as there are cores among the workers is enough.',
    )
  }
  const { dataset, service } = history
  const [{ checkService }, { joinStates }] = await Promise.all([
    import('../../features/view/service-check.ts'),
    import('../../features/backfill/shard-join.ts'),
  ])
  checkService(service, dataset.schema, dataset.name)
  const use = { ...options.queue, workers: options.queue.workers ?? Math.min(shards, availableParallelism()) }
  await using queue = await openQueue(use, output.note)
  await using parts = await partsFolder(options.home, shards)
  const rows = await dataset.count()
  const signal = stopSignal()
  const plan = {
    kind: backfillShardKind,
    jobs: await shardJobs(history, parts, { ...options, features: sinks.length > 0 }),
    label: `backfill, ${shards} shards`,
    steps: rows,
    together: true,
    signal,
  }
  const results = allOf(await runJobs(queue, use, plan, output))
  const report = commonReport(results, dataset)
  if (sinks.length > 0) await joinInto(sinks, history, parts, { ...options, rows, signal }, output.progress)
  const keys = results.reduce((sum, result) => sum + result.keys, 0)
  if (openStore === undefined) return { ...report, keys }
  const version = await publishBase(history, { ...report, until, sort }, joinStates(parts), openStore)
  return { ...report, keys, version }
}

/** Joins the parts into the sinks. @throws UserError when the signal is aborted. */
async function joinInto(
  sinks: readonly FeatureSink[],
  { dataset, service }: History,
  parts: ShardFolder,
  { until, sort = false, rows, signal }: BackfillRunOptions & { rows: number; signal: AbortSignal },
  openProgress: OpenProgress,
): Promise<void> {
  const { joinShards } = await import('../../features/backfill/shard-join.ts')
  const progress = stoppable(openProgress, signal, nothingWritten())('join', rows)
  await joinShards(dataset, service, sinks, parts, {
    sort,
    ...(until === undefined ? {} : { until }),
    report: progress.update,
  })
  progress.end()
}

/** Makes a folder for the parts of one command. Disposing removes it. */
async function partsFolder(home: string, count: number): Promise<ShardFolder & AsyncDisposable> {
  const all = join(home, 'shards')
  const folder = join(all, randomUUID())
  makeFolder(folder)
  for (const name of await readdir(all)) {
    const found = await stat(join(all, name))
    if (Date.now() - found.mtimeMs > STALE_MS) await rm(join(all, name), { recursive: true, force: true })
  }
  return { folder, count, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) }
}

async function shardJobs(
  { dataset, service }: History,
  { folder, count }: ShardFolder,
  { until, sort = false, openStore, features }: BackfillRunOptions & { features: boolean },
): Promise<{ id: string; data: BackfillShard }[]> {
  const references = await referenceTo(dataset, service)
  const id = randomUUID()
  const states = openStore !== undefined
  return Array.from({ length: count }, (_, shard) => ({
    id: `${id}-${shard}`,
    data: {
      ...references,
      code: codeVersion(),
      folder,
      count,
      shard,
      features,
      states,
      sort,
      ...(until === undefined ? {} : { until }),
    },
  }))
}

/**
 * The totals of the history. Every shard reads all of it, so all must report the same.
 *
 * @throws UserError when they differ.
 */
function commonReport(results: ShardResult[], dataset: Dataset): BackfillReport {
  const [{ keys: _, ...first }, ...others] = results
  const totals = ['transactions', 'frauds', 'labels', 'watermark'] as const
  if (others.some((other) => totals.some((name) => other[name] !== first[name]))) {
    throw new UserError(`${dataset.file} changed while the shards read it. Run the command again.`)
  }
  return { ...first, watermark: first.watermark ?? -Infinity, late: 0 }
}

/** The job of one shard. Run again, it writes the same parts again. */
export async function backfillShardJob(
  config: Config,
  data: BackfillShard,
  report: (share: number) => void,
): Promise<ShardResult> {
  sameCode(data.code)
  const { backfillShard } = await import('../../features/backfill/shard.ts')
  if (!existsSync(data.folder)) {
    throw new UserError(
      `The worker at ${hostname()} has no folder ${data.folder}. ` +
        'Workers of a sharded backfill need the same FD_HOME, on one disk that all of them see.',
    )
  }
  const { dataset, service } = await resolveReferences(config, data)
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
  // JSON has no infinity: the watermark of an empty history is null.
  return { ...found, watermark: Number.isFinite(found.watermark) ? found.watermark : null }
}
