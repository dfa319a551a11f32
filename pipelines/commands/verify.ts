import { Command } from 'commander'
import type { Config } from '../../configs/config.ts'
import { UserError } from '../../configs/user-error.ts'
import type { EventLog } from '../../datasets/log/event-log.ts'
import type { Lacking } from '../../features/parity/continuation.ts'
import type { ParityReport } from '../../features/parity/report.ts'
import type { OnlineStore } from '../../features/store/online-store.ts'
import type { ModelCard } from '../../registry/model-card.ts'
import type { Registry } from '../../registry/registry.ts'
import type { DecisionReport } from '../../serving/audit/decisions.ts'
import { withNext } from '../console/command-line.ts'
import { action, example, wholeNumber, type Context } from '../console/command.ts'
import { modelName } from '../console/model-name.ts'
import { count, instant, pairs, table, type OpenProgress } from '../console/output.ts'
import { openLog, openRegistry, openStore } from '../console/parts.ts'

interface VerifyOptions {
  scores?: boolean
  model?: string
  alias: string
  group?: string
  from?: number
  to?: number
}

export function verifyCommand(): Command {
  return example(
    new Command('verify')
      .description(
        'recompute served features in batch, from raw history and raw log, and compare them bit by bit;\n' +
          'make each decision again by the threshold of its version at that time; exit 1 when any differs',
      )
      .option('--model <name>', 'registered model whose predictions are checked (default: the only one there is)')
      .option('--alias <alias>', 'version whose service and schema are used', 'champion')
      .option(
        '--group <group>',
        'scorer group whose predictions are checked (default: as fd score has it for the alias)',
      )
      .option('--from <offset>', 'first input offset to compare, in every partition', wholeNumber)
      .option('--to <offset>', 'input offset to stop before', wholeNumber)
      .option('--scores', 'compute each score again, too, by the graph of the version that its prediction names'),
    'fd features verify --model card-fraud',
    'fd features verify --scores',
  ).action(action(verify))
}

async function verify({ config, output, fd }: Context, options: VerifyOptions): Promise<void> {
  const [{ readModelCard }, { groupOf }] = await Promise.all([
    import('../../registry/model-card.ts'),
    import('../../serving/topics.ts'),
  ])
  await using registry = await openRegistry(config)
  const { alias, from, to } = options
  const model = await modelName(registry, options.model, (name) => fd('features', 'verify', { model: name }))
  const card = readModelCard(await registry.getModelVersionByAlias(model, alias))
  const group = groupOf(options, config.scorer.group)
  await using log = await openLog(config, output.note)
  await using store = await openStore(config, output.note)
  const parts = { log, store, registry, config, openProgress: output.progress }
  const parity = await runVerify(parts, card, { group, from, to })
  for (const lacking of parity.lacking) output.note(lackingLine(lacking))
  const decided = await runDecisions(parts, { group, from, to }, options.scores ?? false)
  const report = { ...parity, decided }
  const text = (): string => `${describe(parity)}\n\n${decisionsText(decided)}`
  const wrong = parity.differences + parity.duplicates + parity.missing + decided.differences
  if (wrong === 0) return output.result(report, () => withNext(text(), fd('archive', { 'until-idle': true })))
  const faults = new UserError(`${count(wrong)} faults: what was served is not what batch computes.`, { exitCode: 1 })
  output.refuse(report, text, faults)
}

/** Makes the decisions of a stretch again; with `scores`, the scores too. */
async function runDecisions(
  { log, registry, openProgress }: VerifyParts,
  stretch: Stretch,
  scores: boolean,
): Promise<DecisionReport> {
  const { checkDecisions } = await import('../../serving/audit/decisions.ts')
  const progress = openProgress('decide again')
  const report = await checkDecisions({ ...stretch, log, registry, scores, report: progress.update })
  progress.end()
  return report
}

function decisionsText({ decisions, scores, differences, first, uncovered }: DecisionReport): string {
  const summary = pairs([
    ['decisions made again', decisions],
    ['scores computed again', scores === 0 ? 'none (--scores)' : scores],
    ['other decisions, thresholds or scores', differences],
    ...uncovered.map(({ predictions, reason }): [string, string] => [
      'not decided again',
      `${count(predictions)} predictions. ${reason}`,
    ]),
  ])
  if (first.length === 0) return summary
  const rows = first.map(({ partition, offset, transactionId, what, served, due }) => [
    partition,
    offset,
    String(transactionId),
    what,
    served,
    due,
  ])
  return `${summary}\n\n${table(['partition', 'offset', 'transaction', 'what', 'served', 'due'], rows)}`
}

/** What a recomputation reads. */
export interface VerifyParts {
  log: EventLog
  store: OnlineStore
  registry: Registry
  /** Says where the datasets are. */
  config: Config
  openProgress: OpenProgress
}

/** Which predictions are compared. */
export interface Stretch {
  /** Scorer group that made the predictions. */
  group: string
  /** First input offset, in every partition. Default: all from the first. */
  from?: number
  /** Input offset to stop before. Default: all to the last. */
  to?: number
}

/**
 * Recomputes the features of a stretch of the log in batch, with the service and schema of a model's card, and
 * compares them with what was served.
 *
 * @throws UserError when there is nothing to compare, or when the file that was backfilled has changed.
 */
export async function runVerify(parts: VerifyParts, card: ModelCard, stretch: Stretch): Promise<ParityReport> {
  const [{ referencedService }, { verifyParity }, { checkTrained, coverOrigins }, topics] = await Promise.all([
    import('../../features/catalog.ts'),
    import('../../features/parity/parity.ts'),
    import('./verify-coverage.ts'),
    import('../../serving/topics.ts'),
  ])
  const { log, openProgress } = parts
  const service = referencedService(card.service, card.dataset.schema, 'What the model carries')
  checkTrained(card, service)
  const progress = openProgress('verify')
  const report = await verifyParity({
    ...stretch,
    log,
    service,
    input: topics.TRANSACTIONS,
    served: topics.PREDICTIONS,
    schema: card.dataset.schema,
    cover: (origins) => coverOrigins(parts, service, origins),
    maxAhead: parts.config.scorer.maxAhead,
    rememberIds: parts.config.scorer.rememberIds,
    report: (done) => progress.update(done),
  })
  progress.end()
  if (report.transactions + report.duplicates + report.missing === 0) throw await nothingCompared(log, stretch)
  return report
}

/** The error when nothing was compared, which proves nothing, although it shows no difference either. */
async function nothingCompared(log: EventLog, { group, from = 0, to }: Stretch): Promise<UserError> {
  const [{ servedGroups }, { PREDICTIONS }] = await Promise.all([
    import('../../features/parity/served.ts'),
    import('../../serving/topics.ts'),
  ])
  const groups = await servedGroups(log, PREDICTIONS)
  if (groups.includes(group)) {
    const offsets = `from ${from}${to === undefined ? '' : ` to before ${to}`}`
    return new UserError(
      `Nothing to compare: no prediction of group "${group}" is of an input offset ${offsets}. ` +
        'Change --from and --to, or leave them out.',
    )
  }
  const others =
    groups.length === 0
      ? 'It is empty; fill it with: fd score'
      : `It has those of: ${groups.join(', ')}. Use: fd features verify --group ${groups[0]}`
  return new UserError(
    `Nothing to compare: the topic "${PREDICTIONS}" has no prediction of group "${group}". ${others}`,
  )
}

function historyText(until: number | undefined, digest: string | undefined): string {
  const end = until === undefined ? 'to the end of its file' : `until ${instant(until)}`
  return digest === undefined ? end : `${end}, file ${digest.slice(0, 12)}`
}

function lackingLine({ file, transactions, labels, from, to }: Lacking): string {
  const what = [
    ...(transactions > 0 ? [`${count(transactions)} transactions`] : []),
    ...(labels > 0 ? [`${count(labels)} fraud labels`] : []),
  ]
  return (
    `${file} has ${what.join(' and ')} between ${instant(from)} and ${instant(to)} that are neither in ` +
    'history nor in the log: windows lack them. A stream begins where its history ends when both are given the same ' +
    'time: fd features backfill --until DATE --online, and: fd produce --from DATE'
  )
}

function describe(report: ParityReport): string {
  const summary = pairs([
    ['transactions compared', report.transactions],
    ['feature values compared', report.values],
    ['differences', report.differences],
    ['predicted twice', report.duplicates],
    ['not predicted', report.missing],
    ['in history and log, or twice in the log: counted once', report.repeats],
    ...report.bases.map(({ version, until, fileDigest, transactions }): [string, string] => [
      version === 0 ? 'on no history' : `on base ${version}`,
      `${count(transactions)} transactions${version === 0 ? '' : `, history ${historyText(until, fileDigest)}`}`,
    ]),
    ...report.ranges.map(({ partition, from, to, since, until }): [string, string] => [
      `partition ${partition}`,
      `offsets ${from} to ${to}, ${instant(since)} to ${instant(until)}`,
    ]),
    ...report.uncovered.map(({ predictions, reason }): [string, string] => [
      'not compared',
      `${count(predictions)} predictions. ${reason}`,
    ]),
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
