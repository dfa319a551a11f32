import { rm } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { Command } from 'commander'
import { withHome, type Config } from '../../configs/config.ts'
import { UserError } from '../../configs/user-error.ts'
import type { Dataset } from '../../datasets/table/dataset.ts'
import type { ParityReport } from '../../features/parity/report.ts'
import type { Registry } from '../../registry/registry.ts'
import type { ScorerParts } from '../../serving/scorer/scorer.ts'
import { runPromote } from '../commands/models.ts'
import { replay } from '../commands/produce.ts'
import { scoreTotals, type ScoreTotals } from '../commands/score.ts'
import { train, type Trained } from '../commands/train.ts'
import { runVerify } from '../commands/verify.ts'
import { action, example, positiveWholeNumber, wallClock, wholeNumber, type Context } from '../console/command.ts'
import { runFd } from '../console/fd-process.ts'
import { readyInput } from '../console/input-topic.ts'
import { count, figure, instant, type Output } from '../console/output.ts'
import { openLog, openRegistry, openStore } from '../console/parts.ts'
import { runBackfill } from '../jobs/backfill-run.ts'
import { alertsAgainstTruth, closing, type AlertTruth, type DemoResult } from './report.ts'
import { openLiveView, type LiveView } from './view.ts'

const MODEL = 'card-fraud'
const FIRST_DAY = Date.UTC(2018, 3, 1)
const DAY = 86_400_000

interface DemoOptions {
  customers: number
  terminals: number
  days: number
  liveDays: number
  rate: number
  seed: number
}

export function demoCommand(): Command {
  return example(
    new Command('demo')
      .description(
        'the whole job in under a minute, with no server: ' +
          'simulate, backfill, train, promote, score a live stream, verify',
      )
      .option('--customers <n>', 'customers', positiveWholeNumber, 2000)
      .option('--terminals <n>', 'terminals', positiveWholeNumber, 4000)
      .option('--days <n>', 'days of history and live stream together', positiveWholeNumber, 120)
      .option('--live-days <n>', 'days at the end that arrive live', positiveWholeNumber, 20)
      .option('--rate <tps>', 'events a second of the live stream', positiveWholeNumber, 3000)
      .option('--seed <n>', 'seed of simulation and training', wholeNumber, 42),
    'fd demo',
    'fd demo --customers 5000 --terminals 10000 --days 183',
  ).action(action(demo))
}

/** What the steps of the demo share. */
interface DemoWorld {
  /** The configuration, with the demo's own home. */
  config: Config
  output: Output
  registry: Registry
  dataset: Dataset
  /** EpochMs: what is earlier is history, what is later arrives live. */
  cut: number
}

async function demo({ config, output }: Context, options: DemoOptions): Promise<void> {
  if (options.liveDays + 30 > options.days) {
    throw new UserError(
      `${options.days} days leave too little history for ${options.liveDays} live days: ` +
        `give --days at least ${options.liveDays + 30}.`,
    )
  }
  const home = join(config.home, 'demo')
  await rm(home, { recursive: true, force: true })
  const inDemo = withHome(config, home)
  const { openDataset } = await import('../../datasets/catalog.ts')
  const started = performance.now()
  const data = join(home, 'transactions.parquet')
  await simulateHistory(output, options, data)
  const dataset = await openDataset('simulated', inDemo, { data })
  const cut = FIRST_DAY + (options.days - options.liveDays) * DAY
  await using registry = await openRegistry(inDemo)
  const world: DemoWorld = { config: inDemo, output, registry, dataset, cut }
  const history = await backfillHistory(world)
  const trained = await trainAndPromote(world, options.seed)
  const live = await scoreLive(world, options)
  const parity = await verify(world)
  const alerts = await truthOfAlerts(world)
  const seconds = (performance.now() - started) / 1000
  const result = { seconds, history, metrics: trained.candidate.metrics, live, parity, alerts }
  output.result(result, () => closing(result, relative(process.cwd(), home)))
}

async function simulateHistory(output: Output, options: DemoOptions, file: string): Promise<void> {
  const { simulateToParquet } = await import('../../datasets/simulator/simulator.ts')
  const { customers, terminals, days, seed } = options
  output.say(`1/6  Simulating ${count(customers)} customers and ${count(terminals)} terminals over ${days} days`)
  const progress = output.progress('     simulate', days)
  const made = await simulateToParquet({ customers, terminals, days, seed, start: FIRST_DAY }, file, (day) =>
    progress.update(day),
  )
  progress.end()
  output.say(`     ${count(made.transactions)} transactions, ${count(made.frauds)} frauds`)
}

async function backfillHistory({ config, output, dataset, cut }: DemoWorld): Promise<DemoResult['history']> {
  const { cardFraud } = await import('../../features/definition/card-fraud.ts')
  const { featureNames } = await import('../../features/view/view.ts')
  output.say(`2/6  Backfilling features of the history before ${instant(cut).slice(0, 10)} into the online store`)
  const { transactions, keys } = await runBackfill(
    { dataset, service: cardFraud },
    [],
    { until: cut, openStore: () => openStore(config, output.note) },
    output.progress,
  )
  output.say(`     ${count(transactions)} transactions folded, ${count(keys)} customers and terminals in the store`)
  return { transactions, keys, features: featureNames(cardFraud).length }
}

async function trainAndPromote({ config, output, registry, dataset, cut }: DemoWorld, seed: number): Promise<Trained> {
  const parts = { registry, config, openProgress: output.progress }
  output.say('3/6  Training on what was known by then, and judging on the later 30 %')
  const trained = await train(parts, {
    dataset: 'simulated',
    data: dataset.file,
    model: 'boosting',
    register: MODEL,
    seed,
    until: cut,
    alertsPerDay: 40,
  })
  const { average_precision: precision, roc_auc: auc } = trained.candidate.metrics
  output.say(`     average precision ${figure(precision)}, ROC AUC ${figure(auc)}`)
  output.say('4/6  Promoting it: the gates judge, then the alias "champion" moves')
  const verdict = await runPromote(parts, MODEL, trained.version ?? 0, { alias: 'champion', margin: 0.002 })
  for (const check of verdict.checks) {
    output.say(`     ${check.passed ? 'passed ' : 'REFUSED'} ${check.gate}: ${check.detail}`)
  }
  if (!verdict.passed) {
    throw new UserError('The gates refused the model, so there is nothing to score with. Try another --seed.')
  }
  return trained
}

/**
 * Scores the live stream: first a backlog at full speed, for the throughput, then the rest from another process at a
 * steady rate, for the latency.
 */
async function scoreLive(
  { config, output, registry, dataset, cut }: DemoWorld,
  { liveDays, rate }: DemoOptions,
): Promise<DemoResult['live']> {
  await using log = await openLog(config, output.note)
  await readyInput(log, config.scorer)
  await using store = await openStore(config, output.note)
  const backlogDays = Math.floor(liveDays / 2)
  const middle = cut + backlogDays * DAY
  output.say(
    `5/6  Scoring the live stream: a backlog of ${backlogDays} days, ` +
      `then ${count(rate)} events a second from another process`,
  )
  await replay(log, dataset, { from: cut, until: middle, signal: new AbortController().signal })
  const view = openLiveView(output.json)
  const run = (running: Promise<unknown>): Promise<ScoreTotals> =>
    scoreUntil({ log, store, registry }, config.scorer, running, view)
  const backlog = await run(Promise.resolve())
  const paced = await run(produceElsewhere(config.home, dataset.file, middle, rate))
  view.end()
  return { backlog, paced }
}

/** Runs the scorer until `running` has ended and the log is scored to its end. */
async function scoreUntil(
  parts: ScorerParts,
  scorer: Config['scorer'],
  running: Promise<unknown>,
  view: LiveView,
): Promise<ScoreTotals> {
  const { score } = await import('../../serving/scorer/scorer.ts')
  const totals = await scoreTotals(wallClock())
  let ended = false
  const scoring = score(parts, {
    model: MODEL,
    alias: 'champion',
    ...scorer,
    now: wallClock,
    signal: new AbortController().signal,
    endWhenIdle: () => ended,
    onBatch: (batch) => {
      totals.add(batch)
      view.update(totals.value())
    },
  })
  await Promise.race([running, scoring])
  ended = true
  await scoring
  return totals.value()
}

/** Runs `fd produce` in a process of its own, as a payment system would be. */
async function produceElsewhere(home: string, file: string, from: number, rate: number): Promise<void> {
  const { code, stderr } = await runFd(home, [
    'produce',
    '--json',
    '--dataset',
    'simulated',
    '--data',
    file,
    '--from',
    new Date(from).toISOString(),
    '--rate',
    String(rate),
  ])
  if (code !== 0) throw new UserError(`fd produce ended with ${code}: ${stderr}`)
}

async function verify({ config, output, registry }: DemoWorld): Promise<ParityReport> {
  const { readModelCard } = await import('../../registry/model-card.ts')
  output.say('6/6  Recomputing every served feature in batch, from the raw history and the raw log')
  const card = readModelCard(await registry.getModelVersionByAlias(MODEL, 'champion'))
  await using log = await openLog(config, output.note)
  await using store = await openStore(config, output.note)
  const parts = { log, store, registry, config, openProgress: output.progress }
  return await runVerify(parts, card, { group: config.scorer.group })
}

async function truthOfAlerts({ config, output, dataset, cut }: DemoWorld): Promise<AlertTruth> {
  await using log = await openLog(config, output.note)
  return await alertsAgainstTruth(log, dataset, cut)
}
