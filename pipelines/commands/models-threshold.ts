import { userInfo } from 'node:os'
import { Command, InvalidArgumentError } from 'commander'
import { UserError } from '../../configs/user-error.ts'
import type { TrainingSet } from '../../features/backfill/training-set.ts'
import type { ModelCard } from '../../registry/model-card.ts'
import type { ModelVersion } from '../../registry/model.ts'
import type { Threshold } from '../../registry/promotion/threshold.ts'
import type { Registry } from '../../registry/registry.ts'
import type { BudgetRow } from '../../training/metrics/budgets.ts'
import { action, example, wholeNumber, type Context } from '../console/command.ts'
import { figure, pairs, table, type Output } from '../console/output.ts'
import { openRegistry, type ModelParts } from '../console/parts.ts'
import { holdoutAgain } from '../jobs/judge.ts'

/** Alerts a day that the table shows, as far as the test rows have so many. */
const BUDGETS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]

export function thresholdCommand(): Command {
  return example(
    new Command('threshold')
      .description('what budgets of alerts would have done on the test rows of a version; sets its threshold')
      .argument('<name>')
      .argument('<version>', 'version', wholeNumber)
      .option('--budget <n/day>', 'set the threshold of so many alerts a day on the test rows', alertsPerDay)
      .option('--threshold <score>', 'set this threshold: a score at or above it is an alert', aScore)
      .option('--reason <text>', 'why; kept in the history'),
    'fd models threshold card-fraud 3',
    'fd models threshold card-fraud 3 --budget 40/day --reason "two more analysts"',
  ).action(action(threshold))
}

interface ThresholdOptions {
  budget?: number
  threshold?: number
  reason?: string
}

/** The version as it stands. */
interface Subject {
  name: string
  version: number
  card: ModelCard
  now: Threshold
}

async function threshold(
  { config, output }: Context,
  options: ThresholdOptions,
  name: string,
  number: number,
): Promise<void> {
  const { budget, threshold: given, reason } = options
  if (budget !== undefined && given !== undefined) {
    throw new UserError('A threshold follows from --budget or is given by --threshold. Give one of the two.')
  }
  await using registry = await openRegistry(config)
  const [{ readModelCard }, { presentThreshold }] = await Promise.all([
    import('../../registry/model-card.ts'),
    import('../../registry/promotion/threshold.ts'),
  ])
  const version = await registry.getModelVersion(name, number)
  const card = readModelCard(version)
  const now = presentThreshold(await registry.getRegisteredModel(name), number, card)
  const subject = { name, version: number, card, now }
  const set = async (chosen: Threshold, row: object = {}): Promise<void> => {
    await write(registry, subject, chosen, reason)
    const document = { name, version: number, before: now.value, threshold: chosen.value, ...row }
    output.result(document, () => setText(subject, chosen.value))
  }
  if (given !== undefined) return await set({ value: given })
  const judged = await scoreAgain({ registry, config, openProgress: output.progress }, version, card)
  if (budget === undefined) return await showBudgets(output, subject, judged)
  const row = await rowOf(output, judged, budget)
  return await set({ value: row.threshold, alertsPerDay: budget }, { budget, ...row })
}

/** Test rows of a version, scored by it. */
interface Judged {
  test: TrainingSet
  scores: Float32Array
  days: number
  fraudsPerDay: number
}

async function scoreAgain(parts: ModelParts, version: ModelVersion, card: ModelCard): Promise<Judged> {
  const [{ onnxScores }, { daysOf }, { fraudsIn }, { subset }] = await Promise.all([
    import('../../training/graph/scores.ts'),
    import('../../training/metrics/budgets.ts'),
    import('../../training/fit/labels.ts'),
    import('../../features/backfill/training-set.ts'),
  ])
  const { set, rows } = await holdoutAgain(parts, { version, card })
  const test = subset(set, rows)
  const graph = await parts.registry.downloadModelArtifact(version.name, version.version, 'model.onnx')
  const scores = await onnxScores(graph, test.x, test.names.length, test.categorical)
  return { test, scores, days: daysOf(test), fraudsPerDay: fraudsIn(test) / daysOf(test) }
}

async function rowOf({ note }: Output, { test, scores, fraudsPerDay }: Judged, budget: number): Promise<BudgetRow> {
  const [{ budgetTable }, { beyondFrauds }] = await Promise.all([
    import('../../training/metrics/budgets.ts'),
    import('../../training/run.ts'),
  ])
  if (fraudsPerDay > 0 && budget > fraudsPerDay) note(beyondFrauds(budget, fraudsPerDay))
  return budgetTable(test, scores, [budget])[0]
}

async function showBudgets(output: Output, subject: Subject, { test, scores, days, fraudsPerDay }: Judged) {
  const { budgetRow, budgetTable } = await import('../../training/metrics/budgets.ts')
  const budgets = BUDGETS.filter((budget) => budget * days <= test.rows)
  const present = budgetRow(test, scores, subject.now.value)
  const rows = budgetTable(test, scores, budgets)
  const { name, version, now } = subject
  const document = {
    name,
    version,
    ...now,
    present,
    fraudsPerDay,
    budgets: budgets.map((budget, i) => ({ budget, ...rows[i] })),
  }
  output.result(document, () => tableText(subject, { present, fraudsPerDay, budgets, rows }))
}

async function write(
  registry: Registry,
  { name, version, card }: Subject,
  { value, alertsPerDay: budget }: Threshold,
  reason: string | undefined,
): Promise<void> {
  const { setThreshold } = await import('../../registry/promotion/threshold.ts')
  const who = { by: userInfo().username, now: Date.now(), reason }
  await setThreshold(registry, { name, version, card, threshold: value, alertsPerDay: budget, ...who })
}

function setText({ name, version, now }: Subject, value: number): string {
  return (
    `Threshold of ${name} version ${version}: ${now.value} → ${value}. A running scorer takes it up by itself.\n` +
    `See who set it: fd models history ${name}`
  )
}

interface Shown {
  present: BudgetRow
  fraudsPerDay: number
  budgets: number[]
  rows: BudgetRow[]
}

function tableText(
  { name, version, card, now }: Subject,
  { present, fraudsPerDay: frauds, budgets, rows }: Shown,
): string {
  const scale = 10 ** card.dataset.schema.amount.minorUnits
  const heading = ['budget a day', 'threshold', 'alerts a day', 'precision', 'recall', 'prevented a day', 'of all']
  const cells = (label: string, row: BudgetRow): string[] => [
    label,
    String(row.threshold),
    figure(row.alertsPerDay),
    percent(row.precision),
    percent(row.recall),
    row.preventedPerDay === undefined ? '' : figure(row.preventedPerDay / scale),
    percent(row.prevented),
  ]
  const chosen = now.alertsPerDay === undefined ? 'given as a number' : `for ${now.alertsPerDay} alerts a day`
  return [
    pairs([
      ['model', `${name} version ${version}`],
      ['threshold', `${now.value} (${chosen}${now.entry === undefined ? ', at training' : ''})`],
      ['frauds a day', frauds === 0 ? 'not known' : figure(frauds)],
    ]),
    table(heading, [cells('now', present), ...rows.map((row, i) => cells(String(budgets[i]), row))]),
    `To set one: fd models threshold ${name} ${version} --budget ${budgets.findLast((n) => n <= frauds) ?? 1}/day`,
  ].join('\n\n')
}

function percent(share: number | undefined): string {
  return share === undefined ? '' : `${(100 * share).toFixed(1)} %`
}

/** `40/day` or `40`. */
function alertsPerDay(text: string): number {
  const value = Number(/^(\d+(?:\.\d+)?)(?:\/day)?$/.exec(text)?.[1] ?? Number.NaN)
  if (!(value > 0)) throw new InvalidArgumentError('Expected alerts a day, such as 40/day.')
  return value
}

/** Above 1 nothing would ever be an alert: a percentage, or a slip. */
function aScore(text: string): number {
  const value = text.trim() === '' ? Number.NaN : Number(text)
  if (!(value >= 0 && value <= 1)) throw new InvalidArgumentError('Expected a score, from 0 to 1.')
  return value
}
