import { randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Prediction } from '../../serving/prediction.ts'
import type { Ended, FdProcess } from '../console/fd-process.ts'
import { startedProcesses, type Started } from './started.ts'

/**
 * A home with backfilled history and a deciding model, made by the commands that a user would type. Disposing kills
 * what was started in it and still runs.
 */
export interface World extends AsyncDisposable {
  home: string
  /** The simulated transactions. */
  file: string
  /** Where history ends and the live stream begins, for `--from` and `--until`. */
  cut: string
  /** Number of partitions of the topic `transactions`. */
  partitions: number
  /** Number of features of the model. */
  features: number
  /** Runs `fd` here and expects it to succeed; resolves to what it printed. */
  fd(...args: string[]): Promise<string>
  /** Runs `fd` here and resolves however it ends. */
  try(...args: string[]): Promise<Ended>
  /** Starts `fd` here and leaves it running. */
  start(...args: string[]): FdProcess
  /** Kills what was started here and still runs. The home stays. */
  killAll(): Promise<void>
  /** All predictions of a scorer group, in log order; of all groups when none is named. */
  predictions(group?: string): Promise<Prediction[]>
  /** Brings history into the online store. */
  backfill(): Promise<void>
  /**
   * The same home, file and models, with other places for some parts and other settings of the scorer. It ends with
   * this world.
   */
  with(environment: Record<string, string>, scorer?: ScorerSettings): World
}

/** The part `scorer` of a configuration file. */
export type ScorerSettings = Record<string, number>

export interface WorldSize {
  customers: number
  terminals: number
  days: number
  liveDays: number
  scorer?: ScorerSettings
  /** Places of parts that are not in the home: FD_EVENT_LOG, FD_ONLINE_STORE … */
  environment?: Record<string, string>
  /** Default: `card-fraud`. */
  service?: WorldService
}

/**
 * The feature service of a world's model, which is registered under the same name, and how many features it has. Worlds
 * of other services on one registry are of other models.
 */
export interface WorldService {
  name: string
  features: number
}

const CARD_FRAUD: WorldService = { name: 'card-fraud', features: 15 }

const FIRST_DAY = Date.UTC(2018, 3, 1)

export async function makeWorld(size: WorldSize): Promise<World> {
  const home = await mkdtemp(join(tmpdir(), 'fd-world-'))
  const cut = new Date(FIRST_DAY + (size.days - size.liveDays) * 86_400_000).toISOString()
  const started = startedProcesses()
  const { scorer = {}, environment = {}, service = CARD_FRAUD } = size
  const world = worldIn({ home, cut, scorer, environment, service, started })
  try {
    await furnish(world, size, service)
    return world
  } catch (error) {
    await world[Symbol.asyncDispose]()
    throw error
  }
}

/** Gives a world its transactions, its history and its champion. */
async function furnish(world: World, size: WorldSize, service: WorldService): Promise<void> {
  const { fd, file, cut } = world
  const people = ['--customers', String(size.customers), '--terminals', String(size.terminals)]
  await fd('datasets', 'simulate', ...people, '--days', String(size.days), '--seed', '3', '--out', file)
  await world.backfill()
  const history = ['--dataset', 'simulated', '--data', file, '--service', service.name, '--until', cut]
  const trained = await fd('train', ...history, '--param', 'rounds=20', '--register', service.name, '--json')
  // A shared registry may hold versions of other tests. It must not matter which version has the alias there, hence
  // --force.
  const { version } = JSON.parse(trained) as { version: number }
  await fd('models', 'promote', service.name, String(version), '--force', '--reason', 'the model of this test')
}

interface Place {
  home: string
  cut: string
  scorer: ScorerSettings
  environment: Record<string, string>
  service: WorldService
  started: Started
}

function worldIn({ home, cut, scorer, environment, service, started }: Place): World {
  const file = join(home, 'transactions.parquet')
  const config = join(home, `${randomUUID()}.yaml`)
  writeFileSync(config, JSON.stringify({ scorer }))
  // A shared registry may have models of other tests, so who reads the champion is told which one is meant.
  const shared = environment['MLFLOW_TRACKING_URI'] !== undefined
  const named = ([command, what]: string[]): string[] =>
    shared && (command === 'score' || what === 'verify') ? ['--model', service.name] : []
  const start = (...args: string[]): FdProcess =>
    started.fd(home, [...args, ...named(args), '--config', config], environment)
  const attempt = (...args: string[]): Promise<Ended> => start(...args).ended
  const fd = async (...args: string[]): Promise<string> => {
    const ended = await attempt(...args)
    if (ended.code !== 0) {
      throw new Error(`fd ${args.join(' ')} ended with ${ended.code ?? ended.signal}: ${ended.stderr}`)
    }
    return ended.stdout
  }
  return {
    home,
    cut,
    file,
    fd,
    start,
    partitions: scorer['partitions'] ?? 1,
    features: service.features,
    try: attempt,
    killAll: async () => started[Symbol.asyncDispose](),
    predictions: async (group) => {
      const lines = (await fd('topics', 'read', 'predictions')).split('\n').filter((line) => line !== '')
      return lines
        .map((line) => (JSON.parse(line) as { value: Prediction }).value)
        .filter((prediction) => group === undefined || prediction.group === group)
    },
    backfill: async () => {
      const history = ['--dataset', 'simulated', '--data', file, '--service', service.name, '--until', cut]
      await fd('features', 'backfill', ...history, '--online')
    },
    with: (more, settings = scorer) =>
      worldIn({ home, cut, scorer: settings, environment: { ...environment, ...more }, service, started }),
    async [Symbol.asyncDispose]() {
      await started[Symbol.asyncDispose]()
      await rm(home, { recursive: true, force: true })
    },
  }
}
