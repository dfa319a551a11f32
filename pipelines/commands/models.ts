import { userInfo } from 'node:os'
import { Command } from 'commander'
import { UserError } from '../../configs/user-error.ts'
import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import type { Period } from '../../registry/model-card.ts'
import { MARGIN } from '../../registry/promotion/gate.ts'
import type { HistoryEvent } from '../../registry/promotion/history.ts'
import type { Verdict } from '../../registry/promotion/promotion.ts'
import type { Threshold } from '../../registry/promotion/threshold.ts'
import { CHAMPION } from '../../serving/topics.ts'
import { withNext } from '../console/command-line.ts'
import { action, example, share, type Context } from '../console/command.ts'
import { modelName } from '../console/model-name.ts'
import { count, figure, instant, pairs, table } from '../console/output.ts'
import { openRegistry, type ModelParts } from '../console/parts.ts'
import { compareOnUnseen } from '../jobs/judge.ts'
import { afterPromotion, findVersion, nextOf, promotedVersion } from './model-reference.ts'
import { thresholdCommand } from './models-threshold.ts'

export function modelsCommand(): Command {
  return new Command('models')
    .description('registered models, their versions, and who decides')
    .addCommand(listCommand())
    .addCommand(describeCommand())
    .addCommand(promoteCommand())
    .addCommand(thresholdCommand())
    .addCommand(rollbackCommand())
    .addCommand(historyCommand())
}

function listCommand(): Command {
  return example(new Command('list').description('models, versions and aliases'), 'fd models list').action(action(list))
}

async function list({ config, output, fd }: Context): Promise<void> {
  await using registry = await openRegistry(config)
  const models = await registry.searchRegisteredModels()
  const versions = await registry.searchModelVersions()
  const rows = versions.map((version) => [
    version.name,
    version.version,
    version.aliases.join(', '),
    version.tags['fd.dataset.name'] ?? '',
    metric(version.tags, 'average_precision'),
    instant(version.creationTime),
  ])
  output.result(versions, () =>
    versions.length === 0
      ? 'No models yet. Run: fd train --dataset simulated --register card-fraud'
      : withNext(
          table(['model', 'version', 'aliases', 'dataset', 'average precision', 'registered'], rows),
          nextOf(fd, models.find(({ aliases }) => aliases[CHAMPION] === undefined) ?? models[0]),
        ),
  )
}

function metric(tags: Record<string, string>, name: string): string {
  const value = tags[`fd.metric.${name}`]
  return value === undefined ? '' : figure(Number(value))
}

function describeCommand(): Command {
  return example(
    new Command('describe')
      .description('a version: what it was trained on, how good it is')
      .argument('[name[@alias|/version]]', 'default: the only model there is'),
    'fd models describe card-fraud@champion',
    'fd models describe card-fraud/3',
  ).action(action(describe))
}

async function describe({ config, output, fd }: Context, _: object, reference?: string): Promise<void> {
  await using registry = await openRegistry(config)
  const [{ readModelCard }, { presentThreshold }] = await Promise.all([
    import('../../registry/model-card.ts'),
    import('../../registry/promotion/threshold.ts'),
  ])
  const { name, version: number } = await findVersion(registry, reference, (one) => fd('models', 'describe', one))
  const version = await registry.getModelVersion(name, number)
  const card = readModelCard(version)
  const run = version.runId === undefined ? undefined : await registry.getRun(version.runId)
  const decides = version.aliases.includes(CHAMPION)
  const threshold = presentThreshold(await registry.getRegisteredModel(name), number, card)
  const set = threshold.entry === undefined ? {} : { threshold }
  output.result({ ...version, card, ...set, params: run?.params }, () =>
    [
      pairs([
        ['model', `${name} version ${number}`],
        ['aliases', version.aliases.join(', ')],
        ['registered', instant(version.creationTime)],
        ['service', `${card.service.name} (${card.signature.features.length} features)`],
        ...dictionaryEntry(card.dictionaries),
        ['dataset', `${card.dataset.name} ${card.dataset.digest.slice(0, 12)}`],
        ...periodEntry('trained on', card.training, card.dataset.schema),
        ...periodEntry('judged on', card.holdout.period, card.dataset.schema),
        ['threshold', thresholdText(threshold)],
        ['code', card.codeVersion],
        ['run', version.runId ?? ''],
      ]),
      pairs(Object.entries(card.metrics)),
      ...(run === undefined ? [] : [pairs(Object.entries(run.params).map(readableParam))]),
      `Next: ${decides ? fd('score', { model: name }) : fd('models', 'promote', name, number)}`,
    ].join('\n\n'),
  )
}

/** How many names the model knows of each category. */
function dictionaryEntry(dictionaries: Record<string, number> = {}): [string, string][] {
  const known = Object.entries(dictionaries).map(([feature, names]) => `${feature} ${count(names)}`)
  return known.length === 0 ? [] : [['names known', known.join(', ')]]
}

function periodEntry(name: string, period: Period | undefined, { time }: DatasetSchema): [string, string][] {
  if (period === undefined) return []
  const { from, to } = period
  // Without times a period counts rows, and people count from 1.
  if (time === 'none') return [[name, `rows ${count(from + 1)} to ${count(to + 1)} of the file, split by their order`]]
  return [[name, `${instant(from)} to ${instant(to)}`]]
}

function thresholdText({ value, alertsPerDay }: Threshold): string {
  return alertsPerDay === undefined ? String(value) : `${value} (${alertsPerDay} alerts a day)`
}

/** A param of a run, with its instants as dates rather than as numbers of milliseconds. */
function readableParam([name, value]: [string, string]): [string, string] {
  const dated = value.replace(/^\d{12,13}$|(?<="(?:trainFrom|until|from)":)\d{12,13}/, (ms) => instant(Number(ms)))
  return [name, dated]
}

function promoteCommand(): Command {
  return example(
    new Command('promote')
      .description('ask the gates and, when they pass, move the alias; exit 1 when one refuses')
      .argument('[name]', 'registered model (default: the only one there is)')
      .argument('[version]')
      .option('--alias <alias>', 'alias to move', CHAMPION)
      .option('--margin <ap>', 'loss of average precision that the gate need not exclude', share, MARGIN)
      .option('--force', 'move it although a gate refuses; takes --reason')
      .option('--reason <text>', 'why; kept in the history'),
    'fd models promote card-fraud 3',
    'fd models promote 3',
  ).action(action(promote))
}

interface PromoteOptions {
  alias: string
  margin: number
  force?: boolean
  reason?: string
}

async function promote(
  { config, output, fd }: Context,
  options: PromoteOptions,
  ...given: (string | undefined)[]
): Promise<void> {
  await using registry = await openRegistry(config)
  const { name, version } = await promotedVersion(registry, given, fd)
  const verdict = await runPromote({ registry, config, openProgress: output.progress }, name, version, options)
  const text = (): string => describeVerdict(name, verdict)
  const alias = options.alias === CHAMPION ? undefined : options.alias
  if (verdict.outcome !== 'refused') {
    const next = alias === undefined ? await afterPromotion(registry, config, fd, { name, version }) : undefined
    return output.result(verdict, () => withNext(text(), next ?? fd('score', { model: name, alias })))
  }
  const overrule = fd('models', 'promote', name, version, { alias, force: true, reason: 'TEXT' })
  output.refuse(verdict, text, new UserError(`Not promoted. To overrule: ${overrule}`, { exitCode: 1 }))
}

/** Asks the gates of a promotion and moves the alias when they pass. */
export async function runPromote(
  parts: ModelParts,
  name: string,
  version: number,
  options: PromoteOptions,
): Promise<Verdict> {
  const [promotion, gates, { readModelCard }, { referencedService }, { featureNames, serviceDigest }] =
    await Promise.all([
      import('../../registry/promotion/promotion.ts'),
      import('../../registry/promotion/gate.ts'),
      import('../../registry/model-card.ts'),
      import('../../features/catalog.ts'),
      import('../../features/view/view.ts'),
    ])
  const { registry } = parts
  const card = readModelCard(await registry.getModelVersion(name, version))
  const service = referencedService(card.service, card.dataset.schema, `What version ${version} of "${name}" carries`)
  return promotion.promote(registry, {
    name,
    version,
    alias: options.alias,
    gates: [
      gates.signatureGate({ name: service.name, digest: serviceDigest(service), features: featureNames(service) }),
      gates.streamGate(),
      gates.parityGate(),
      gates.averagePrecisionGate({
        margin: options.margin,
        compare: (candidate, champion) => compareOnUnseen(parts, candidate, champion),
      }),
    ],
    force: options.force ?? false,
    by: userInfo().username,
    now: Date.now(),
    reason: options.reason,
  })
}

function describeVerdict(name: string, verdict: Verdict): string {
  const outcome = {
    promoted: `${name} version ${verdict.version} is now ${verdict.alias}.`,
    forced: `${name} version ${verdict.version} is now ${verdict.alias}, against a refusal.`,
    refused: `${name} version ${verdict.version} was refused; ${verdict.alias} stays at ${verdict.previous ?? 'none'}.`,
    unchanged: `${name} version ${verdict.version} was ${verdict.alias} already.`,
  }[verdict.outcome]
  const rows = verdict.checks.map((check) => [check.passed ? 'passed' : 'REFUSED', check.gate, check.detail])
  return rows.length === 0 ? outcome : `${table(['', 'gate', 'detail'], rows)}\n\n${outcome}`
}

function rollbackCommand(): Command {
  return example(
    new Command('rollback')
      .description('give the alias back to the version that held it before')
      .argument('[name]', 'registered model (default: the only one there is)')
      .option('--alias <alias>', 'alias', CHAMPION)
      .option('--reason <text>', 'why'),
    'fd models rollback card-fraud --reason "alerts doubled"',
  ).action(action(rollback))
}

async function rollback(
  { config, output, fd }: Context,
  { alias, reason }: { alias: string; reason?: string },
  named?: string,
): Promise<void> {
  await using registry = await openRegistry(config)
  const name = await modelName(registry, named, (one) => fd('models', 'rollback', one))
  const promotion = await import('../../registry/promotion/promotion.ts')
  const moved = await promotion.rollback(registry, { name, alias, by: userInfo().username, now: Date.now(), reason })
  const before = moved.from ?? 'none'
  output.result({ name, alias, ...moved }, () =>
    withNext(`${alias} of ${name}: version ${before} → ${moved.to}.`, fd('models', 'history', name)),
  )
}

function historyCommand(): Command {
  return example(
    new Command('history')
      .description('who moved what, when and why; exit 1 when an entry was changed or removed')
      .argument('[name]', 'registered model (default: the only one there is)'),
    'fd models history card-fraud',
  ).action(action(history))
}

async function history({ config, output, fd }: Context, _: object, named?: string): Promise<void> {
  await using registry = await openRegistry(config)
  const name = await modelName(registry, named, (one) => fd('models', 'history', one))
  const promotions = await import('../../registry/promotion/history.ts')
  const record = await promotions.history(registry, name)
  const rows = record.entries.map((entry) => [
    entry.sequence,
    instant(entry.at),
    entry.by,
    what(entry),
    entry.reason ?? '',
  ])
  const stray = record.unrecorded.map(
    (alias) =>
      `${alias.alias} stands at ${alias.actual ?? 'nothing'}, the record says ${alias.recorded ?? 'nothing'}: ` +
      'another tool moved it.',
  )
  const text = [
    table(['', 'when', 'who', 'what', 'why'], rows),
    ...stray,
    `hash of the newest entry: ${record.head}`,
  ].join('\n')
  output.result(record, () => withNext(text, fd('models', 'describe', name)))
  if (record.broken !== undefined) {
    const { sequence, why } = record.broken
    throw new UserError(
      `The history of ${name} is not what fd wrote: entry ${sequence} ${why}. Compare it with a backup.`,
      { exitCode: 1 },
    )
  }
}

function what(entry: HistoryEvent): string {
  if (entry.event === 'registered') return `registered version ${entry.version}`
  if (entry.event === 'threshold') {
    const budget = entry.alertsPerDay === undefined ? '' : ` (${entry.alertsPerDay} alerts a day)`
    return `threshold of version ${entry.version}: ${entry.from} → ${entry.threshold}${budget}`
  }
  const move = `${entry.alias}: ${entry.from ?? 'none'} → ${entry.version}`
  if (entry.event === 'rolled back') return `rolled back ${move}`
  return entry.forced ? `forced ${move}` : `promoted ${move}`
}
