import type { Dataset } from '../../datasets/table/dataset.ts'
import type { EpochMs } from '../../datasets/table/transaction.ts'
import type { BackfillReport, FeatureSink } from '../../features/backfill/backfill.ts'
import type { EntityState, OnlineStore } from '../../features/store/online-store.ts'
import type { FeatureService } from '../../features/view/view.ts'
import { sameCommand } from '../console/command-line.ts'
import type { OpenProgress } from '../console/output.ts'

/** A dataset whose history is folded, and the service that says into which features. */
export interface History {
  dataset: Dataset
  service: FeatureService
}

/** Which part of a history is folded, in which order, and where the state goes. */
export interface BackfillRunOptions {
  /** Fold only what stood in the log before this instant. Default: everything. */
  until?: EpochMs
  /** Order the file by time first. */
  sort?: boolean
  /** Opens the online store into which the state of the fold is published. Default: it is not published. */
  openStore?: () => Promise<OnlineStore>
}

/** What a backfill did. `version` is the published base's, where the state was published. */
export interface BackfillResult extends BackfillReport {
  version?: number
  keys: number
}

/** What a stopped backfill says: files and bases appear whole at its end, or not at all. */
export function nothingWritten(): string {
  return `Nothing was written or published. To backfill, run: ${sameCommand()}`
}

/** Folds a dataset's history into the sinks and, when asked, publishes the state of the fold. */
export async function runBackfill(
  { dataset, service }: History,
  sinks: readonly FeatureSink[],
  { until, sort = false, openStore }: BackfillRunOptions,
  openProgress: OpenProgress,
): Promise<BackfillResult> {
  const { backfill, statesOf } = await import('../../features/backfill/backfill.ts')
  const progress = openProgress('backfill', await dataset.count())
  const { report, fold } = await backfill(dataset, service, sinks, {
    until,
    sort,
    report: (done) => progress.update(done),
  })
  progress.end()
  const keys = fold.views.reduce((sum, view) => sum + view.keys, 0)
  if (openStore === undefined) return { ...report, keys }
  const version = await publishBase({ dataset, service }, { ...report, until, sort }, statesOf(fold), openStore)
  return { ...report, keys, version }
}

/** What of a history was folded. */
type Folded = Pick<BackfillReport, 'transactions' | 'watermark'> & { until: EpochMs | undefined; sort: boolean }

/** Makes the states of a folded history the newest base of the online store. Resolves to the version of that base. */
export async function publishBase(
  { dataset, service }: History,
  { transactions, watermark, until, sort }: Folded,
  states: Iterable<EntityState>,
  openStore: () => Promise<OnlineStore>,
): Promise<number> {
  const { serviceDigest } = await import('../../features/view/view.ts')
  await using store = await openStore()
  const history = {
    dataset: dataset.name,
    file: dataset.file,
    fileDigest: await dataset.digest(),
    transactions,
    ...(until === undefined ? {} : { until }),
    ...(sort ? { sort } : {}),
  }
  const { schema } = dataset
  const { minorUnits } = schema.amount
  const base = await store.publish(
    { service: service.name, serviceDigest: serviceDigest(service), history, watermark, minorUnits, schema },
    states,
  )
  return base.version
}
