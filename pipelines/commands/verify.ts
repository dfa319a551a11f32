import { Command } from 'commander'
import { UserError } from '../../configs/user-error.ts'
import type { EventLog } from '../../datasets/log/event-log.ts'
import type { ParityReport } from '../../features/parity/parity.ts'
import type { ModelCard } from '../../registry/model-card.ts'
import { action, example, wholeNumber, type Context } from '../console/command.ts'
import { count, pairs, table } from '../console/output.ts'
import { openLog, openStore } from '../console/parts.ts'

interface VerifyOptions {
  model: string
  alias: string
  group?: string
  from?: number
  to?: number
}

export function verifyCommand(): Command {
  return example(
    new Command('verify')
      .description(
        'recompute served features in batch, from raw history and raw log, and compare them bit by bit; exit 1 when any differs',
      )
      .option('--model <name>', 'registered model whose predictions are checked', 'card-fraud')
      .option('--alias <alias>', 'version whose service and schema are used', 'champion')
      .option('--group <group>', 'scorer group whose predictions are checked')
      .option('--from <offset>', 'first input offset to compare, in every partition', wholeNumber)
      .option('--to <offset>', 'input offset to stop before', wholeNumber),
    'fd features verify --model card-fraud',
  ).action(action(verify))
}

async function verify({ config, output }: Context, options: VerifyOptions): Promise<void> {
  const [{ openRegistry }, { readModelCard }] = await Promise.all([
    import('../../registry/open.ts'),
    import('../../registry/model-card.ts'),
  ])
  await using registry = await openRegistry(config.registry, { now: Date.now, credentials: config.mlflow })
  const card = readModelCard(await registry.getModelVersionByAlias(options.model, options.alias))
  const report = await runVerify({ config, output }, card, options)
  const wrong = report.differences + report.duplicates + report.missing
  output.result(report, () => describe(report))
  if (wrong > 0)
    throw new UserError(`${count(wrong)} faults: what was served is not what batch computes.`, { exitCode: 1 })
}

/** Recomputes a stretch of the log as `verify` does, with the service and schema of a model's card. @throws UserError when there is nothing to compare. */
export async function runVerify(
  context: Context,
  card: ModelCard,
  options: { group?: string; from?: number; to?: number },
): Promise<ParityReport> {
  const { config, output } = context
  const [{ openDataset }, { featureService }, { verifyParity }, topics] = await Promise.all([
    import('../../datasets/catalog.ts'),
    import('../../features/catalog.ts'),
    import('../../features/parity/parity.ts'),
    import('../../serving/topics.ts'),
  ])
  const service = featureService(card.service.name, card.dataset.schema)
  await using log = await openLog(context)
  await using store = await openStore(context)
  const history = (await store.base(service.name))?.history
  const dataset = history === undefined ? undefined : await openDataset(history.dataset, config, { data: history.file })
  if (history !== undefined && (await dataset?.digest()) !== history.fileDigest) {
    throw new UserError(
      `${history.file} has changed since it was backfilled, so what was served cannot be recomputed from it. Put the old file back, or backfill and score again.`,
    )
  }
  const progress = output.progress('verify')
  const report = await verifyParity({
    log,
    service,
    input: topics.TRANSACTIONS,
    served: topics.PREDICTIONS,
    group: options.group ?? config.scorer.group,
    schema: card.dataset.schema,
    ...(dataset === undefined
      ? {}
      : { history: { dataset, ...(history?.until === undefined ? {} : { until: history.until }) } }),
    ...(options.from === undefined ? {} : { from: options.from }),
    ...(options.to === undefined ? {} : { to: options.to }),
    report: (done) => progress.update(done),
  })
  progress.end()
  if (report.transactions + report.duplicates + report.missing === 0)
    throw await nothingCompared(log, options.group ?? config.scorer.group, options)
  return report
}

/** A proof of nothing is none, however few differences it has. */
async function nothingCompared(
  log: EventLog,
  group: string,
  { from = 0, to }: { from?: number; to?: number },
): Promise<UserError> {
  const [{ servedGroups }, { PREDICTIONS }] = await Promise.all([
    import('../../features/parity/served.ts'),
    import('../../serving/topics.ts'),
  ])
  const groups = await servedGroups(log, PREDICTIONS)
  if (groups.includes(group))
    return new UserError(
      `Nothing to compare: no prediction of group "${group}" is of an input offset from ${from}${to === undefined ? '' : ` to before ${to}`}. Change --from and --to, or leave them out.`,
    )
  const others =
    groups.length === 0
      ? 'It is empty; fill it with: fd score'
      : `It has those of: ${groups.join(', ')}. Use: fd features verify --group ${groups[0]}`
  return new UserError(
    `Nothing to compare: the topic "${PREDICTIONS}" has no prediction of group "${group}". ${others}`,
  )
}

function describe(report: ParityReport): string {
  const summary = pairs([
    ['transactions compared', report.transactions],
    ['feature values compared', report.values],
    ['differences', report.differences],
    ['predicted twice', report.duplicates],
    ['not predicted', report.missing],
  ])
  if (report.firstDifferences.length === 0) return summary
  const rows = report.firstDifferences.map((difference) => [
    difference.partition,
    difference.offset,
    String(difference.transactionId),
    difference.feature,
    String(difference.served),
    String(difference.recomputed),
  ])
  return `${summary}\n\n${table(['partition', 'offset', 'transaction', 'feature', 'served', 'recomputed'], rows)}`
}
